"""Parts of a score and their fusion against loops in NumPy."""

import math

import numpy as np
import pytest
from scipy import linalg

from palmjax.inference import orientation_code, parts
from tests.inference import drawn_palms


@pytest.fixture(scope='module')
def palms():
  """Three palms and two others, of random codes with something in common."""
  rng = np.random.default_rng(3)
  templates = drawn_palms.random_templates(rng, 5, shared=1.0)
  return templates.take(slice(0, 3)), templates.take(slice(3, 5))


@pytest.fixture(scope='module')
def common():
  """The means of some more palms, and a whitening of many."""
  rng = np.random.default_rng(4)
  means = parts.means(drawn_palms.random_templates(rng, 9, shared=1.0))
  return means._replace(whitening=parts.whitening(rng.normal(size=(20, 16))))


def crops(code, shift):
  """All crops of a code that `shift` leaves room for."""
  side = 32 - 2 * shift
  for y in range(2 * shift + 1):
    for x in range(2 * shift + 1):
      yield code[y : y + side, x : x + side]


def cosine(a, b):
  return np.sum(a * b) / math.sqrt(np.sum(a * a) * np.sum(b * b))


def own_code_score(first, second, shift, mean):
  """½ of the best crop of one for the other's centre, ½ of the reverse."""
  first, second = first / 127 - mean, second / 127 - mean
  centre = slice(shift, 32 - shift)
  return (
    sum(
      max(
        cosine(crop, kept[2, centre, centre])
        for turned in moved
        for crop in crops(turned, shift)
      )
      for moved, kept in ((first, second), (second, first))
    )
    / 2
  )


def test_scores_of_the_parts(palms, common):
  probes, gallery = palms
  whiten = np.eye(16) - common.whitening.T @ common.whitening
  scores = parts.compare(probes, gallery, common)
  assert scores.shape == (3, 3, 2)
  assert scores.dtype == np.float32
  for i in range(3):
    for j in range(2):
      want = [
        own_code_score(
          getattr(probes, name)[i].astype(float),
          getattr(gallery, name)[j].astype(float),
          shift,
          getattr(common, name).astype(float),
        )
        for name, shift in (('fine', 3), ('wide', 6))
      ]
      first, other = (
        (side.network[k].astype(float) - common.network) @ whiten
        for side, k in ((probes, i), (gallery, j))
      )
      want.append(cosine(first, other))
      np.testing.assert_allclose(scores[:, i, j], want, atol=2e-6)


def test_nothing_in_common_takes_nothing_off(palms):
  probes, gallery = palms
  nothing = parts.no_means(16)
  scores = parts.compare(probes, gallery, nothing)
  np.testing.assert_allclose(
    scores[2], probes.network @ gallery.network.T, atol=1e-6
  )
  for k, name in enumerate(parts.CODES):
    want = orientation_code.two_way_scores(
      getattr(probes, name),
      getattr(gallery, name),
      parts.KINDS[name],
    )
    np.testing.assert_array_equal(scores[k], want)


def test_probes_and_gallery_exchanged(palms, common):
  probes, gallery = palms
  np.testing.assert_allclose(
    parts.compare(probes, gallery, common),
    parts.compare(gallery, probes, common).transpose(0, 2, 1),
    atol=1e-6,
  )


def test_a_palm_and_itself_score_one(palms, common):
  probes, _ = palms
  for means in (common, parts.no_means(16)):
    scores = parts.compare(probes, probes, means)
    diagonal = scores[:, np.arange(3), np.arange(3)]
    np.testing.assert_allclose(diagonal, 1.0, atol=1e-6)
    assert scores.max() <= 1.0


def test_a_palm_like_the_mean_scores_nothing(palms, common):
  probes, _ = palms
  bland = probes._replace(network=np.repeat(common.network[None], 3, axis=0))
  scores = parts.compare(bland, probes, common)[2]
  np.testing.assert_array_equal(scores, np.zeros((3, 3)))


