"""Schedules of losses by step, and hard samples."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import metric, staged, triplet


def random(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


def weights_at(steps, boundaries, **options):
  @jax.jit
  @jax.vmap
  def weights(step):
    return staged.stage_weights(step, boundaries, **options)

  return np.asarray(weights(np.array(steps, np.int32)))


def test_weights_switch_at_the_boundaries():
  got = weights_at([0, 9, 10, 29, 30, 10**6], (10, 30))
  stages = [0, 0, 1, 1, 2, 2]
  np.testing.assert_array_equal(got, np.eye(3)[stages])


def test_weights_blend():
  got = weights_at([9, 10, 11, 12, 13, 14, 20], (10,), blend_steps=4)
  second = [0, 0.25, 0.5, 0.75, 1, 1, 1]
  np.testing.assert_allclose(got[:, 1], second, atol=1e-6)
  np.testing.assert_allclose(got[:, 0], 1 - np.array(second), atol=1e-6)


def test_weights_are_shares_where_changes_overlap():
  got = weights_at(range(30), (5, 8, 8, 20), blend_steps=10)
  assert np.all(got >= 0)
  np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-6)
  np.testing.assert_array_equal(got[:, 2], 0)
  # Step 8: ramps .4 and .1.
  np.testing.assert_allclose(got[8], [0.6, 0.3, 0, 0.1, 0], atol=1e-6)


def test_weights_of_one_stage_and_of_late_boundaries():
  np.testing.assert_array_equal(weights_at([0, 5], ()), [[1], [1]])
  # float32 cannot tell these steps apart.
  late = 2**26
  got = weights_at([late, late + 1], (late + 1,))
  np.testing.assert_array_equal(got, [[1, 0], [0, 1]])


@pytest.mark.parametrize(
  'boundaries, blend_steps, match',
  [((3, 2), 1, 'ascending'), ((-1,), 1, 'steps ≥ 0'), ((3,), 0, 'at least 1')],
)
def test_unfit_stages(boundaries, blend_steps, match):
  with pytest.raises(ValueError, match=match):
    staged.stage_weights(0, boundaries, blend_steps=blend_steps)


def softmax_loss(embeddings, head, labels):
  logits = metric.softmax_logits(embeddings, head)
  return metric.cross_entropy(logits, labels)


def arcface_loss(embeddings, head, labels):
  logits = metric.arcface_logits(embeddings, head, labels, scale=8.0)
  return metric.cross_entropy(logits, labels)


def triplet_loss(embeddings, head, labels):
  del head
  distances = triplet.squared_euclidean(embeddings)
  return triplet.mean(triplet.batch_hard(distances, labels))


LOSSES = softmax_loss, arcface_loss, triplet_loss
LABELS = np.array([0, 1, 0, 2, 1, 2])


def test_one_program_gives_the_loss_of_each_stage():
  arguments = random(6, 4), random(3, 4, seed=1), LABELS

  def loss(embeddings, head, step):
    weights = staged.stage_weights(step, (10, 20), blend_steps=2)
    return staged.weighted_sum(weights, LOSSES, embeddings, head, LABELS)[0]

  loss = chex.assert_max_traces(loss, n=1)
  evaluate = jax.jit(jax.value_and_grad(loss, (0, 1)))
  shares = {
    0: [1, 0, 0],
    10: [0.5, 0.5, 0],
    15: [0, 1, 0],
    20: [0, 0.5, 0.5],
    25: [0, 0, 1],
  }
  parts = [
    jax.device_get(jax.jit(jax.value_and_grad(f, (0, 1)))(*arguments))
    for f in LOSSES
  ]
  for step, share in shares.items():
    value, gradients = evaluate(*arguments[:2], np.int32(step))
    want = sum(w * part for w, (part, _) in zip(share, parts, strict=True))
    np.testing.assert_allclose(value, want, rtol=1e-5)
    for i in (0, 1):
      want = sum(w * part[i] for w, (_, part) in zip(share, parts, strict=True))
      np.testing.assert_allclose(gradients[i], want, atol=1e-5)


def test_values_of_the_losses():
  arguments = random(6, 4), random(3, 4, seed=1), LABELS
  total, values = jax.jit(
    lambda weights, *rest: staged.weighted_sum(weights, LOSSES, *rest)
  )(np.float32([0.0, 0.75, 0.25]), *arguments)
  want = [0.0, *(float(jax.jit(loss)(*arguments)) for loss in LOSSES[1:])]
  np.testing.assert_allclose(values, want, rtol=1e-6)
  np.testing.assert_allclose(total, 0.75 * want[1] + 0.25 * want[2], rtol=1e-6)


@pytest.mark.parametrize('active, finite', [(0, True), (1, False)])
def test_no_nan_from_a_loss_without_weight(active, finite):
  # At zero the root has an infinite derivative, the logarithm no value.
  losses = jnp.sum, lambda x: jnp.sum(jnp.sqrt(x) + jnp.log(x))

  @jax.jit
  @jax.value_and_grad
  def loss(x, step):
    weights = staged.stage_weights(step, (1,))
    return staged.weighted_sum(weights, losses, x)[0]

  value, gradient = loss(np.zeros(3, np.float32), active)
  assert bool(np.isfinite(value)) == finite
  assert bool(np.all(np.isfinite(gradient))) == finite


def test_losses_of_low_precision_are_summed_in_float32():
  x = np.ones(3, jnp.bfloat16)
  total, _ = jax.jit(
    lambda weights, x: staged.weighted_sum(weights, (jnp.sum,), x)
  )(np.float32([1.0]), x)
  assert total.dtype == jnp.float32
  assert total == 3


@pytest.mark.parametrize(
  'share, count', [(0.0, 0), (0.01, 1), (0.25, 25), (0.07, 7), (1.0, 100)]
)
def test_hardest(share, count):
  cosines = np.random.default_rng(0).permutation(100) / 100
  got = jax.jit(lambda c: staged.hardest(c, share))(cosines)
  np.testing.assert_array_equal(got, cosines < count / 100 - 0.005)


def test_hardest_of_equals_keeps_the_count():
  hardest = jax.jit(staged.hardest, static_argnums=1)
  assert np.sum(hardest(np.zeros(8), 0.25)) == 2


def test_unfit_share():
  with pytest.raises(ValueError, match=r'share=1\.5'):
    staged.hardest(np.zeros(8), 1.5)


def test_mix_adds_to_hard_samples_only():
  got = jax.jit(staged.mix)(
    np.float32([1.0, 2.0, 3.0]),
    np.array([True, False, True]),
    np.float32([0.5, 7.0, 0.0]),
    weight=2.0,
  )
  np.testing.assert_array_equal(got, [2.0, 2.0, 3.0])


def test_only_hard_anchors_get_the_gradient_of_triplets():
  embeddings, head = random(6, 4), random(3, 4, seed=1)

  @functools.partial(jax.jit, static_argnums=1)
  @jax.grad
  def gradient(embeddings, share):
    hard = staged.hardest(metric.label_cosines(embeddings, head, LABELS), share)
    distances = triplet.squared_euclidean(embeddings)
    triplets = triplet.batch_hard(distances, LABELS)
    return jnp.mean(staged.mix(jnp.zeros(6), hard, triplets.losses))

  @jax.jit
  @jax.grad
  def gradient_of(embeddings, anchor):
    distances = triplet.squared_euclidean(embeddings)
    return triplet.batch_hard(distances, LABELS).losses[anchor] / 6

  cosines = jax.jit(metric.label_cosines)(embeddings, head, LABELS)
  hardest = int(np.argmin(cosines))
  want = gradient_of(embeddings, hardest)
  assert np.linalg.norm(want) > 0.01
  np.testing.assert_allclose(gradient(embeddings, 1 / 6), want, atol=1e-6)
  np.testing.assert_array_equal(gradient(embeddings, 0.0), 0.0)
