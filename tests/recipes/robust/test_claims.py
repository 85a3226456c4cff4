"""Each claim of CN112215298A is found by its number where it is met."""

import importlib
import re

import pytest

from palmjax.recipes.robust import recipe

CLAIMS = range(1, 11)
# A computer and a medium: no function is either.
NO_CODE = {9, 10}


def rows():
  """{number: names of functions and classes}, as the recipe lists them."""
  parts = re.split(r'\n  claim (\d+) ', recipe.__doc__)[1:]
  return {
    int(number): re.findall(r'`([\w.]+)`', text.partition('\n\n')[0])
    for number, text in zip(parts[::2], parts[1::2], strict=True)
  }


def named(name):
  """The function or class of a name that the recipe's docstring has."""
  *modules, last = name.split('.')
  package = 'palmjax'
  if len(modules) < 2:
    package, modules = 'palmjax.recipes.robust', modules or ['recipe']
  module = importlib.import_module('.'.join([package, *modules]))
  return getattr(module, last)


def test_the_recipe_lists_every_claim():
  assert list(rows()) == list(CLAIMS)


@pytest.mark.parametrize('number', sorted({*CLAIMS} - NO_CODE))
def test_what_meets_a_claim_names_it(number):
  names = rows()[number]
  assert names
  for name in names:
    text = named(name).__doc__
    assert re.search(rf'\bclaims? (\d+ and )?{number}\b', text), name
