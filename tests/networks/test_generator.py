"""A generator that was exported draws what it drew, or is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.networks import export, generator

MODEL = {
  'name': 'generator',
  'image_size': 8,
  'latent_size': 4,
  'mapping_layers': 1,
  'fmap_base': 16,
  'fmap_max': 8,
  'dtype': 'float32',
}


@pytest.fixture(scope='module')
def variables():
  model = generator.build(MODEL)
  key = jax.random.key(0)
  return jax.device_get(
    jax.jit(model.init)({'params': key, 'noise': key}, jnp.zeros((1, 4)))
  )


def save(directory, variables, **changes):
  export.save(
    directory, variables=variables, model={**MODEL, **changes}, preprocess={}
  )


def test_an_image_depends_on_its_number_alone(tmp_path, variables):
  save(tmp_path, variables)
  draw = generator.load(tmp_path, truncation=0.8)
  images = draw(jax.random.key(1), 3)
  assert images.shape == (3, 8, 8, 3)
  assert images.dtype == np.uint8
  assert (images[0] != images[1]).any()
  np.testing.assert_array_equal(draw(jax.random.key(1), 2), images[:2])
  stats = dict(variables)
  np.testing.assert_array_equal(
    generator.make_generate(generator.build(MODEL), truncation=0.8)(
      stats.pop('params'), stats, jax.random.key(1), 2
    ),
    images[:2],
  )


def test_variables_of_another_generator_are_refused(tmp_path, variables):
  save(tmp_path, variables, latent_size=8)
  with pytest.raises(ValueError, match='does not fit the network: params/'):
    generator.load(tmp_path, truncation=1.0)
  save(tmp_path, {'params': variables['params']})
  with pytest.raises(ValueError, match=r'stats/w_mean is none in the export'):
    generator.load(tmp_path, truncation=1.0)
