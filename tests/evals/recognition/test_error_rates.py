import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, verification


def tar_at_far(genuine, impostor, far):
  return error_rates.eer_and_tars(genuine, impostor, (far,))[1]


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_threshold_is_the_lowest_that_keeps_the_rate(dtype):
  generator = np.random.default_rng(0)
  # Few levels: many ties.
  genuine = (generator.integers(20, 60, 200) / 64).astype(dtype)
  impostor = (generator.integers(0, 50, 400) / 64).astype(dtype)
  for fmr in (0.08, 0.1, 0.25, 0.5, 0.99):
    point = error_rates.threshold_at_fmr(impostor, fmr)
    assert np.mean(impostor >= point.threshold) <= fmr
    below = np.nextafter(dtype(point.threshold), dtype(-1))
    assert np.mean(impostor >= below) > fmr
    # What it accepts is what TAR@FAR says.
    assert np.mean(genuine >= point.threshold) == pytest.approx(
      tar_at_far(genuine, impostor, fmr), abs=1e-12
    )
    assert (point.fmr, point.num_impostor) == (fmr, 400)


@pytest.mark.parametrize(
  'fmr, allowed', [(0.29, 58), (0.29499, 58), (0.5, 100)]
)
def test_threshold_lets_the_allowed_number_through(fmr, allowed):
  # 0.29 of 200 is 58 although 0.29 · 200 is 57.99… in floating point.
  scores = np.arange(200) / 200
  point = error_rates.threshold_at_fmr(scores, fmr)
  assert np.count_nonzero(scores >= point.threshold) == allowed


@pytest.mark.parametrize(
  'impostor, fmr, message',
  [
    (np.zeros(299), 0.1, '1e-1 needs 300 impostor pairs .* there are 299'),
    (np.zeros(10**5), 1e-6, 'needs 30,000,000'),
    (np.zeros(100), 0.0, 'between 0 and 1'),
    (np.zeros(100), 1.0, 'between 0 and 1'),
    (np.append(np.zeros(100), np.nan), 0.5, 'NaN'),
    ([], 0.5, 'there are 0'),
  ],
)
def test_threshold_refuses(impostor, fmr, message):
  with pytest.raises(ValueError, match=message) as error:
    error_rates.threshold_at_fmr(impostor, fmr)
  assert '\n' not in str(error.value)


def test_fnmr_is_what_tar_leaves():
  generator = np.random.default_rng(1)
  labels = np.repeat(np.arange(10), 4)
  x = generator.normal(size=(10, 6))[labels] + generator.normal(size=(40, 6))
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  scores = verification.pair_scores(x, labels)
  settings = {'resampling': bootstrap.Resampling(draws=50, seed=3)}
  tars = verification.rates(scores, fars=(0.1, 1e-4), **settings)
  fnmrs = verification.fnmr_rates(scores, fmrs=(0.1, 1e-4), **settings)
  assert list(fnmrs) == ['eer', 'fnmr@fmr=1e-1', 'fnmr@fmr=1e-4']
  assert fnmrs['eer'] == tars['eer']
  threshold = error_rates.threshold_at_fmr(scores.impostor, 0.1).threshold
  fnmr, tar = fnmrs['fnmr@fmr=1e-1'], tars['tar@far=1e-1']
  assert fnmr['value'] == pytest.approx(np.mean(scores.genuine < threshold))
  assert fnmr['low'] == 1 - tar['high'] < fnmr['value']
  assert fnmr['high'] == 1 - tar['low'] > fnmr['value']
  assert fnmrs['fnmr@fmr=1e-4'] == tars['tar@far=1e-4']  # Not measurable.
