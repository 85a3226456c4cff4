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
  # '10:13' traces the iterations 10, 11 and 12 of every training that has them:
  # `xprof WORKDIR/STAGE`, or TensorBoard, shows the trace. '': none.
  config.profile = ''
  return config


def augment(**changes):
  """The section `augment`: what data/augment/palms.py does to images.

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


def stop():
  """The section `stop`: what ends a training before its last step.

  As it is, nothing does. For a training until convergence give a measure, and
  more steps than it will need: `--config.stop.measure=eer`. A learning rate
  without a known end must go with it: `--config.cnn.schedule=plateau`.
  """
  return ml_collections.ConfigDict(
    {
      # Of held-out identities or images, which then are not trained on: 'eer'
      # or 'd_prime' of palms, 'loss' of hands; '' measures nothing.
      'measure': '',
      # Ends when the measure did not improve by more than `delta` in `patience`
      # evaluations, one after every `every` steps.
      'delta': 0.0,
      'patience': 5,
      'every': 100,
      'share': 0.1,  # of the training that is held out
      # Ends when the mean training loss of an epoch is at most this; 0: never.
      'loss': 0.0,
    }
  )


def schedule():
  """Keys of a section that trains: how its learning rate goes on."""
  return {
    # 'cosine' to 0 at the last step; 'constant'; or 'plateau': times `factor`
    # when the mean loss of `steps` steps has not fallen `patience` times.
    'schedule': 'cosine',
    'plateau': {'factor': 0.1, 'steps': 100, 'patience': 5},
  }


def override(config, values):
  """Sets dotted keys, e.g. {'gan.steps': 20}; an unknown key is an error."""
  config.update_from_flattened_dict(values)
  return config


def variant(variants, arg, name):
  """The values of a variant.

  Args:
    variants: {name of a variant: {dotted key: value}}, '' the default.
    arg: of `get_config`.
    name: of the configuration.

  Raises:
    ValueError: there is no such variant.
  """
  if arg not in variants:
    others = ', '.join(f'configs/{name}.py:{one}' for one in variants if one)
    raise ValueError(
      f'configs/{name}.py:{arg}: no such variant; choose configs/{name}.py, '
      f'{others}'
    )
  return variants[arg]
