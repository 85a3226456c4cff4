"""Generator: shapes, truncation, noise, the mean of w."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.models import generator as generator_lib

GENERATOR = generator_lib.Generator(
  8, latent_size=5, mapping_layers=2, fmap_base=16, fmap_max=8
)
NOISE = {'noise': jax.random.key(11)}
apply = jax.jit(GENERATOR.apply, static_argnames='method')
generate = jax.jit(generator_lib.generate, static_argnums=0)


@pytest.fixture(scope='module')
def variables():
  return jax.jit(GENERATOR.init)(
    {'params': jax.random.key(0), 'noise': jax.random.key(1)},
    jnp.zeros((1, 5)),
  )


def split(variables):
  params = variables['params']
  return params, {'stats': variables['stats']}


def with_noise(params, strength):
  """`params` with every noise strength set."""
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: (
      jnp.full_like(leaf, strength)
      if path[-1].key == 'noise_strength'
      else leaf
    ),
    params,
  )


@pytest.mark.parametrize('size, layers, base', [(16, 6, 4), (24, 6, 6)])
def test_shapes(size, layers, base):
  generator = generator_lib.Generator(
    size, latent_size=5, mapping_layers=1, fmap_base=16, fmap_max=4
  )
  assert generator.num_layers == layers
  images, variables = jax.eval_shape(
    lambda z: generator.init_with_output(
      {'params': jax.random.key(0), 'noise': jax.random.key(1)}, z
    ),
    jnp.zeros((2, 5)),
  )
  assert images.shape == (2, size, size, 3)
  assert variables['params']['constant'].shape == (base, base, 4)


def test_every_w_is_read(variables):
  # Each layer's w changes the image, and none is read in place of another.
  w = jax.random.normal(jax.random.key(2), (1, GENERATOR.num_layers, 5))
  jacobian = jax.jit(
    jax.jacrev(
      lambda w: GENERATOR.apply(
        variables, w, rngs=NOISE, method='synthesis'
      ).sum()
    )
  )(w)[0]
  assert jacobian.shape == (4, 5)
  assert np.all(np.linalg.norm(jacobian, axis=1) > 1e-4)


def test_mapping_does_not_see_the_length_of_z(variables):
  z = jax.random.normal(jax.random.key(3), (4, 5))
  w = apply(variables, z, method='mapping')
  longer = apply(variables, 7 * z, method='mapping')
  assert w.shape == (4, 5)
  np.testing.assert_allclose(w, longer, rtol=1e-4, atol=1e-5)


def test_mean_of_w_follows_with_its_decay(variables):
  z = jax.random.normal(jax.random.key(4), (16, 5))
  start = {'w_mean': jnp.ones(5)}
  w, new = GENERATOR.apply(
    {**variables, 'stats': start},
    z,
    mean_decay=0.9,
    mutable=['stats'],
    method='mapping',
  )
  np.testing.assert_allclose(
    new['stats']['w_mean'], 0.9 + 0.1 * w.mean(axis=0), rtol=1e-5
  )


def test_noise_of_strength_zero_is_deterministic(variables):
  # The initial strength is 0.
  z = jax.random.normal(jax.random.key(5), (2, 5))
  params, stats = split(variables)

  def draw(params, key):
    return generate(GENERATOR, params, stats, z, key)

  first, second = (draw(params, jax.random.key(k)) for k in (0, 1))
  np.testing.assert_array_equal(first, second)
  loud = with_noise(params, 0.5)
  first, second = (draw(loud, jax.random.key(k)) for k in (0, 1))
  assert np.abs(first - second).mean() > 0.01


def test_noise_differs_between_images_and_layers(variables):
  noise = GENERATOR.apply(
    variables, 2, rngs=NOISE, method=lambda g, batch: list(g.noise(batch))
  )
  assert [n.shape for n in noise] == [(2, 4, 4, 1), (2, 8, 8, 1), (2, 8, 8, 1)]
  values = np.concatenate([np.ravel(n) for n in noise])
  assert len(np.unique(values)) == len(values)
  np.testing.assert_allclose(values.std(), 1.0, atol=0.15)


def test_truncation_to_zero_gives_the_mean_image(variables):
  params, _ = split(variables)
  mean = jnp.linspace(-1, 1, 5)
  z = jax.random.normal(jax.random.key(6), (3, 5))
  images = generate(
    GENERATOR,
    params,
    {'stats': {'w_mean': mean}},
    z,
    jax.random.key(7),
    truncation=0.0,
  )
  w = jnp.broadcast_to(mean, (1, GENERATOR.num_layers, 5))
  want = apply(variables, w, rngs=NOISE, method='synthesis')
  np.testing.assert_allclose(
    images, np.broadcast_to(want, images.shape), atol=1e-5
  )


def test_truncation_of_one_changes_nothing(variables):
  params, stats = split(variables)
  z = jax.random.normal(jax.random.key(6), (2, 5))
  want = apply(variables, z, rngs=NOISE)
  got = generate(GENERATOR, params, stats, z, NOISE['noise'])
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_bfloat16_computes_near_float32_and_returns_float32(variables):
  z = jax.random.normal(jax.random.key(8), (2, 5))
  half = GENERATOR.clone(dtype=jnp.bfloat16)
  got = jax.jit(half.apply)(variables, z, rngs=NOISE)
  want = apply(variables, z, rngs=NOISE)
  assert got.dtype == jnp.float32
  error = np.abs(got - want).max()
  assert 0 < error < 0.05 * np.abs(want).max()
