"""Headline and tables of the report, of rates that are made up."""

import types

import numpy as np

from configs import metric as metric_config
from palmjax.data.sets.builders import layout
from palmjax.evals import bootstrap
from palmjax.evals.recognition import claims, iso19795, verification
from palmjax.recipes.metric import protocols as metric_protocols
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


def test_the_report_of_the_standard_has_fmr_claimed_and_found():
  labels = np.repeat(np.arange(82), 2)
  rng = np.random.default_rng(0)
  embeddings = rng.normal(size=(41, 8))[labels // 4] * 0.4
  embeddings += rng.normal(size=(82, 8))[labels] + rng.normal(size=(164, 8)) / 4
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  pairs = verification.pair_scores(embeddings.astype(np.float32), labels)
  resampling = bootstrap.Resampling(draws=50)
  threshold = 0.9
  network = {
    **verification.fnmr_rates(pairs, fmrs=(1e-1, 1e-2), resampling=resampling),
    **iso19795.failures(np.full(82, 2), np.zeros(82, int)),
    **claims.rates(
      pairs,
      {1e-2: threshold, 1e-3: 'no threshold was set'},
      resampling=resampling,
    ),
  }
  config = metric_config.get_config('smoke')
  config.evaluation.fmrs = (1e-1, 1e-2)
  test = metric_protocols.Test(
    *('', None, labels, np.full(164, layout.NO_SESSION), np.full(164, '')),
    *(np.full(82, 2), np.zeros(82, int)),
  )
  table = tables.performance(
    types.SimpleNamespace(config=config),
    network,
    metric_protocols.Compared(test, {'network': pairs}, {}, {}),
  )
  passed, strangers = 0, 0
  for i in range(164):
    for j in range(i):
      if labels[i] != labels[j]:
        strangers += 1
        passed += embeddings[i] @ embeddings[j] >= threshold
  assert 0 < passed < strangers / 10
  low, high = (
    100 * network['fmr@claimed=1e-2'][end] for end in ('low', 'high')
  )
  assert table.title == 'Performance test (ISO/IEC 19795-1)'
  assert table.text.replace('\xa0', ' ').endswith(
    'FMR claimed / FMR found, at thresholds of other palms: 1e-2 / '
    f'{100 * passed / strangers:.3f} % [{low:.3f}, {high:.3f}]; '
    '1e-3 / no threshold was set.'
  )
  assert [*table.rows] == ['FMR 1e-1', 'FMR 1e-2']


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
