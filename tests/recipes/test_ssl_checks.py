"""Every variant of the config describes networks that can be built."""

import jax
import jax.numpy as jnp
import pytest

from configs import metric as metric_config
from configs import ssl as ssl_config
from palmjax.engine import mesh
from palmjax.recipes import metric_checks, palm_network, ssl_checks, ssl_gan


@pytest.mark.parametrize('variant', ['', 'smoke', 'full'])
def test_variants_of_ssl(variant):
  config = ssl_config.get_config(variant)
  ssl_checks.check(config, mesh.make(1))
  size = config.image_size
  generator, discriminator = ssl_gan.networks(config)
  images, weights = jax.eval_shape(
    lambda key: generator.init_with_output(
      {'params': key, 'noise': key}, jnp.zeros((2, config.gan.latent_size))
    ),
    jax.random.key(0),
  )
  assert images.shape == (2, size, size, 3)
  del weights
  logits = jax.eval_shape(
    lambda key: discriminator.init_with_output(
      key, jnp.zeros((4, size, size, 3))
    )[0],
    jax.random.key(0),
  )
  assert logits.size == 4


@pytest.mark.parametrize('variant', ['', 'smoke', 'weights', 'full'])
def test_variants_of_metric(variant):
  config = metric_config.get_config(variant)
  metric_checks.check(config, mesh.make(1))
  model, spec = palm_network.build(config)
  embeddings = jax.eval_shape(
    lambda key: model.init_with_output(
      key, jnp.zeros((2, *spec.shape)), train=False
    )[0],
    jax.random.key(0),
  )
  assert embeddings.shape == (2, config.network.embedding_size)
