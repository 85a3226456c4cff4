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
  # False: programs compile in two thirds of the time, and run slower.
  config.optimise = True
  return config


def augment(**changes):
  """The section `augment`: how training images are changed (data/augment/palms.py).

  Args:
    **changes: values other than these.
  """
  section = ml_collections.ConfigDict(
    {
      'rotation': 5.0,  # degrees, standard deviation
      'shift': 0.04,  # of the side, standard deviation
      'scale': 0.05,  # of log scale, standard deviation
      'perspective': 0.05,
      'brightness': 0.15,
      'contrast': 0.2,
      'blur': 0.5,  # px, largest standard deviation
      'noise': 0.03,  # largest standard deviation
      'erase': 0.1,  # probability
      'mirror': False,
    }
  )
  return override(section, changes)


def override(config, values):
  """Sets dotted keys, e.g. {'gan.steps': 20}; an unknown key is an error."""
  config.update_from_flattened_dict(values)
  return config
