"""The config of the recipe `robust` with palms: what its keys are read from."""

import contextlib
import re

import ml_collections

SECTION = 'recognise'
_KEY = re.compile(r'--config\.(\w+)')


def of(config):
  """The config of the task.

  Args:
    config: of configs/robust.py.

  Returns:
    ConfigDict with the keys of its section `recognise` in place of those of the
    same name, as the palms of other recipes have them.
  """
  values = config.to_dict()
  return ml_collections.ConfigDict({**values, **values.pop(SECTION)})


@contextlib.contextmanager
def named(config):
  """Errors raised inside name the key that the user can set.

  Args:
    config: of configs/robust.py.

  Raises:
    ValueError: in place of a ValueError raised inside.
  """
  mine = config[SECTION]

  def whole(match):
    prefix = f'{SECTION}.' if match[1] in mine else ''
    return f'--config.{prefix}{match[1]}'

  try:
    yield
  except ValueError as error:
    raise ValueError(_KEY.sub(whole, str(error))) from error
