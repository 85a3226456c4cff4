"""Which pairs are compared: similarities, sessions and refusals."""

import itertools

import numpy as np
import pytest

from palmjax.evals.recognition import verification


def unit(x):
  return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def embed(generator, images, *, noise=1.5, dims=16):
  """Embeddings of identities with `images[k]` images each, shuffled."""
  labels = np.repeat(np.arange(len(images)), images)
  centres = generator.normal(size=(len(images), dims))
  spread = noise * generator.normal(size=(len(labels), dims))
  order = generator.permutation(len(labels))
  return unit(centres[labels] + spread)[order], labels[order]


def test_similarities_of_any_matcher_across_sessions():
  generator = np.random.default_rng(0)
  embeddings = generator.normal(size=(24, 8)).astype(np.float32)
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  labels, sessions = np.arange(24) % 5, generator.integers(0, 3, 24)
  wanted = verification.pair_scores(embeddings, labels, sessions=sessions)
  scores = verification.matrix_scores(
    embeddings @ embeddings.T, labels, sessions=sessions
  )
  for mine, its in zip(scores, wanted, strict=True):
    np.testing.assert_allclose(mine, its, atol=1e-6)
  assert len(scores.genuine) < len(
    verification.matrix_scores(embeddings @ embeddings.T, labels).genuine
  )


def test_pairs_match_two_loops():
  # More rows than a block, so that pairs cross its border.
  embeddings, labels = embed(np.random.default_rng(2), [30] * 20)
  labels = labels * 7 - 3  # Labels need not be dense.
  scores = verification.pair_scores(embeddings, labels)

  genuine, impostor = [], []
  for i, j in itertools.combinations(range(len(labels)), 2):
    similarity = float(embeddings[i] @ embeddings[j])
    sides = ((labels[i] + 3) // 7, (labels[j] + 3) // 7)
    if sides[0] == sides[1]:
      genuine.append((sides[0], similarity))
    else:
      impostor.append((*sides, similarity))
  rows = np.stack([scores.genuine_identity, scores.genuine], 1)
  _assert_same_rows(rows, genuine)
  rows = np.stack([*scores.impostor_identity, scores.impostor], 1)
  _assert_same_rows(rows, impostor)
  assert scores.images.tolist() == [30] * 20


def _assert_same_rows(rows, expected):
  rows, expected = np.asarray(rows, float), np.asarray(expected, float)
  assert rows.shape == expected.shape
  order = [x[np.lexsort(x.T[::-1])] for x in (rows, expected)]
  np.testing.assert_allclose(*order, atol=2e-6)


def test_identity_with_one_image_makes_impostor_pairs_only():
  embeddings, labels = embed(np.random.default_rng(3), [1, 3, 2])
  scores = verification.pair_scores(embeddings, labels)
  assert np.bincount(scores.genuine_identity).tolist() == [0, 3, 1]
  assert len(scores.impostor) == 1 * 3 + 1 * 2 + 3 * 2


@pytest.mark.parametrize(
  'embeddings, labels, message',
  [
    (np.eye(3), [0, 1, 2], 'No genuine pair'),
    (np.eye(3), [4, 4, 4], 'No impostor pair'),
    (np.array([[1, 0], [np.nan, 0], [0, 1]]), [0, 0, 1], 'NaN'),
    (2 * np.eye(3), [0, 0, 1], 'unit L2 norm'),
    (np.zeros((0, 2)), np.zeros(0, int), 'No genuine pair'),
  ],
)
def test_bad_embeddings(embeddings, labels, message):
  with pytest.raises(ValueError, match=message):
    verification.pair_scores(embeddings, labels)


def test_matrix_scores_are_those_of_a_matcher():
  generator = np.random.default_rng(5)
  labels = np.repeat([7, 3, 5], [3, 1, 2])
  matrix = generator.normal(size=(6, 6)).astype(np.float32)  # Not symmetric.
  scores = verification.matrix_scores(matrix, labels)
  pairs = list(itertools.combinations(range(6), 2))
  expected = {True: [], False: []}
  for i, j in pairs:
    expected[labels[i] == labels[j]].append(matrix[i, j])
  np.testing.assert_array_equal(
    np.sort(scores.genuine), np.sort(expected[True])
  )
  np.testing.assert_array_equal(
    np.sort(scores.impostor), np.sort(expected[False])
  )
  matrix[0, 1] = np.nan
  with pytest.raises(ValueError, match='check the matcher'):
    verification.matrix_scores(matrix, labels)


def test_only_pairs_across_sessions():
  generator = np.random.default_rng(6)
  embeddings = unit(generator.normal(size=(9, 4)))
  labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
  sessions = np.array([4, 4, 9, 4, 9, 9, 4, 4, 4])
  scores = verification.pair_scores(embeddings, labels, sessions=sessions)
  expected = {True: [], False: []}
  for i, j in itertools.combinations(range(9), 2):
    if sessions[i] != sessions[j]:
      expected[labels[i] == labels[j]].append(embeddings[i] @ embeddings[j])
  assert len(expected[True]) == 4
  assert scores.images.tolist() == [3, 3, 3]
  assert scores.within.tolist() == [[2, 1], [1, 2], [3, 0]]
  np.testing.assert_allclose(
    np.sort(scores.genuine), np.sort(expected[True]), rtol=1e-5
  )
  np.testing.assert_allclose(
    np.sort(scores.impostor), np.sort(expected[False]), rtol=1e-5
  )
  with pytest.raises(ValueError, match='No genuine pair'):
    verification.pair_scores(embeddings, labels, sessions=labels)
