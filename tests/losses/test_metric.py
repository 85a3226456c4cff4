"""Logits: golden numbers, NumPy twins, gradients."""

import functools
import math

import chex
import jax
import numpy as np
import pytest

from palmjax.losses import metric
from palmjax.ops import vectors

add_angle = jax.jit(metric.add_angle, static_argnums=1)
arcface_logits = jax.jit(metric.arcface_logits, static_argnames='margin')
cosface_logits = jax.jit(metric.cosface_logits)
normalised_logits = jax.jit(metric.normalised_logits)
softmax_logits = jax.jit(metric.softmax_logits)
unit = jax.jit(vectors.unit)


def random(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


def at_cosine(cosine):
  """One embedding and two classes: cosines (`cosine`, 0)."""
  sine = math.sqrt(1 - cosine**2)
  head = np.eye(3, dtype=np.float32)[[0, 2]]
  return np.float32([[cosine, sine, 0.0]]), head


def test_golden_arcface():
  embeddings, head = at_cosine(0.8)
  labels = np.array([0])
  logits = arcface_logits(
    np.float32(3.0) * embeddings, np.float32(2.0) * head, labels, scale=1.0
  )
  np.testing.assert_allclose(logits, [[0.41441073, 0.0]], atol=1e-6)


def test_golden_past_the_fold():
  # cos(π - 0.5) = -0.87758256, m sin m = 0.23971277.
  got = add_angle(np.float32([-0.87, -0.88]), 0.5)
  before = math.cos(math.acos(-0.87) + 0.5)
  np.testing.assert_allclose(got, [before, -0.88 - 0.23971277], atol=1e-6)


def test_arcface_equals_numpy():
  embeddings, head = random(6, 4), random(5, 4, seed=1)
  labels = np.array([0, 4, 2, 2, 1, 3])
  e, w = np.asarray(embeddings, np.float64), np.asarray(head, np.float64)
  want = np.zeros((6, 5))
  for b in range(6):
    for k in range(5):
      cosine = e[b] @ w[k] / np.linalg.norm(e[b]) / np.linalg.norm(w[k])
      theta = math.acos(cosine)
      if k != labels[b]:
        want[b, k] = 30 * cosine
      elif theta + 0.4 < math.pi:
        want[b, k] = 30 * math.cos(theta + 0.4)
      else:
        want[b, k] = 30 * (cosine - 0.4 * math.sin(0.4))
  got = arcface_logits(embeddings, head, labels, margin=0.4, scale=30.0)
  np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize('margin', [0.1, 0.5, 1.5])
def test_arcface_falls_with_the_angle_everywhere(margin):
  theta = np.linspace(0.01, math.pi - 0.01, 400)
  assert np.all(np.diff(add_angle(np.cos(theta), margin)) < 0)


def test_arcface_at_the_fold():
  # It ends at cos π and goes on below, at -0.87758256 - 0.23971277.
  fold = np.float32(math.cos(math.pi - 0.5))
  cosine = np.array([np.nextafter(fold, 1), fold, np.nextafter(fold, -1)])
  np.testing.assert_allclose(
    add_angle(cosine, 0.5), [-1.0, -1.11729533, -1.11729533], atol=1e-6
  )
  embeddings, head = at_cosine(-0.9)
  logits = arcface_logits(embeddings, head, np.array([0]))
  np.testing.assert_allclose(logits, [[64 * -1.13971277, 0]], atol=1e-4)


def test_arcface_past_the_fold_has_slope_one():
  slope = jax.jit(jax.vmap(jax.grad(lambda c: metric.add_angle(c, 0.5))))
  slopes = slope(np.float32([-0.88, -0.95, -0.999]))
  np.testing.assert_array_equal(slopes, 1.0)


def test_no_margin_is_the_normalised_softmax():
  embeddings, head = random(4, 3), random(5, 3, seed=1)
  labels = np.array([0, 1, 2, 4])
  want = normalised_logits(embeddings, head, scale=1.0)
  zero = arcface_logits(embeddings, head, labels, margin=0.0, scale=1.0)
  free = arcface_logits(embeddings, head, None, margin=0.5, scale=1.0)
  np.testing.assert_allclose(zero, want, atol=1e-6)
  np.testing.assert_allclose(free, want, atol=1e-6)
  np.testing.assert_allclose(
    softmax_logits(unit(embeddings), unit(head)),
    want,
    atol=1e-6,
  )


def test_softmax_logits_are_inner_products():
  got = softmax_logits(
    np.float32([[1.0, 2.0]]), np.float32([[3.0, 4.0], [5.0, -6.0]])
  )
  np.testing.assert_array_equal(got, [[11.0, -7.0]])


def test_the_gradient_is_the_true_one():
  cosine = 0.8
  sine = 0.6
  true = jax.jit(jax.grad(lambda c: metric.add_angle(c, 0.5)))(cosine)
  want = math.sin(math.acos(cosine) + 0.5) / sine
  np.testing.assert_allclose(true, want, rtol=1e-5)

  embeddings, head = at_cosine(cosine)

  @functools.partial(jax.jit, static_argnums=1)
  @jax.grad
  def gradient(embeddings, margin):
    logits = metric.arcface_logits(
      embeddings, head, np.array([0]), margin=margin
    )
    return logits[0, 0]

  np.testing.assert_allclose(
    gradient(embeddings, 0.5),
    want * gradient(embeddings, 0.0),
    rtol=1e-4,
    atol=1e-5,
  )


@pytest.mark.parametrize('sign', [1.0, -1.0])
def test_finite_gradient_on_the_class_weight_and_at_zero(sign):
  head = np.eye(3, dtype=np.float32)
  labels = np.array([0])

  @jax.jit
  @jax.grad
  def gradient(embeddings):
    logits = metric.arcface_logits(embeddings, head, labels)
    return metric.cross_entropy(logits, labels)

  for embeddings in (sign * head[:1], np.zeros((1, 3))):
    chex.assert_tree_all_finite(gradient(embeddings))


def test_gradients_by_finite_differences():
  labels = np.array([0, 2, 1])

  def loss(embeddings, head):
    logits = metric.arcface_logits(embeddings, head, labels, scale=4.0)
    return metric.cross_entropy(logits, labels)

  arguments = random(3, 4), random(3, 4, seed=1)
  jax.test_util.check_grads(
    jax.jit(loss), arguments, order=1, modes=['rev'], eps=1e-2, rtol=2e-2
  )


def test_golden_cosface():
  embeddings, head = at_cosine(0.8)
  got = cosface_logits(3 * embeddings, 2 * head, np.array([0]))
  np.testing.assert_allclose(got, [[64 * (0.8 - 0.4), 0.0]], atol=1e-4)


def adaface(length, *, cosine=0.8, **options):
  embeddings, head = at_cosine(cosine)
  return metric.adaface_logits(
    length * embeddings,
    head,
    np.array([0]),
    **{'norm_mean': 10.0, 'norm_std': 2.0, 'scale': 1.0} | options,
  )


ADAFACE = functools.partial(
  metric.adaface_logits, norm_mean=2.0, norm_std=0.5, scale=4.0
)
COSFACE = functools.partial(metric.cosface_logits, scale=4.0)
FAMILIES = pytest.mark.parametrize('family', [COSFACE, ADAFACE])


@FAMILIES
def test_without_labels_there_is_no_margin(family):
  embeddings, head = random(4, 3), random(5, 3, seed=1)
  want = normalised_logits(embeddings, head, scale=4.0)
  family = jax.jit(family)
  np.testing.assert_allclose(family(embeddings, head, None), want, atol=1e-6)
  labels = np.array([0, 1, 2, 4])
  zero = family(embeddings, head, labels, margin=0.0)
  np.testing.assert_allclose(zero, want, atol=1e-4)


@FAMILIES
def test_the_gradient_of_a_margin_by_finite_differences(family):
  labels = np.array([0, 2, 1])

  def loss(embeddings, head):
    # Of one length: differences would see the norm, which has no gradient.
    embeddings = 2.3 * vectors.unit(embeddings)
    return metric.cross_entropy(family(embeddings, head, labels), labels)

  arguments = random(3, 4), random(3, 4, seed=1)
  jax.test_util.check_grads(
    jax.jit(loss), arguments, order=1, modes=['rev'], eps=1e-2, rtol=2e-2
  )


@FAMILIES
def test_finite_gradient_of_a_margin_at_the_ends(family):
  head, labels = np.eye(3, dtype=np.float32), np.array([0])

  @jax.jit
  @jax.grad
  def gradient(embeddings):
    return metric.cross_entropy(family(embeddings, head, labels), labels)

  for sign in (1.0, 0.0, -1.0):
    chex.assert_tree_all_finite(gradient(sign * head[:1]))


def test_label_cosines():
  embeddings, head = random(4, 3), random(5, 3, seed=1)
  labels = np.array([3, 0, 3, 4])
  cosines = np.asarray(jax.jit(vectors.cosines)(embeddings, head))
  want = cosines[np.arange(4), labels]
  got = jax.jit(metric.label_cosines)(embeddings, head, labels)
  np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(
  'loss, want',
  [
    ('softmax', 'cosine'),
    ('arcface', 'cosine'),
    ('adaface', 'cosine'),
    ('triplet', 'euclidean'),
    ('cosine_triplet', 'cosine'),
  ],
)
def test_comparison(loss, want):
  assert metric.comparison(loss) == want


def test_comparison_of_no_loss():
  with pytest.raises(ValueError, match=r"called 'arc': choose one of softmax,"):
    metric.comparison('arc')


def test_conversion_of_thresholds():
  a, b = np.asarray(unit(random(2, 5)))
  distance = np.linalg.norm(a - b)
  euclidean_of_cosine = jax.jit(vectors.euclidean_of_cosine)
  got = euclidean_of_cosine(np.dot(a, b))
  np.testing.assert_allclose(got, distance, rtol=1e-6)
  # Cosines of rounded unit vectors pass 1.
  assert euclidean_of_cosine(1.0000001) == 0


def test_cross_entropy_equals_numpy():
  logits = np.array([[1.0, 2.0, 300.0], [0.0, -1.0, 0.5]])
  labels = np.array([0, 2])
  shifted = logits - logits.max(axis=1, keepdims=True)
  log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
  got = jax.jit(metric.cross_entropy)(logits, labels)
  np.testing.assert_allclose(got, -log_p[[0, 1], labels].mean(), rtol=1e-6)
  each = jax.jit(metric.cross_entropies)(logits, labels)
  np.testing.assert_allclose(each, -log_p[[0, 1], labels], rtol=1e-6)


def test_unit():
  got = unit(np.float32([[3.0, 4.0], [0.0, 0.0]]))
  np.testing.assert_allclose(got, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


def test_shapes_are_checked():
  with pytest.raises(AssertionError):
    metric.softmax_logits(np.zeros((2, 3)), np.zeros((4, 5)))
  with pytest.raises(AssertionError):
    metric.arcface_logits(
      np.zeros((2, 3)), np.zeros((4, 3)), np.zeros((3,), np.int32)
    )
  with pytest.raises(AssertionError):
    metric.update_norm_statistics(np.zeros((2, 3)), np.zeros(2), 1.0)
