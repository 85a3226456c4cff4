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
  'ratio, words',
  [
    (interval(0.7, 0.9),
     'EER of the network is 0.80 times that of correlation in this run (95 % '
     'interval over identities: 0.70 to 0.90).'),
    ({'value': None, 'reason': 'not measurable with 3 identities'},
     'EER of the network over that of correlation: not measurable with 3 '
     'identities.'),
  ],
)  # fmt: skip
def test_ratio_in_words(ratio, words):
  sentence = metrics.ratio_in_words(
    ratio, model='the network', baseline='correlation'
  )
  assert sentence == words


@pytest.mark.parametrize(
  'gain, words',
  [
    (
      {'value': 0.0321, 'low': -0.004, 'high': 0.07},
      'AP of both minus that of one is +3.2 points in this run (95 % interval '
      'over images: -0.4 to +7.0).',
    ),
    (
      {'value': -0.01, 'low': -0.02, 'high': -0.0051},
      'AP of both minus that of one is -1.0 points in this run (95 % interval '
      'over images: -2.0 to -0.5).',
    ),
    (
      {'value': None, 'reason': 'not measurable with 0 boxes'},
      'AP of both minus that of one: not measurable with 0 boxes.',
    ),
  ],
)
def test_difference_in_words(gain, words):
  sentence = metrics.difference_in_words(gain, model='both', baseline='one')
  assert sentence == words


def test_a_ratio_that_is_none_shows_both_rates():
  known = {'value': 0.5, 'low': 0.2, 'high': 0.9}
  model = {'value': 0.031, 'low': 0.0, 'high': 0.1}
  perfect = {'value': 0.0, 'low': 0.0, 'high': 0.0}
  none = {'value': None, 'reason': 'not measurable with 22 identities'}
  assert metrics.show_ratio(known, model, model) == '0.50 [0.20, 0.90]'
  shown = metrics.show_ratio(none, model, perfect).replace('\xa0', ' ')
  assert shown == '3.10 % to 0.00 %'
  assert metrics.show_ratio(none, model, none).endswith(none['reason'])
