"""Headline and tables of the report, of rates that are made up."""

import types

import numpy as np

from configs import metric as metric_config
from palmjax.recipes.metric import report, tables

RATE = {'value': 0.1, 'low': 0.05, 'high': 0.2}
NONE = {'value': None, 'reason': 'not measurable with 60 pairs'}


def test_rates_that_no_row_has_are_no_columns():
  config = metric_config.get_config('smoke')
  config.evaluation.fmrs = (1e-1, 1e-2, 1e-3, 1e-4)
  pairs = types.SimpleNamespace(
    genuine=np.ones(6), impostor=np.zeros(60), images=np.full(6, 2)
  )
  one = types.SimpleNamespace(
    test=types.SimpleNamespace(suffix='', labels=np.arange(12) // 2),
    scores={'correlation': pairs, 'network': pairs},
    counted={},
  )
  row = {'eer': RATE, 'd_prime': 1.0, 'fnmr@fmr=1e-1': RATE}
  row |= dict.fromkeys(('fnmr@fmr=1e-3', 'fnmr@fmr=1e-4'), NONE)
  models = {
    'correlation': {**row, 'fnmr@fmr=1e-2': NONE},
    'network': {**row, 'fnmr@fmr=1e-2': RATE},
  }
  table = tables.rates(types.SimpleNamespace(config=config), models, [one])
  assert [column.title for column in table.columns] == [
    *('EER', 'FNMR at FMR 1e-1', 'FNMR at FMR 1e-2', 'd′'),
  ]
  assert [*table.rows] == ['Correlation (nothing learned)', 'Network']
  assert table.text.endswith('Too few pairs to measure an FMR of 1e-3, 1e-4.')


def test_the_verifier_is_told_of_where_it_has_a_row():
  row = {'eer': RATE}
  for fmr in ('1e-2', '1e-3'):
    row |= {f'fmr@claimed={fmr}': RATE, f'fnmr@claimed={fmr}': RATE}
  models = {'network': row, 'correlation': {'eer': RATE}}
  table = tables.claimed(models, 'Set on palms of p.')
  assert [*table.rows] == ['Network']
  assert 'on other palms. Set on palms of p. In brackets' in table.text
  table = tables.claimed({**models, 'verifier, on d': row}, 'Set.')
  assert 'Set. The verifier is what' in table.text


def test_the_headline_names_controls_without_errors():
  ratio = {'value': 2.0, 'low': 1.5, 'high': 3.0}
  models = {
    'network': {
      'eer': RATE,
      'eer/correlation': ratio,
      'eer/orientation code': NONE,
    },
    'correlation': {'eer': {'value': 0.05}},
    'orientation code': {'eer': {'value': 0.0}},
  }
  words = report.headline(models, 12).replace('\xa0', ' ')
  assert 'EER of the network is 2.00 times that of correlation' in words
  assert 'to that of orientation code: 10.00 % to 0.00 %.' in words
  assert words.endswith('Only 12 identities were tested: too few to judge by.')
  assert 'Only' not in report.headline(models, 150)
