import json

import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, iso19795, verification


def test_golden_failures():
  # One of four never gave a template; of the others 2 of 12 captures failed.
  rates = iso19795.failures(
    [4, 0, 3, 3], [0, 5, 1, 1], resampling=bootstrap.Resampling(draws=10)
  )
  assert rates['fte'] == {'value': 0.25, 'low': 0.0, 'high': 1.0}
  assert rates['fta']['value'] == pytest.approx(2 / 12)


def test_failures_match_copied_people():
  captured, failed = np.array([3, 5, 0, 4, 6, 2, 7]), np.arange(7) % 3
  failed[2] = 1
  draws = np.random.Generator(np.random.PCG64(2)).multinomial(
    7, np.full(7, 1 / 7), size=50
  )
  twins = []
  for w in draws:
    people = np.repeat(np.arange(7), w)
    ok = [p for p in people if captured[p]]
    tried = sum(captured[p] + failed[p] for p in ok)
    twins.append([1 - len(ok) / 7, sum(failed[p] for p in ok) / tried])
  rates = iso19795.failures(
    captured, failed, resampling=bootstrap.Resampling(draws=50, seed=2)
  )
  for name, twin in zip(('fte', 'fta'), np.transpose(twins), strict=True):
    assert rates[name]['low'] == pytest.approx(twin.min())
    assert rates[name]['high'] == pytest.approx(twin.max())
    assert rates[name]['low'] < rates[name]['high']


def test_nothing_failed():
  rates = iso19795.failures(
    [2] * 10, [0] * 10, resampling=bootstrap.Resampling(draws=10)
  )
  expected = {'value': 0.0, 'low': 0.0, 'high': 1 - 0.05 ** (1 / 10)}
  assert rates['fte'] == pytest.approx(expected)
  assert rates['fta'] == pytest.approx(expected)


@pytest.mark.parametrize(
  'captured, failed, message',
  [([1, 0], [0, 0], 'without any capture'), ([0, 0], [1, 2], 'No capture')],
)
def test_bad_captures(captured, failed, message):
  with pytest.raises(ValueError, match=message):
    iso19795.failures(captured, failed)


def test_generalised_rates_count_attempts():
  """Of 1,000: 100 cannot enrol, 90 of 900 fail, 81 of 810 do not match."""
  rates = {'fte': 0.1, 'fta': 0.1}
  gfrr = iso19795.generalised_fnmr(0.1, **rates)
  assert gfrr == pytest.approx((100 + 90 + 81) / 1000)
  assert iso19795.generalised_fmr(0.1, **rates) == pytest.approx(81 / 1000)
  assert iso19795.generalised_fnmr(0.3, fte=0.0, fta=0.0) == 0.3


def test_performance_section():
  generator = np.random.default_rng(0)
  labels = np.repeat(np.arange(12), [4] * 11 + [1])
  x = generator.normal(size=(12, 6))[labels] + generator.normal(size=(45, 6))
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  scores = verification.pair_scores(x, labels)
  rates = verification.fnmr_rates(
    scores, fmrs=(0.1, 1e-4), resampling=bootstrap.Resampling(draws=40)
  )
  point = error_rates.threshold_at_fmr(scores.impostor, 0.1)
  section = iso19795.performance(
    rates,
    {0.1: point, 1e-4: None},
    error_rates.det_points(scores.genuine, scores.impostor),
    images=scores.images,
    sessions=2,
    failed=iso19795.failures([4] * 11 + [1], [0] * 11 + [5]),
  )
  assert json.loads(json.dumps(section)) == section
  assert section['crew'] == {
    'identities': 12,
    'images': 45,
    'fewest images of an identity': 1,
    'most images of an identity': 4,
    'sessions': 2,
    'genuine pairs': len(scores.genuine),
    'impostor pairs': len(scores.impostor),
  }
  assert section['eer'] == rates['eer']
  row = section['rates']['FMR 1e-1']
  assert row['threshold'] == point.threshold
  assert row['fnmr'] == rates['fnmr@fmr=1e-1']
  # FTA 0.1, FTE 0.
  assert row['gfar'] == pytest.approx(0.09)
  for side in ('low', 'value', 'high'):
    assert row['gfrr'][side] == pytest.approx(0.1 + 0.9 * row['fnmr'][side])
  missing = {
    'value': None,
    'reason': f'not measurable with {len(scores.impostor)} pairs',
  }
  assert section['rates']['FMR 1e-4'] == {
    'threshold': None,
    'fnmr': missing,
    'gfar': None,
    'gfrr': missing,
  }
  assert section['det']['gfar'][-1] == pytest.approx(0.9)
  assert section['det']['gfrr'][-1] == pytest.approx(0.1)
