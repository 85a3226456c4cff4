import pytest

from palmjax.report import metrics


@pytest.mark.parametrize(
  'cell, unit, digits, expected',
  [
    ({'value': 0.042, 'low': 0.0312, 'high': 0.05}, '%', 2,
     '4.20\xa0% [3.12, 5.00]'),
    ({'value': 0.1, 'std': 0.02}, '', 3, '0.100 ±\xa00.020'),
    ({'value': 3.0}, 's', 1, '3.0\xa0s'),
    ({'value': None, 'reason': 'not measurable with 9 pairs'}, '%', 2,
     'not measurable with 9 pairs'),
    (1234567, '', 2, '1,234,567'),
    (0.5, '', 2, '0.50'),
    (float('nan'), '', 2, 'not finite'),
    ('cpu', '', 2, 'cpu'),
    (None, '', 2, '–'),
  ],
)  # fmt: skip
def test_show(cell, unit, digits, expected):
  assert metrics.show(cell, unit=unit, digits=digits) == expected


def interval(low, high):
  return {'value': (low + high) / 2, 'low': low, 'high': high}


def test_best_stands_out_only_where_intervals_part():
  cells = {'a': interval(1, 2), 'b': interval(2.5, 4), 'c': interval(3, 5)}
  assert metrics.stands_out(cells, 'a', better='lower')
  assert not metrics.stands_out(cells, 'b', better='lower')
  assert not metrics.stands_out(cells, 'c', better='higher')  # Overlaps b.
  assert not metrics.stands_out(cells, 'a', better=None)
  cells['b'] = interval(2, 4)  # Touches a.
  assert not metrics.stands_out(cells, 'a', better='lower')


def test_cells_without_interval_do_not_compete():
  cells = {
    'a': interval(3, 4),
    'b': {'value': None, 'reason': 'none'},
    'c': 1.0,
  }
  assert not metrics.stands_out(cells, 'a', better='higher')
  assert not metrics.stands_out(cells, 'b', better='higher')
  cells['d'] = interval(1, 2)
  assert metrics.stands_out(cells, 'a', better='higher')


@pytest.mark.parametrize(
  'ratio, start, tone',
  [
    (interval(0.7, 0.9), 'CNN-2 is better than the control: EER 0.80', 'good'),
    (interval(1.1, 1.3), 'CNN-2 is worse than the control: EER 1.20', 'bad'),
    (interval(0.8, 1.0), 'No difference shown between CNN-2 and', 'open'),
    ({'value': None, 'reason': 'not measurable with 3 identities'},
     'CNN-2 against the control: not measurable with 3 identities.', 'open'),
  ],
)  # fmt: skip
def test_gain(ratio, start, tone):
  sentence, found = metrics.gain(ratio, model='CNN-2', baseline='the control')
  assert sentence.startswith(start)
  assert found == tone
