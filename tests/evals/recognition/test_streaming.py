import numpy as np
import pytest

from palmjax.evals.recognition import streaming, verification


def grid(generator, count):
  """Unit vectors whose products are multiples of 1/8: exact in float32."""
  return generator.choice([-0.25, 0.25], size=(count, 16)).astype(np.float32)


def test_counts_are_those_of_the_list():
  """Over the border of a block, with ties, in no order of labels."""
  generator = np.random.default_rng(0)
  embeddings = grid(generator, 2100)
  labels = generator.permutation(np.repeat(np.arange(700) * 3 - 50, 3))
  labels[:2] = 10**6, 10**6 + 1  # Identities with one image.
  scores = verification.pair_scores(embeddings, labels)
  counts = streaming.count_pairs(embeddings, labels)
  np.testing.assert_array_equal(
    counts.impostor,
    np.bincount(
      np.floor((scores.impostor + 1) * 2**15).astype(int),
      minlength=2**16 + 1,
    ),
  )
  assert counts.impostor[2**16] > 0  # Equal images of two identities.
  np.testing.assert_array_equal(counts.images, scores.images)
  counted, expected = (
    sorted(zip(x.genuine_identity, x.genuine, strict=True))
    for x in (counts, scores)
  )
  assert counted == expected


def test_a_score_moves_by_one_bin_at_most():
  """Two ways to sum a product differ in the last bits."""
  generator = np.random.default_rng(1)
  embeddings = generator.normal(size=(400, 128)).astype(np.float32)
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  labels = np.repeat(np.arange(100), 4)
  scores = verification.pair_scores(embeddings, labels)
  counts = streaming.count_pairs(embeddings, labels)
  edges = streaming.edge_of(
    np.repeat(np.arange(streaming.BINS), counts.impostor)
  )
  above = np.sort(scores.impostor) - edges
  assert above.min() > -1e-6
  assert above.max() < streaming.WIDTH + 1e-6
  np.testing.assert_allclose(
    np.sort(counts.genuine), np.sort(scores.genuine), atol=1e-6
  )


def test_matches_of_each_identity():
  generator = np.random.default_rng(2)
  embeddings = grid(generator, 2060)
  labels = generator.permutation(np.arange(2060) % 103)
  scores = verification.pair_scores(embeddings, labels)
  thresholds = [-0.125, 0.5, 0.5 + streaming.WIDTH, 1.0]
  matches = streaming.count_matches(embeddings, labels, thresholds)
  expected = [
    np.bincount(
      scores.impostor_identity[:, scores.impostor >= threshold].ravel(),
      minlength=103,
    )
    for threshold in thresholds
  ]
  np.testing.assert_array_equal(matches, expected)
  assert (matches[:3].min(axis=1) > 0).all()


def test_bins():
  assert streaming.bin_of([-1.5, -1.0, 0.0, 1.0, 1.001]).tolist() == [
    0,
    0,
    2**15,
    2**16,
    2**16,
  ]
  bins = np.arange(streaming.BINS)
  np.testing.assert_array_equal(streaming.bin_of(streaming.edge_of(bins)), bins)
  below = np.nextafter(streaming.edge_of(bins[1:]), -2)
  np.testing.assert_array_equal(streaming.bin_of(below), bins[1:] - 1)


@pytest.mark.parametrize(
  'embeddings, labels, message',
  [
    (np.eye(3), [0, 1, 2], 'No genuine pair'),
    (np.eye(3), [4, 4, 4], 'No impostor pair'),
    (np.full((3, 2), np.nan), [0, 0, 1], 'NaN'),
    (2 * np.eye(3), [0, 0, 1], 'unit L2 norm'),
  ],
)
def test_bad_embeddings(embeddings, labels, message):
  with pytest.raises(ValueError, match=message):
    streaming.count_pairs(embeddings, labels)
