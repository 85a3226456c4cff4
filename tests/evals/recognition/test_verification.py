import itertools
import json

import numpy as np
import pytest
from scipy import stats

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, verification

# Ties on both sides: 0.9 and 0.6 are genuine and impostor scores at once.
GENUINE = [0.9, 0.9, 0.8, 0.6, 0.6, 0.6, 0.5, 0.2]
IMPOSTOR = [0.9, 0.7, 0.6, 0.6, 0.4, 0.4, 0.3, 0.1, 0.1, 0.0]


def tar_at_far(genuine, impostor, far):
  return error_rates.eer_and_tars(genuine, impostor, (far,))[1]


def points_twin(genuine, impostor):
  """(FMR, FNMR) counted threshold by threshold, from infinity down."""
  thresholds = [np.inf, *sorted({*genuine, *impostor}, reverse=True)]
  return [
    (
      sum(s >= t for s in impostor) / len(impostor),
      sum(s < t for s in genuine) / len(genuine),
    )
    for t in thresholds
  ]


def eer_twin(genuine, impostor):
  """Walks the line through the points until it meets the diagonal."""
  points = points_twin(genuine, impostor)
  for (x0, y0), (x1, y1) in itertools.pairwise(points):
    if x1 >= y1:
      along = (y0 - x0) / ((y0 - x0) + (x1 - y1))
      return x0 + along * (x1 - x0)
  raise AssertionError('The line ends at (1, 0).')


def tar_twin(genuine, impostor, far):
  points = points_twin(genuine, impostor)
  return max(1.0 - fnmr for fmr, fnmr in points if fmr <= far)


def unit(x):
  return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def embed(generator, images, *, noise=1.5, dims=16):
  """Embeddings of identities with `images[k]` images each, shuffled."""
  labels = np.repeat(np.arange(len(images)), images)
  centres = generator.normal(size=(len(images), dims))
  spread = noise * generator.normal(size=(len(labels), dims))
  order = generator.permutation(len(labels))
  return unit(centres[labels] + spread)[order], labels[order]


def test_golden_rates_with_ties():
  # Down to 0.6: FMR 0.2 → 0.4 while FNMR 0.625 → 0.25. The line crosses at
  # 0.2 + 0.2·0.425/0.575.
  assert error_rates.eer(GENUINE, IMPOSTOR) == pytest.approx(
    0.2 + 0.2 * 0.425 / 0.575, abs=1e-12
  )
  # FMR ≤ 0.1 stops above 0.7 and lets both 0.9 and 0.8 through: 3 of 8.
  assert tar_at_far(GENUINE, IMPOSTOR, 0.1) == 0.375
  # The two tied impostors at 0.6 pass together or not at all.
  assert tar_at_far(GENUINE, IMPOSTOR, 0.3) == 0.375
  assert tar_at_far(GENUINE, IMPOSTOR, 0.4) == 0.875
  assert tar_at_far(GENUINE, IMPOSTOR, 0.05) == 0.0


@pytest.mark.parametrize(
  'genuine, impostor, expected',
  [
    ([1.0, 0.9], [0.2, 0.1], 0.0),  # Apart.
    ([0.1, 0.2], [0.9, 1.0], 1.0),  # Apart, the wrong way round.
    ([0.5, 0.5], [0.5], 0.5),  # One tie: the line is the other diagonal.
    ([0.9, 0.3], [0.5, 0.5, 0.5], 0.5),  # Crossed by impostor pairs alone.
    ([0.5, 0.5], [0.9, 0.3, 0.2, 0.1], 0.25),  # Crossed by genuine alone.
  ],
)
def test_golden_eer(genuine, impostor, expected):
  assert error_rates.eer(genuine, impostor) == pytest.approx(expected)


def test_rates_match_counting():
  generator = np.random.default_rng(0)
  for case in range(60):
    levels = generator.integers(2, 30)  # Few levels: many ties.
    genuine = (
      generator.integers(0, levels, generator.integers(1, 25)) + case % 4
    )
    impostor = generator.integers(0, levels, generator.integers(1, 40))
    genuine, impostor = (x / 32 for x in (genuine, impostor))
    assert error_rates.eer(genuine, impostor) == pytest.approx(
      eer_twin(genuine, impostor), abs=1e-12
    )
    for far in (0.01, 0.1, 0.25, 0.5):
      assert tar_at_far(genuine, impostor, far) == pytest.approx(
        tar_twin(genuine, impostor, far), abs=1e-12
      )
    _, fmr, fnmr = error_rates.fmr_fnmr(genuine, impostor)
    np.testing.assert_allclose(
      np.stack([fmr, fnmr], 1), points_twin(genuine, impostor), atol=1e-12
    )


def test_rates_ignore_monotone_transforms():
  generator = np.random.default_rng(1)
  genuine = generator.normal(1.0, 1.0, 300)
  impostor = generator.normal(0.0, 1.0, 500)
  bent = [np.tanh(x) ** 3 + 5 for x in (genuine, impostor)]
  assert error_rates.eer(*bent) == error_rates.eer(genuine, impostor)
  assert tar_at_far(*bent, 0.1) == tar_at_far(genuine, impostor, 0.1)


def test_eer_is_symmetric():
  """Distances for similarities: the two errors change places."""
  genuine, impostor = np.array(GENUINE), np.array(IMPOSTOR)
  assert error_rates.eer(-impostor, -genuine) == pytest.approx(
    error_rates.eer(genuine, impostor), abs=1e-12
  )


def test_eer_threshold_and_d_prime():
  assert error_rates.eer_threshold(GENUINE, IMPOSTOR) == 0.6
  # Means 2 and 0, variances 1 and 4: 2 / sqrt(2.5).
  value = error_rates.d_prime([1.0, 3.0], [-2.0, 2.0])
  assert value == {'value': pytest.approx(2 / np.sqrt(2.5))}


