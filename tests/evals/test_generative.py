import numpy as np
import pytest

from palmjax.evals import generative


def squared_mmd_twin(x, y):
  """Three double loops over the definition."""

  def kernel(a, b):
    return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

  n, m = len(x), len(y)
  within_x = sum(
    kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j
  )
  within_y = sum(
    kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j
  )
  between = sum(kernel(a, b) for a in x for b in y)
  return (
    within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)
  )


def test_squared_mmd_golden():
  # d = 1: k(0,0) = 1, k(1,1) = 8, k(0,1) = 1. Within 1 and 8, between 1.
  x, y = np.zeros((2, 1)), np.ones((3, 1))
  assert generative.squared_mmd(x, y) == pytest.approx(1 + 8 - 2)


def test_squared_mmd_matches_loops():
  generator = np.random.default_rng(0)
  x = generator.normal(size=(7, 5))
  y = generator.normal(size=(9, 5)) * 1.5 + 0.3
  assert generative.squared_mmd(x, y) == pytest.approx(
    squared_mmd_twin(x, y), rel=1e-12
  )


def test_kid_is_the_mean_over_subsets():
  generator = np.random.default_rng(1)
  real, fake = generator.normal(size=(2, 20, 4))
  draw = np.random.Generator(np.random.PCG64(5))
  values = []
  for _ in range(6):
    x = real[draw.choice(20, 8, replace=False)]
    y = fake[draw.choice(20, 8, replace=False)]
    values.append(squared_mmd_twin(x, y))
  distance = generative.kid(real, fake, subsets=6, subset_size=8, seed=5)
  assert distance['value'] == pytest.approx(np.mean(values), rel=1e-9)
  assert distance['std'] == pytest.approx(np.std(values), rel=1e-9)


def test_kid_of_one_distribution_is_unbiased():
  """Mean 0 over many small draws; the biased form would stand at 0.5 here."""
  generator = np.random.default_rng(2)
  values = [
    generative.squared_mmd(*generator.normal(size=(2, 12, 8)))
    for _ in range(800)
  ]
  error = np.std(values) / np.sqrt(len(values))
  assert abs(np.mean(values)) < 3 * error
  assert error < 0.02
  assert min(values) < 0.0


def test_kid_grows_with_the_shift():
  generator = np.random.default_rng(3)
  real, fake = generator.normal(size=(2, 400, 16))
  values = [
    generative.kid(real, fake + shift, subsets=10)['value']
    for shift in (0.0, 0.3, 1.0)
  ]
  assert abs(values[0]) < 0.05 * values[1]
  assert 3 * values[1] < values[2]


def test_kid_subset_is_half_at_most():
  generator = np.random.default_rng(4)
  distance = generative.kid(
    *generator.normal(size=(2, 10, 3)), subsets=20, subset_size=1000
  )
  assert distance['std'] > 0.0


@pytest.mark.parametrize(
  'real, fake, message',
  [
    (np.ones((3, 2)), np.ones((9, 2)), 'at least 4'),
    (np.ones((9, 2)), np.full((9, 2), np.nan), 'NaN'),
    (np.ones((0, 2)), np.ones((9, 2)), 'empty'),
  ],
)
def test_kid_bad_input(real, fake, message):
  with pytest.raises(ValueError, match=message):
    generative.kid(real, fake)


def test_nearest_distances_match_loops():
  generator = np.random.default_rng(5)
  queries = generator.normal(size=(600, 3))  # More than a block.
  points = generator.normal(size=(7, 3))
  expected = [
    min(np.linalg.norm(query - point) for point in points) for query in queries
  ]
  np.testing.assert_allclose(
    generative.nearest_distances(queries, points), expected, atol=1e-7
  )


def test_memorisation_tells_copies_from_new_images():
  generator = np.random.default_rng(6)
  training, held_out, new = generator.normal(size=(3, 300, 8))
  honest = generative.memorisation(training, held_out, new)
  assert honest['value'] == pytest.approx(1.0, abs=0.1)
  assert honest['copied'] < 0.04
  copies = training + 1e-3 * generator.normal(size=training.shape)
  caught = generative.memorisation(training, held_out, copies)
  assert caught['value'] < 0.01
  assert caught['copied'] == 1.0
  # Half of the images copied: the share says so.
  half = np.concatenate([copies[:150], new[:150]])
  assert generative.memorisation(training, held_out, half)[
    'copied'
  ] == pytest.approx(0.5, abs=0.02)


def test_memorisation_golden():
  training = np.array([[0.0], [10.0]])
  held_out = np.array([[1.0], [2.0], [13.0]])  # 1, 2, 3 from the nearest.
  generated = np.array([[0.5], [11.0], [9.5]])  # 0.5, 1, 0.5.
  ratio = generative.memorisation(training, held_out, generated)
  assert ratio['value'] == pytest.approx(0.5 / 2.0)
  assert ratio['copied'] == 1.0  # All below the 1 % point, 1.02.
  with pytest.raises(ValueError, match='repeat'):
    generative.memorisation(training, training, generated)


def test_diversity_golden():
  real = np.array([[0.0], [1.0], [3.0]])  # Distances 1, 2, 3.
  spread = generative.diversity(real, real * 0.5)
  assert spread == pytest.approx({'value': 0.5, 'real': 2.0, 'generated': 1.0})
  assert generative.diversity(real, np.ones((5, 1)))['value'] == 0.0


def test_diversity_matches_loops_over_blocks():
  generator = np.random.default_rng(7)
  x = generator.normal(size=(520, 3))  # More than a block.
  distances = [
    np.linalg.norm(x[i] - x[j]) for i in range(520) for j in range(i)
  ]
  assert generative.diversity(x, x[:2])['real'] == pytest.approx(
    np.mean(distances), rel=1e-9
  )


@pytest.mark.parametrize(
  'real, message', [(np.ones((1, 2)), 'at least 2'), (np.ones((4, 2)), 'equal')]
)
def test_diversity_bad_input(real, message):
  with pytest.raises(ValueError, match=message):
    generative.diversity(real, np.ones((4, 2)))
