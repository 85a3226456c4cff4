"""What every recipe's configuration begins with."""

import ml_collections


def get_config(recipe):
  """Returns a ConfigDict with the keys that all recipes read."""
  config = ml_collections.ConfigDict()
  config.recipe = recipe
  config.seed = 0
  # Devices of the mesh; 0 takes all that jax sees.
  config.num_devices = 0
  config.log_every = 20
  return config


def override(config, values):
  """Sets dotted keys, e.g. {'gan.steps': 20}; an unknown key is an error."""
  config.update_from_flattened_dict(values)
  return config
