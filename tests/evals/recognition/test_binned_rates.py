import json

import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.recognition import (
  binned_rates,
  error_rates,
  streaming,
  verification,
)


def embed(seed, images, *, noise):
  """Random embeddings of identities with `images[k]` images each."""
  generator = np.random.default_rng(seed)
  labels = np.repeat(np.arange(len(images)), images)
  centres = generator.normal(size=(len(images), 16))
  x = centres[labels] + noise * generator.normal(size=(len(labels), 16))
  return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(
    np.float32
  ), labels


def rounded(embeddings, labels):
  """(counts, lists) of scores rounded down, where the two agree in full.

  Close to an edge the two sums of a product may fall on its two sides: the
  lists are made from the counts, the counts tested against the lists before.
  """
  counts = streaming.count_pairs(embeddings, labels)
  impostor = streaming.edge_of(
    np.repeat(np.arange(streaming.BINS), counts.impostor)
  )
  genuine = np.floor(counts.genuine.astype(np.float64) * 2**15) / 2**15
  return counts, genuine, impostor


@pytest.fixture(scope='module')
def measured():
  """120 identities of 4, some overlap: the EER is about 9 %."""
  embeddings, labels = embed(0, [4] * 110 + [1] * 10, noise=1.0)
  return embeddings, labels, *rounded(embeddings, labels)


def test_rates_are_those_of_rounded_scores(measured):
  embeddings, labels, counts, genuine, impostor = measured
  fmrs = (0.1, 1e-2, 1e-3, 1e-4)
  rates = binned_rates.rates(
    counts,
    embeddings,
    labels,
    fmrs=fmrs,
    resampling=bootstrap.Resampling(draws=20),
  )
  expected = error_rates.eer_and_tars(genuine, impostor, fmrs)
  assert 0.02 < expected[0] < 0.2
  assert rates['eer']['value'] == pytest.approx(expected[0], abs=1e-12)
  for fmr, tar in zip(fmrs[:3], expected[1:], strict=False):
    value = rates[verification.fnmr_name(fmr)]['value']
    assert value == pytest.approx(1 - tar, abs=1e-12)
  # 101,000 impostor pairs.
  assert rates['fnmr@fmr=1e-4'] == {
    'value': None,
    'reason': f'not measurable with {len(impostor)} pairs',
  }
  assert json.loads(json.dumps(rates)) == rates


def test_rates_with_ties():
  """Products are multiples of 1/8: the EER lies between two far levels."""
  generator = np.random.default_rng(1)
  labels = np.repeat(np.arange(40), 5)
  signs = generator.choice([-0.25, 0.25], size=(40, 16))[labels]
  flips = generator.random((200, 16)) < 0.2
  embeddings = np.where(flips, -signs, signs)
  scores = verification.pair_scores(embeddings, labels)
  settings = {'fmrs': (0.1, 0.01), 'resampling': bootstrap.Resampling(draws=5)}
  rates = binned_rates.rates(
    streaming.count_pairs(embeddings, labels), embeddings, labels, **settings
  )
  expected = verification.fnmr_rates(scores, **settings)
  for name, rate in expected.items():
    assert rates[name]['value'] == pytest.approx(rate['value'], abs=1e-12)


def test_thresholds_are_within_a_bin(measured):
  embeddings, labels, counts, genuine, impostor = measured
  scores = verification.pair_scores(embeddings, labels)
  for fmr in (0.3, 1e-2, 1e-3):
    point = binned_rates.threshold_at_fmr(counts, fmr)
    exact = error_rates.threshold_at_fmr(scores.impostor, fmr)
    assert abs(point.threshold - exact.threshold) <= streaming.WIDTH + 1e-6
    assert np.mean(impostor >= point.threshold) <= fmr
    assert np.mean(impostor >= point.threshold - streaming.WIDTH) > fmr
    assert point[1:] == exact[1:]
  assert binned_rates.eer_threshold(counts) == pytest.approx(
    error_rates.eer_threshold(genuine, impostor), abs=streaming.WIDTH
  )
  with pytest.raises(ValueError, match='rule of 30'):
    binned_rates.threshold_at_fmr(counts, 1e-5)


