"""A detector as it was exported: sizes, passes, numbers of images."""

import jax
import numpy as np
import pytest

from palmjax.networks import export, hand
from palmjax.networks import variables as network_variables

MODEL = {
  'name': 'detector',
  'classes': ['one', 'two'],
  'width': 0.125,
  'depth': 0,
  'level': 1,
  'factor': 1,
  'dtype': 'float32',
}


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """Folder of a detector as its weights were drawn."""
  directory = tmp_path_factory.mktemp('hand')
  init = network_variables.of_images(hand.build(MODEL), (32, 32, 3))
  export.save(
    directory,
    variables=jax.device_get(jax.jit(init)(jax.random.key(0))),
    model=MODEL,
    preprocess=hand.HandInput(image_size=32, smaller=(0.5,)).to_json(),
  )
  return directory


@pytest.fixture(scope='module')
def network(saved):
  return hand.load(saved)


def test_what_the_export_says_is_what_is_loaded(saved, network):
  assert (network.classes, network.image_size) == (('one', 'two'), 32)
  assert (network.mirror, network.smaller) == (False, ())
  used = hand.load(saved, passes=True)
  assert (used.mirror, used.smaller) == (True, (0.5,))
  assert network.description == MODEL
  leaves = jax.tree.leaves(network.params)
  assert network.num_params == sum(leaf.size for leaf in leaves) > 0


def test_its_variables_are_those_of_the_export(saved, network):
  jax.tree.map(
    np.testing.assert_array_equal,
    jax.device_get(network.variables),
    export.load(saved).variables,
  )


def test_objects_of_an_image_do_not_depend_on_its_batch(network):
  images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
  together = network.detect(images)
  assert together['boxes'].shape[::2] == (3, 4)
  assert set(together['classes'].ravel().tolist()) <= {0, 1}
  assert (np.diff(together['scores'], axis=1) <= 0).all()
  alone = network.detect(images[2:])
  for name in together:
    np.testing.assert_allclose(
      np.asarray(alone[name][0], float),
      np.asarray(together[name][2], float),
      rtol=1e-3,
      atol=1e-3,
    )
