"""Palm networks as StableHLO, read by JAX alone."""

import numpy as np
import pytest
from jax import export

from palmjax.networks import palm, shipped
from palmjax.networks.portable import stablehlo
from tests.networks.portable import tiny_networks


def embed(content, images):
  return np.asarray(export.deserialize(bytearray(content)).call(images))


def test_shipped_weights_embed_as_before_in_batches_of_any_size():
  network = palm.load(shipped.PALM)
  side = network.preprocess.image_size
  images = np.random.default_rng(0).integers(
    0, 256, (3, side, side, 3), np.uint8
  )
  content = stablehlo.to_bytes(network)
  want = network.embed(images)
  np.testing.assert_allclose(embed(content, images), want, atol=1e-5)
  np.testing.assert_allclose(embed(content, images[:1]), want[:1], atol=1e-5)


def test_an_exit_with_attention():
  network = tiny_networks.make('resnet18_small', attention=True, number=2)
  content = stablehlo.to_bytes(network)
  images = tiny_networks.IMAGES
  np.testing.assert_allclose(
    embed(content, images), network.embed(images), atol=1e-5
  )


def test_bytes_depend_on_the_network_alone():
  network = tiny_networks.make('mobilefacenet')
  content = stablehlo.to_bytes(network)
  again = stablehlo.to_bytes(tiny_networks.make('mobilefacenet'))
  assert content == again
  assert b'.py' not in content  # No path of this machine.


def test_a_size_of_nothing_is_refused():
  with pytest.raises(ValueError, match='size=0: give 1 or more'):
    stablehlo.to_bytes(tiny_networks.make('mobilefacenet'), size=0)
