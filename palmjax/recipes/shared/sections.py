"""A section of a config in the place of the whole: what its keys are read from.

Recipes with two networks, or two tasks, have a section for each, with keys that
other recipes have at the top.
"""

import contextlib
import re

import ml_collections

_KEY = re.compile(r'--config\.(\w+)')


def of(config, section):
  """The config as a section sees it.

  Args:
    config: of a recipe.
    section: its name.

  Returns:
    ConfigDict with the keys of the section in place of those of the same name.
  """
  values = config.to_dict()
  return ml_collections.ConfigDict({**values, **values.pop(section)})


@contextlib.contextmanager
def named(config, section):
  """Errors raised inside name the key that the user can set.

  Args:
    config: of a recipe.
    section: name of the section that stands in for the whole inside.

  Raises:
    ValueError: in place of a ValueError raised inside.
  """
  mine = config[section]

  def whole(match):
    prefix = f'{section}.' if match[1] in mine else ''
    return f'--config.{prefix}{match[1]}'

  try:
    yield
  except ValueError as error:
    raise ValueError(_KEY.sub(whole, str(error))) from error