def test_d_prime_of_a_network_that_collapsed():
  value = error_rates.d_prime([0.5, 0.5], [0.5, 0.5, 0.5])
  assert value == {'value': None, 'reason': 'all scores of a kind are equal'}
  value = error_rates.d_prime([1.0, 0.0], [0.0])
  assert value == {'value': pytest.approx(2**0.5)}


def test_rule_of_30():
  # 5 identities of 5 images: 250 impostor pairs. 30/250 = 0.12.
  embeddings, labels = embed(np.random.default_rng(4), [5] * 5)
  rates = verification.evaluate(
    embeddings,
    labels,
    fars=(0.5, 0.12, 0.1, 1e-3),
    resampling=bootstrap.Resampling(draws=20),
  )
  assert list(rates) == [
    'eer',
    'tar@far=5e-1',
    'tar@far=1.2e-1',
    'tar@far=1e-1',
    'tar@far=1e-3',
  ]
  for name in ('eer', 'tar@far=5e-1', 'tar@far=1.2e-1'):
    assert rates[name].keys() == {'value', 'low', 'high'}
  for name in ('tar@far=1e-1', 'tar@far=1e-3'):
    assert rates[name] == {
      'value': None,
      'reason': 'not measurable with 250 pairs',
    }
  assert json.loads(json.dumps(rates)) == rates


def test_det_points_stop_at_30_impostor_pairs():
  generator = np.random.default_rng(5)
  genuine = generator.normal(1.0, 1.0, 200)
  impostor = generator.normal(0.0, 1.0, 3000)
  fmr, fnmr = error_rates.det_points(genuine, impostor, num_points=50)
  assert fmr[0] * 3000 == pytest.approx(30)
  assert fmr[-1] == 1.0
  assert len(fmr) <= 50
  curve = np.round(points_twin(genuine, impostor), 9).tolist()
  assert all(
    [round(x, 9), round(y, 9)] in curve for x, y in zip(fmr, fnmr, strict=True)
  )
  fmr, _ = error_rates.det_points(genuine, impostor[:29])
  assert fmr.size == 0


def test_value_is_that_of_the_plain_lists():
  embeddings, labels = embed(np.random.default_rng(6), [1, 2, 3, 4, 5, 6, 7])
  scores = verification.pair_scores(embeddings, labels)
  rates = verification.evaluate(
    embeddings, labels, fars=(0.2,), resampling=bootstrap.Resampling(draws=50)
  )
  assert rates['eer']['value'] == pytest.approx(
    eer_twin(scores.genuine, scores.impostor), abs=1e-12
  )
  assert rates['tar@far=2e-1']['value'] == pytest.approx(
    tar_twin(scores.genuine, scores.impostor, 0.2), abs=1e-12
  )


@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('num_sessions', [None, 2, 3])
def test_bootstrap_matches_copied_lists(seed, num_sessions):
  """The same draws, with every pair written out as often as it counts."""
  images = [4, 5, 6, 5, 4, 1, 5]
  embeddings, labels = embed(np.random.default_rng(seed), images, dims=3)
  embeddings = unit(np.round(embeddings, 1))  # Ties.
  sessions = None
  if num_sessions:
    generator = np.random.default_rng(seed)
    sessions = 5 * generator.integers(num_sessions, size=len(labels))
    sessions[labels == 0] = 5  # Several images, but no genuine pair.
  scores = verification.pair_scores(embeddings, labels, sessions=sessions)
  independent = 5 if num_sessions else 6
  assert len({*scores.genuine_identity}) == independent
  fars, draws = (0.4, 0.2), 60

  generator = np.random.Generator(np.random.PCG64(11))
  weights = generator.multinomial(7, np.full(7, 1 / 7), size=draws)
  twins = []
  for w in weights:
    first, second = scores.impostor_identity
    genuine = np.repeat(scores.genuine, w[scores.genuine_identity])
    impostor = np.repeat(scores.impostor, w[first] * w[second])
    if not len(genuine) or not len(impostor):
      continue
    twins.append(
      [eer_twin(genuine, impostor)]
      + [tar_twin(genuine, impostor, far) for far in fars]
    )
  # Student's t: degrees of freedom one fewer than identities with such pairs.
  tail = stats.norm.cdf(
    -stats.t.ppf(0.8, independent - 1)
    * np.sqrt(independent / (independent - 1))
  )
  low, high = np.quantile(
    twins, [tail, 1 - tail], axis=0, method='inverted_cdf'
  )

  rates = verification.rates(
    scores,
    fars=fars,
    resampling=bootstrap.Resampling(draws=draws, seed=11, confidence=0.6),
  )
  for k, name in enumerate(('eer', 'tar@far=4e-1', 'tar@far=2e-1')):
    value = rates[name]['value']
    assert rates[name]['low'] == pytest.approx(min(low[k], value), abs=1e-12)
    assert rates[name]['high'] == pytest.approx(max(high[k], value), abs=1e-12)


@pytest.mark.parametrize('far', [0.0, 1.0, 2.0])
def test_far_outside_of_0_1(far):
  embeddings, labels = embed(np.random.default_rng(12), [4] * 6)
  with pytest.raises(ValueError, match='between 0 and 1'):
    verification.evaluate(
      embeddings,
      labels,
      fars=(0.2, far),
      resampling=bootstrap.Resampling(draws=2),
    )


@pytest.mark.parametrize(
  'far, name',
  [(1e-3, '1e-3'), (0.05, '5e-2'), (2.5e-4, '2.5e-4'), (0.1, '1e-1')],
)
def test_metric_names(far, name):
  assert verification.tar_name(far) == f'tar@far={name}'
