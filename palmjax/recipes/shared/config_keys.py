"""Keys of configurations: read by dotted name, checked, and named in errors.

What is below the recipes names its own arguments in its errors: `rotation=-1:
give 0 or more`. A recipe knows the key: --config.augment.rotation.
"""

import contextlib
import math
import numbers
import re

# How a leaf names its arguments: 'rotation=-1: …', or '… lower `images`'.
_VALUE = re.compile(r'\w+=')
_ARGUMENT = re.compile(r'`(\w+)`')

# numpy's and JAX's generators take no other seeds.
_SEEDS = 2**32


def get(config, key):
  """The value of a dotted key."""
  for name in key.split('.'):
    config = config[name]
  return config


@contextlib.contextmanager
def named(key):
  """Errors raised inside name the key that the user can set.

  Args:
    key: dotted, of a value, or of a section whose values have the names of the
      leaf's arguments.

  Raises:
    ValueError: in place of a ValueError raised inside.
  """
  try:
    yield
  except ValueError as error:
    text = str(error)
    if text.startswith('--config.'):
      raise
    if _ARGUMENT.search(text):
      text = _ARGUMENT.sub(rf'--config.{key}.\1', text)
    else:
      joint = '.' if _VALUE.match(text) else ': '
      text = f'--config.{key}{joint}{text}'
    raise ValueError(text) from error


def check_least(config, least):
  """Raises ValueError where a dotted key of `least` is below its number."""
  for key, number in least.items():
    value = get(config, key)
    if value < number:
      raise ValueError(f'--config.{key}={value}: give {number} or more')


def check_choices(config, choices):
  """Raises ValueError where the value of a dotted key is no choice of its."""
  for key, allowed in choices.items():
    value = get(config, key)
    if value not in allowed:
      raise ValueError(
        f'--config.{key}={value}: choose one of {", ".join(map(str, allowed))}'
      )


def check_arms(config, arms):
  """Raises ValueError unless `arms` of a config is one or more of these."""
  if not config.arms or not set(config.arms) <= set(arms):
    raise ValueError(
      f'--config.arms={tuple(config.arms)}: choose from {tuple(arms)}'
    )


def check_above(config, keys, number=0):
  """Raises ValueError where a value is not above a number."""
  for key in keys:
    if not get(config, key) > number:
      raise ValueError(
        f'--config.{key}={get(config, key)}: give a number above {number}'
      )


def check_shares(config, keys):
  """Raises ValueError where a value, or one of a tuple, is not in [0, 1]."""
  _check_each(config, keys, lambda x: 0 <= x <= 1, 'a number from 0 to 1')


def check_rates(config, keys):
  """Raises ValueError where a value, or one of a tuple, is not in (0, 1)."""
  _check_each(config, keys, lambda x: 0 < x < 1, 'rates between 0 and 1')


def _check_each(config, keys, fits, words):
  for key in keys:
    value = get(config, key)
    for one in value if isinstance(value, (tuple, list)) else (value,):
      if not isinstance(one, numbers.Real) or not fits(one):
        raise ValueError(f'--config.{key}={one}: give {words}')


def check_folder(data, drawn, instead):
  """Refuses a folder beside images that are drawn: it would be ignored.

  Args:
    data: section `data` of a config.
    drawn: the `data.name` that draws images and reads no folder.
    instead: names that read one, in words.

  Raises:
    ValueError: names both keys.
  """
  if data.name == drawn and data.dir:
    raise ValueError(
      f'--config.data.dir={data.dir} is not read: --config.data.name={drawn} '
      f'draws its images; give --config.data.name={instead}'
    )


def check_numbers(config):
  """Checks what holds for the numbers of every recipe.

  Raises:
    ValueError: a seed or a count of devices that no machine takes, a number
      that is not finite, or an integer of more than 32 bits.
  """
  if not 0 <= config.seed < _SEEDS:
    raise ValueError(
      f'--config.seed={config.seed}: give a number from 0 to {_SEEDS - 1}'
    )
  check_least(config, {'num_devices': 0, 'log_every': 1})
  _check_section(config, '')


def _check_section(section, prefix):
  for name, value in section.items():
    key = f'{prefix}{name}'
    if hasattr(value, 'items'):
      _check_section(value, f'{key}.')
      continue
    for one in value if isinstance(value, (tuple, list)) else (value,):
      if isinstance(one, float) and not math.isfinite(one):
        raise ValueError(f'--config.{key}={value}: give finite numbers')
      # Steps and sizes are int32 on the device.
      if isinstance(one, int) and key != 'seed' and abs(one) >= 2**31:
        raise ValueError(f'--config.{key}={value}: give integers below {2**31}')
