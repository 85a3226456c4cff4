import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.recognition import claims, verification


def _scores(images, seed=0):
  """Of so many images of each identity, those of one more alike."""
  labels = np.repeat(np.arange(len(images)), images)
  rng = np.random.default_rng(seed)
  matrix = rng.normal(size=(len(labels), len(labels))).astype(np.float32)
  matrix += 2.0 * (labels[:, None] == labels)
  matrix = (matrix + matrix.T) / 2
  return verification.matrix_scores(matrix, labels), matrix, labels


def test_golden_rates():
  labels = np.array([0, 0, 1, 1, 2, 2])
  matrix = np.full((6, 6), 0.1, np.float32)
  for i, j, score in ((0, 1, 0.9), (2, 3, 0.4), (4, 5, 0.8), (0, 2, 0.6)):
    matrix[i, j] = matrix[j, i] = score
  scores = verification.matrix_scores(matrix, labels)
  rates = claims.rates(scores, {0.5: 0.5, 0.1: 'none was set'})
  assert rates['fmr@claimed=5e-1']['reason'] == 'not measurable with 12 pairs'
  assert rates['fnmr@claimed=5e-1']['value'] == pytest.approx(1 / 3)
  assert rates['fmr@claimed=1e-1'] == {'value': None, 'reason': 'none was set'}
  assert rates['fnmr@claimed=1e-1']['reason'] == 'none was set'


def test_a_score_at_the_threshold_is_a_match():
  scores, _, _ = _scores([4] * 8)
  highest = float(scores.impostor.max())
  rate = claims.rates(scores, {0.1: highest})['fmr@claimed=1e-1']
  assert rate['value'] == 1 / len(scores.impostor)
  above = float(np.nextafter(np.float32(highest), np.float32(9)))
  rate = claims.rates(scores, {0.1: above})['fmr@claimed=1e-1']
  assert rate['value'] == 0.0
  # Rule of 3, of 8 identities.
  assert rate['high'] == pytest.approx(1 - 0.05 ** (1 / 8))


def test_intervals_are_those_of_copied_people():
  images = [2, 3, 5, 4, 3, 6, 2, 4]
  scores, matrix, labels = _scores(images)
  resampling = bootstrap.Resampling(draws=40, seed=3)
  draws = np.random.Generator(np.random.PCG64(3)).multinomial(
    8, np.full(8, 1 / 8), size=40
  )
  threshold, twins = 0.8, []
  for draw in draws:
    people = np.repeat(np.arange(8), draw)
    genuine, impostor = [], []
    for k, one in enumerate(people):
      mine = np.flatnonzero(labels == one)
      block = matrix[np.ix_(mine, mine)]
      genuine.append(block[np.triu_indices(len(mine), 1)])
      for other in people[k + 1 :]:
        if other != one:
          block = matrix[np.ix_(mine, np.flatnonzero(labels == other))]
          impostor.append(block.ravel())
    genuine, impostor = map(np.concatenate, (genuine, impostor))
    twins.append([np.mean(impostor >= threshold), np.mean(genuine < threshold)])
  rates = claims.rates(scores, {0.2: threshold}, resampling=resampling)
  for name, twin in zip(
    ('fmr@claimed=2e-1', 'fnmr@claimed=2e-1'), np.transpose(twins), strict=True
  ):
    # So few draws that the interval is all of them.
    assert rates[name]['low'] == pytest.approx(twin.min())
    assert rates[name]['high'] == pytest.approx(twin.max())
    assert rates[name]['low'] < rates[name]['value'] < rates[name]['high']
  assert rates['fmr@claimed=2e-1']['value'] == np.mean(
    scores.impostor >= threshold
  )


def test_only_pairs_across_sessions_count():
  labels = np.repeat(np.arange(6), 4)
  sessions = np.tile([0, 0, 1, 1], 6)
  rng = np.random.default_rng(1)
  matrix = rng.normal(size=(24, 24)).astype(np.float32)
  scores = verification.matrix_scores(matrix, labels, sessions=sessions)
  rate = claims.rates(scores, {0.5: 0.0})['fmr@claimed=5e-1']
  assert rate['value'] == np.mean(scores.impostor >= 0.0)
  assert 0 <= rate['low'] <= rate['value'] <= rate['high'] <= 1
