"""GAN losses: linear networks with known answers, and the published numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import gan

discriminator_loss = jax.jit(gan.discriminator_loss)
generator_loss = jax.jit(gan.generator_loss)


def test_losses_golden():
  real, fake = np.float32([2.0, -1.0]), np.float32([0.0, 3.0])
  # softplus: (−2) .126928, (1) 1.313262, (0) .693147, (3) 3.048587.
  np.testing.assert_allclose(
    discriminator_loss(real, fake),
    (0.126928 + 1.313262) / 2 + (0.693147 + 3.048587) / 2,
    rtol=1e-6,
  )
  np.testing.assert_allclose(
    generator_loss(fake), (0.693147 + 0.048587) / 2, rtol=1e-5
  )


def test_losses_do_not_overflow():
  far = np.float32([200.0, 200.0])
  np.testing.assert_allclose(discriminator_loss(-far, far), 400, rtol=1e-6)
  np.testing.assert_allclose(generator_loss(-far), 200, rtol=1e-6)


def test_r1_of_a_linear_discriminator_is_half_gamma_times_its_norm():
  rng = np.random.default_rng(0)
  weights = rng.normal(size=(6, 5, 3)).astype(np.float32)
  images = rng.normal(size=(4, 6, 5, 3)).astype(np.float32)

  @jax.jit
  def penalty(images):
    return gan.r1_penalty(
      lambda x: jnp.sum(x * weights, axis=(1, 2, 3)), images, gamma=0.7
    )

  got = penalty(images)
  want = 0.35 * np.sum(np.square(np.asarray(weights, np.float64)))
  np.testing.assert_allclose(got, want, rtol=1e-6)


def test_r1_takes_the_mean_over_the_batch_and_can_be_differentiated():
  rng = np.random.default_rng(1)
  images = rng.normal(size=(3, 2, 2, 1)).astype(np.float32)

  @jax.jit
  @jax.value_and_grad
  def penalty(scale):
    # D(x) = a/2 ‖x‖², ∇D = a x, R1 = γ/2 a² mean ‖x‖².
    return gan.r1_penalty(
      lambda x: scale / 2 * jnp.sum(x**2, axis=(1, 2, 3)), images, gamma=10.0
    )

  mean_norm = np.sum(np.square(images)) / 3
  value, slope = penalty(2.0)
  np.testing.assert_allclose(value, 20 * mean_norm, rtol=1e-5)
  np.testing.assert_allclose(slope, 20 * mean_norm, rtol=1e-5)


def test_path_length_of_a_linear_generator():
  rng = np.random.default_rng(2)
  matrix = rng.normal(size=(4 * 6 * 3, 5)).astype(np.float32)
  w = rng.normal(size=(3, 1, 5)).astype(np.float32)

  def synthesis(w):
    return (w[:, 0] @ matrix.T).reshape(-1, 4, 6, 3)

  key = jax.random.key(3)
  got = jax.jit(functools.partial(gan.path_lengths, synthesis))(w, key)
  y = np.asarray(jax.random.normal(key, (3, 4, 6, 3))).reshape(3, -1)
  want = np.linalg.norm(y @ matrix, axis=1) / np.sqrt(24)
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_path_length_averages_over_layers_and_sums_over_dimensions():
  w = np.zeros((1, 4, 2), np.float32)
  gains = np.float32([[1.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 0.0]])

  def synthesis(w):
    # One pixel: √(H·W) = 1 and the gradient is y times the gains.
    return jnp.sum(w * gains, axis=(1, 2))[:, None, None, None]

  key = jax.random.key(0)
  y = abs(jax.random.normal(key, (1, 1, 1, 1)).item())
  got = jax.jit(functools.partial(gan.path_lengths, synthesis))(w, key)
  np.testing.assert_allclose(got, [y * 1.5], rtol=1e-6)


def test_path_length_penalty_uses_the_new_mean():
  lengths, mean = np.float32([1.0, 3.0]), np.float32(1.0)
  penalty, new = jax.jit(gan.path_length_penalty)(lengths, mean)
  np.testing.assert_allclose(new, 1.01, rtol=1e-6)
  np.testing.assert_allclose(
    penalty, ((1 - 1.01) ** 2 + (3 - 1.01) ** 2) / 2, rtol=1e-5
  )


def test_path_length_gradient_flows_through_the_new_mean_not_the_stored_one():
  lengths, mean = np.float32([1.0, 3.0]), np.float32(1.0)

  @jax.jit
  def gradients(lengths):
    return tuple(
      jax.grad(lambda x, k=k: gan.path_length_penalty(x, mean)[k])(lengths)
      for k in range(2)
    )

  gradient, stored = gradients(lengths)
  residual = np.array([1.0, 3.0]) - 1.01
  want = residual - 0.01 / 2 * residual.sum()
  np.testing.assert_allclose(gradient, want, rtol=1e-5)
  np.testing.assert_array_equal(stored, [0, 0])


def test_path_length_weight_golden():
  np.testing.assert_allclose(
    gan.path_length_weight(256), 2.179827e-6, rtol=1e-6
  )


def test_ema_decay_golden_and_half_life():
  decay = gan.ema_decay(32, 10)
  np.testing.assert_allclose(decay, 0.99778439, atol=5e-9)
  np.testing.assert_allclose(decay ** (10_000 / 32), 0.5, rtol=1e-9)


def test_ema_ramp():
  decay = jax.jit(lambda seen: gan.ema_decay(32, 10, images_seen=seen))

  def ramped(seen):
    return float(decay(np.int32(seen)))

  assert ramped(0) == 0.0  # The first update replaces the average.
  np.testing.assert_allclose(ramped(3200), 0.5 ** (32 / 160), rtol=1e-6)
  np.testing.assert_allclose(ramped(10**6), 0.99778439, rtol=1e-6)


def test_wrong_ranks_are_refused():
  with pytest.raises(AssertionError):
    gan.generator_loss(np.zeros((4, 1)))
  with pytest.raises(AssertionError):
    gan.path_lengths(lambda w: w, np.zeros((2, 3)), jax.random.key(0))
