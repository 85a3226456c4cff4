"""Rules of plain values hold what they say, and nothing else."""

import math

import pytest

from palmjax import json_values


@pytest.mark.parametrize(
  'rule, good, bad',
  [
    (json_values.TEXT, ('', 'a'), (1, None, ['a'])),
    (json_values.FLAG, (True, False), (0, 1, 'true', None)),
    (json_values.whole(2), (2, 3), (1, 2.0, True, '2', None)),
    (json_values.whole(8, multiple=8), (8, 16), (0, 12, -8, 8.0)),
    (json_values.number(), (0, -1.5), (True, math.inf, math.nan, '1')),
    (json_values.between(0, 1), (0.5,), (0, 1, True, None, [0.5])),
    (json_values.between(0, math.inf), (0.5, 9), (0, math.inf, math.nan)),
    (json_values.one_of('a', 'b'), ('a', 'b'), ('c', 1, None, ['a'])),
  ],
)
def test_rules(rule, good, bad):
  for value in good:
    json_values.check({'key': value}, {'key': rule})
  for value in bad:
    with pytest.raises(ValueError, match=r'^key=.*: (give|choose) '):
      json_values.check({'key': value}, {'key': rule})


def test_keys():
  rules = {
    'a': json_values.TEXT,
    'b': json_values.optional(json_values.TEXT),
  }
  json_values.check({'a': ''}, rules)
  with pytest.raises(ValueError, match=r"^'a' is missing$"):
    json_values.check({'b': ''}, rules)
  with pytest.raises(ValueError, match=r"^'c' is unknown to this version$"):
    json_values.check({'a': '', 'c': 1}, rules)
  with pytest.raises(ValueError, match=r'^b=2: give a text$'):
    json_values.check({'a': '', 'b': 2}, rules)
