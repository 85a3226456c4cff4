"""AdaFace: margins by the length of an embedding, and their statistics."""

import math

import jax
import numpy as np
import pytest

from palmjax.losses import metric

adaface_logits = jax.jit(metric.adaface_logits)
update_norm_statistics = jax.jit(metric.update_norm_statistics)


def random(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


def at_cosine(cosine):
  """One embedding and two classes: cosines (`cosine`, 0)."""
  sine = math.sqrt(1 - cosine**2)
  head = np.eye(3, dtype=np.float32)[[0, 2]]
  return np.float32([[cosine, sine, 0.0]]), head


def adaface(length, *, cosine=0.8, **options):
  embeddings, head = at_cosine(cosine)
  return adaface_logits(
    length * embeddings,
    head,
    np.array([0]),
    **{'norm_mean': 10.0, 'norm_std': 2.0, 'scale': 1.0} | options,
  )


@pytest.mark.parametrize(
  'length, want',
  [
    # Of usual length: CosFace.
    (10.0, 0.8 - 0.4),
    # ẑ = 1 and ẑ = -1: cos(θ - m) - 2m and cos(θ + m), sin θ = .6, m = .4.
    (20.0, 0.8 * 0.92106099 + 0.6 * 0.38941834 - 0.8),
    (1.0, 0.8 * 0.92106099 - 0.6 * 0.38941834),
    # One deviation: ẑ = .333 · 2 / 2.001, m ẑ = 0.13313343.
    (12.0, math.cos(math.acos(0.8) - 0.13313343) - 0.53313343),
  ],
)
def test_golden_adaface(length, want):
  np.testing.assert_allclose(adaface(length), [[want, 0.0]], atol=2e-6)


def test_adaface_equals_numpy():
  embeddings, head = 3 * random(6, 4), random(5, 4, seed=1)
  labels = np.array([0, 4, 2, 2, 1, 3])
  e, w = np.asarray(embeddings, np.float64), np.asarray(head, np.float64)
  want = np.zeros((6, 5))
  for b in range(6):
    norm = np.linalg.norm(e[b])
    quality = min(max(0.333 * (norm - 5.0) / 1.501, -1), 1)
    for k in range(5):
      cosine = e[b] @ w[k] / norm / np.linalg.norm(w[k])
      if k == labels[b]:
        theta = min(max(math.acos(cosine) - 0.4 * quality, 0), math.pi)
        cosine = math.cos(theta) - 0.4 * quality - 0.4
      want[b, k] = 64 * cosine
  norms = {'norm_mean': np.float32(5.0), 'norm_std': np.float32(1.5)}
  got = adaface_logits(embeddings, head, labels, **norms)
  np.testing.assert_allclose(got, want, atol=1e-3)


def test_adaface_angle_stays_within_half_a_turn():
  # θ - m ẑ < 0, and θ - m ẑ > π.
  near = adaface(20.0, cosine=0.99)
  np.testing.assert_allclose(near, [[1.0 - 0.8, 0.0]], atol=1e-6)
  far = adaface(1.0, cosine=-0.99)
  np.testing.assert_allclose(far, [[-1.0, 0.0]], atol=1e-6)


def test_no_gradient_through_norms():
  # Along an embedding the logits could only change through its norm.
  gradient = jax.jit(jax.grad(lambda length: adaface(length)[0, 0]))(11.0)
  np.testing.assert_allclose(gradient, 0.0, atol=1e-6)
  embeddings, head = at_cosine(0.8)

  def logit(embeddings, quality_of):
    return metric.adaface_logits(
      embeddings, head, np.array([0]), norm_mean=quality_of, norm_std=1.0
    )[0, 0]

  gradients = jax.jit(jax.grad(logit, argnums=(0, 1)))(embeddings, 0.9)
  assert np.linalg.norm(gradients[0]) > 1
  np.testing.assert_array_equal(gradients[1], 0.0)


def test_norm_statistics_equal_numpy():
  embeddings = 4 * random(7, 5)
  norms = np.linalg.norm(np.asarray(embeddings, np.float64), axis=1)
  mean, std = update_norm_statistics(
    embeddings, np.float32(metric.NORM_MEAN), np.float32(metric.NORM_STD)
  )
  np.testing.assert_allclose(mean, 0.01 * norms.mean() + 19.8, rtol=1e-6)
  np.testing.assert_allclose(std, 0.01 * norms.std(ddof=1) + 99.0, rtol=1e-6)


def test_norm_statistics_of_odd_batches():
  single = update_norm_statistics(
    np.float32([[3.0, 4.0]]), 1.0, 2.0, t_alpha=1.0
  )
  np.testing.assert_allclose(single, [5.0, 0.0], atol=1e-6)
  # Lengths are held to [.001, 100].
  clipped = update_norm_statistics(
    np.float32([[0.0, 0.0], [0.0, 500.0]]), 0.0, 0.0, t_alpha=1.0
  )
  np.testing.assert_allclose(clipped, [50.0005, 70.71], rtol=1e-5)


def test_no_gradient_through_norm_statistics():
  gradients = jax.jit(
    jax.grad(
      lambda *arguments: sum(metric.update_norm_statistics(*arguments)),
      argnums=(0, 1, 2),
    )
  )(random(3, 4), 1.0, 2.0)
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, np.zeros_like(gradient))