def test_means_count_each_palm_once():
  rng = np.random.default_rng(5)
  palms = drawn_palms.random_templates(rng, 7)
  means = parts.means(palms)
  for name in parts.CODES:
    codes = getattr(palms, name)
    want = sum(codes[i, 2].astype(float) / 127 for i in range(7)) / 7
    np.testing.assert_allclose(getattr(means, name), want, atol=1e-6)
  want = sum(palms.network[i].astype(float) for i in range(7)) / 7
  np.testing.assert_allclose(means.network, want, atol=1e-6)


def test_whitening_is_the_inverse_root_of_a_shrunk_covariance():
  rng = np.random.default_rng(6)
  embeddings = rng.normal(size=(40, 4)) * (5.0, 1.0, 0.2, 0.0) + 3.0
  rows = parts.whitening(embeddings, 0.75)
  matrix = np.eye(4) - rows.T @ rows
  covariance = np.cov(embeddings.T, bias=True)
  scale = np.trace(covariance) / 4
  shrunk = 0.25 * covariance + 0.75 * scale * np.eye(4)
  want = np.sqrt(0.75 * scale) * linalg.inv(linalg.sqrtm(shrunk))
  np.testing.assert_allclose(matrix, want, atol=1e-6)
  assert rows.dtype == np.float32
  # A direction without variance keeps its length, the widest loses most.
  lengths = np.linalg.norm(matrix, axis=0)
  assert lengths[3] == pytest.approx(1.0)
  assert lengths[0] == lengths.min() < 0.7


def test_nothing_to_whiten():
  rng = np.random.default_rng(7)
  embeddings = rng.normal(size=(40, 4)).astype(np.float32)
  alike = np.repeat(embeddings[:1], 40, axis=0)
  ones = np.ones((40, 1), np.float32)
  for rows in (
    parts.whitening(embeddings, 1.0),
    parts.whitening(alike),
    parts.whitening(ones),
  ):
    np.testing.assert_allclose(rows.T @ rows, 0.0, atol=1e-6)


def test_of_few_palms_little_is_whitened():
  rng = np.random.default_rng(9)
  embeddings = rng.normal(size=(200, 6)) * (3.0, 1.0, 1.0, 1.0, 1.0, 1.0)
  np.testing.assert_array_equal(
    parts.whitening(embeddings), parts.whitening(embeddings, 0.98)
  )
  few = embeddings[:20]
  taken = [np.linalg.norm(parts.whitening(x), ord=2) for x in (few, embeddings)]
  assert taken[0] < taken[1]


def test_few_palms_whiten_as_strongly_as_many():
  """λ = 9800 / (9800 + M), for M / 10 directions, of M palms in place of N."""
  rng = np.random.default_rng(10)
  embeddings = rng.normal(size=(45, 30)) * np.arange(30, 0, -1)
  rows = parts.whitening(embeddings, strength=200)
  want = parts.whitening(embeddings, 0.98)
  assert (len(rows), len(want)) == (20, 4)
  np.testing.assert_allclose(rows[:4], want, atol=1e-7)
  templates = drawn_palms.random_templates(rng, 45)
  means = parts.means(templates, strength=200)
  np.testing.assert_array_equal(
    means.whitening, parts.whitening(templates.network, strength=200)
  )
  np.testing.assert_array_equal(means.fine, parts.means(templates).fine)


def test_as_many_directions_as_a_tenth_of_the_palms_are_whitened():
  """What fewer palms show is not kept: it would tell who they are."""
  rng = np.random.default_rng(8)
  embeddings = rng.normal(size=(39, 8)) * np.arange(8, 0, -1)
  rows = parts.whitening(embeddings, 0.5)
  assert rows.shape == (3, 8)
  _, _, axes = np.linalg.svd(embeddings - embeddings.mean(axis=0))
  np.testing.assert_allclose(rows @ axes[3:].T, 0.0, atol=1e-6)
  assert (np.linalg.norm(rows @ axes[:3].T, axis=0) > 0.1).all()


def own_fusion(scores, mean, std):
  ratios = [
    math.exp((score - m) / s)
    for score, m, s in zip(scores, mean, std, strict=True)
  ]
  return math.log(sum(ratios) / len(ratios))


