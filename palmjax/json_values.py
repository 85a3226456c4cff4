"""Checks the plain values that a file describes something with.

A table has a `Rule` for each key. A key that is missing, unknown, or has an
impossible value ends in one line that names the file, the key and what to do.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class Rule(NamedTuple):
  """Rule that the value of a key must meet.

  Attributes:
    holds: value → bool, for any JSON value.
    advice: what to give, for the error.
    needed: whether the key must be there.
  """

  holds: Callable[[Any], bool]
  advice: str
  needed: bool = True


TEXT = Rule(lambda value: isinstance(value, str), 'give a text')
FLAG = Rule(lambda value: isinstance(value, bool), 'give true or false')


def whole(least, *, multiple=1):
  """The rule of a whole number, at least `least`, a multiple of `multiple`."""
  kind = 'whole number' if multiple == 1 else f'multiple of {multiple}'

  def holds(value):
    return type(value) is int and value >= least and value % multiple == 0

  return Rule(holds, f'give a {kind}, {least} or more')


def between(low, high):
  """The rule of a number above `low` and below `high`."""
  return Rule(
    lambda value: is_number(value) and low < value < high,
    f'give a number above {low:g}'
    + ('' if high == math.inf else f' and below {high:g}'),
  )


def number():
  """The rule of a number that is finite."""
  return Rule(is_number, 'give a number')


def one_of(*values):
  """The rule of a value of a list."""
  return Rule(lambda value: value in values, f'choose one of {list(values)}')


def optional(rule):
  """The same rule of a key that may be missing."""
  return rule._replace(needed=False)


def is_number(value):
  """Whether a value is a finite number, and no truth value."""
  return (
    isinstance(value, int | float)
    and not isinstance(value, bool)
    and math.isfinite(value)
  )


def check_value(key, value, rule):
  """Raises ValueError, 'key=value: advice', where the rule does not hold."""
  if not rule.holds(value):
    raise ValueError(f'{key}={value!r}: {rule.advice}')


def check_keys(values, rules):
  """Raises ValueError for the first key that is missing or has no rule."""
  needed = {key for key, rule in rules.items() if rule.needed}
  if missing := sorted(needed - values.keys()):
    raise ValueError(f'{missing[0]!r} is missing')
  if unknown := sorted(values.keys() - rules.keys()):
    raise ValueError(f'{unknown[0]!r} is unknown to this version')


def check(values, rules):
  """Checks all keys and values.

  Args:
    values: {key: JSON value}.
    rules: {key: `Rule`}.

  Raises:
    ValueError: the first key that is missing, unknown or has an impossible
      value.
  """
  check_keys(values, rules)
  for key, value in values.items():
    check_value(key, value, rules[key])