def test_det_is_that_of_rounded_scores(measured):
  _, _, counts, genuine, impostor = measured
  points = binned_rates.det_points(counts, num_points=60)
  expected = error_rates.det_points(genuine, impostor, num_points=60)
  np.testing.assert_allclose(points, expected, atol=1e-12)
  thresholds, fmr, fnmr = binned_rates.fmr_fnmr(counts)
  assert (fmr[0], fnmr[0], fmr[-1], fnmr[-1]) == (0.0, 1.0, 1.0, 0.0)
  some = slice(20_000, 40_000, 1999)
  for t, x, y in zip(thresholds[some], fmr[some], fnmr[some], strict=True):
    assert x == pytest.approx(np.mean(impostor >= t), abs=1e-12)
    assert y == pytest.approx(np.mean(genuine < t), abs=1e-12)


def test_d_prime(measured):
  embeddings, labels, counts, _, _ = measured
  scores = verification.pair_scores(embeddings, labels)
  wanted = error_rates.d_prime(scores.genuine, scores.impostor)
  assert binned_rates.d_prime(counts)['value'] == pytest.approx(
    wanted['value'], abs=2e-4
  )


def test_intervals_are_those_of_the_full_bootstrap(measured):
  """First order on the impostor side, against resampled pairs."""
  embeddings, labels, counts, _, _ = measured
  fmrs = (0.1, 1e-2, 1e-3)
  scores = verification.pair_scores(embeddings, labels)
  settings = {'fmrs': fmrs, 'resampling': bootstrap.Resampling(draws=400)}
  full = verification.fnmr_rates(scores, **settings)
  rates = binned_rates.rates(counts, embeddings, labels, **settings)
  for name, rate in rates.items():
    assert rate['low'] < rate['value'] < rate['high']
    width = full[name]['high'] - full[name]['low']
    for side in ('low', 'high'):
      assert rate[side] == pytest.approx(full[name][side], abs=0.1 * width), (
        name
      )


def test_intervals_where_few_identities_make_the_false_matches():
  """Twelve alike, with more images than others: they decide the threshold."""
  generator = np.random.default_rng(2)
  images = np.repeat([8, 3], [12, 68])
  labels = np.repeat(np.arange(80), images)
  centres = generator.normal(size=(80, 16))
  centres[:12] = centres[0] + 0.8 * centres[:12]
  x = centres[labels] + 0.5 * generator.normal(size=(len(labels), 16))
  embeddings = x / np.linalg.norm(x, axis=1, keepdims=True)
  settings = {
    'fmrs': (1e-2, 3e-3),
    'resampling': bootstrap.Resampling(draws=800),
  }
  full = verification.fnmr_rates(
    verification.pair_scores(embeddings, labels), **settings
  )
  rates = binned_rates.rates(
    streaming.count_pairs(embeddings, labels), embeddings, labels, **settings
  )
  for name, rate in rates.items():
    width = full[name]['high'] - full[name]['low']
    for side in ('low', 'high'):
      assert rate[side] == pytest.approx(full[name][side], abs=0.15 * width), (
        name
      )


def test_no_error_seen_reaches_to_the_rule_of_3():
  labels = np.repeat(np.arange(10), 2)
  counts = streaming.count_pairs(np.eye(10)[labels], labels)
  rates = binned_rates.rates(
    counts,
    np.eye(10)[labels],
    labels,
    fmrs=(0.5,),
    resampling=bootstrap.Resampling(draws=30),
  )
  bound = 1 - 0.05 ** (1 / 10)
  for name in ('eer', 'fnmr@fmr=5e-1'):
    assert rates[name] == pytest.approx({'value': 0, 'low': 0, 'high': bound})


@pytest.mark.parametrize('fmr', [0.0, 1.0])
def test_fmr_outside_of_0_1(measured, fmr):
  embeddings, labels, counts, _, _ = measured
  with pytest.raises(ValueError, match='between 0 and 1'):
    binned_rates.rates(counts, embeddings, labels, fmrs=(fmr,))