@pytest.mark.parametrize('used', [2, 3])
def test_the_fused_score_is_the_log_of_the_mean_ratio(used):
  rng = np.random.default_rng(6)
  scores = rng.uniform(-1, 1, (used, 4, 5)).astype(np.float32)
  # More standards than parts: the first ones count.
  standard = parts.Standard((0.2, 0.3, 0.1), (0.05, 0.06, 0.2))
  fused = parts.fuse(scores, standard)
  assert fused.dtype == np.float64
  for i in range(4):
    for j in range(5):
      want = own_fusion(
        scores[:, i, j].astype(float),
        standard.mean[:used],
        standard.std[:used],
      )
      assert fused[i, j] == pytest.approx(want, abs=1e-12)


def test_a_standard_makes_scores_of_the_tail_logs_of_shares():
  rng = np.random.default_rng(7)
  # Exponential tails of other starts and scales: P(score > x) = exp(-z).
  impostors = np.array([[0.2], [3.0]]) + [[0.05], [0.7]] * rng.exponential(
    size=(2, 200000)
  )
  standard = parts.standard(impostors, 10**9)
  np.testing.assert_allclose(standard.std, [0.05, 0.7], rtol=0.03)
  for share in (0.03, 0.01, 0.001):
    reached = np.quantile(impostors, 1 - share, axis=1)
    z = parts.standardise(reached, standard)
    np.testing.assert_allclose(z, -np.log(share), rtol=0.05)


def test_the_network_weighs_as_much_as_both_codes():
  impostors = np.random.default_rng(11).exponential(size=(1, 5000))
  standard = parts.standard(np.repeat(impostors, 3, axis=0), 10**9)
  reached = np.quantile(impostors[0], 0.95)
  z = parts.standardise(np.full(3, reached), standard)
  want = -np.log(0.05) + np.log([3 / 4, 3 / 4, 3 / 2])
  np.testing.assert_allclose(z, want, rtol=1e-9)
  # Where all shares are one share, the fused score is that share's.
  fused = parts.fuse(np.full(3, reached), standard)
  assert fused == pytest.approx(-np.log(0.05))


def test_of_few_palms_a_standard_is_half_way_to_the_typical_one():
  impostors = np.random.default_rng(8).exponential(size=(1, 780))
  many, few, none = (parts.standard(impostors, n) for n in (10**9, 40, 0))
  assert none.std[0] == pytest.approx(impostors.std() / 2)
  assert few.std[0] == pytest.approx((many.std[0] + none.std[0]) / 2, rel=1e-6)
  # Where 5 % of the pairs are, all of them say so.
  reached = np.quantile(impostors, 0.95, axis=1)
  for standard in (many, few, none):
    z = parts.standardise(reached, standard)
    np.testing.assert_allclose(z, -np.log(0.05), rtol=1e-9)


def test_one_part_that_is_sure_is_enough():
  standard = parts.Standard(np.zeros(3), np.ones(3))
  # exp(5,000) is beyond all numbers; none of the others takes anything off.
  fused = parts.fuse(np.array([5000.0, 0.0, -40.0]), standard)
  assert fused == pytest.approx(5000 - math.log(3))
  assert parts.fuse(np.zeros(3), standard) == pytest.approx(0.0)
  rising = parts.fuse(np.array([[0, 1, 2, 3.0]] + 2 * [[0] * 4]), standard)
  assert (np.diff(rising) > 0).all()


def test_templates_of_images():
  images = drawn_palms.draw(1, 0.6)[:2]
  calls = []

  def embed(images):
    calls.append(images)
    return np.ones((len(images), 4), np.float32) / 2

  templates = parts.templates(embed, images)
  assert templates.fine.shape == templates.wide.shape == (2, 5, 32, 32, 2)
  np.testing.assert_array_equal(
    templates.wide[:, parts.UPRIGHT],
    orientation_code.templates(images, orientation_code.WIDE6),
  )
  np.testing.assert_array_equal(calls, [images])
  one = templates.take([1])
  assert [len(part) for part in one] == [1, 1, 1]
  np.testing.assert_array_equal(one.fine[0], templates.fine[1])
