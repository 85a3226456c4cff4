"""A palm network with exits as it was exported: which one is used."""

import jax
import numpy as np
import pytest

from palmjax.models import exits
from palmjax.networks import export, palm
from tests.networks import small_exits

EXITS = small_exits.MODEL['exit']
SPEC = small_exits.SPEC
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)


@pytest.fixture(scope='module')
def variables():
  return small_exits.variables()


@pytest.fixture
def save(tmp_path, variables):
  """Exports the network that ends at an exit; returns the folder."""
  return lambda number: small_exits.save(tmp_path, variables, exit=number)


def test_the_last_exit_is_the_backbone(save, variables, tmp_path):
  network = palm.load(save(EXITS))
  plain = exits.plain({**variables, 'params': variables['params']['backbone']})
  backbone = {'backbone': plain.pop('params')}
  folder = tmp_path / 'plain'
  export.save(
    folder,
    variables={'params': backbone, **plain},
    model={k: v for k, v in small_exits.MODEL.items() if k != 'exit'},
    preprocess=SPEC.to_json(),
  )
  alone = palm.load(folder)
  np.testing.assert_array_equal(network.embed(IMAGES), alone.embed(IMAGES))
  assert network.num_params == alone.num_params


def test_an_early_exit_is_chosen_by_the_export_or_by_the_caller(
  save, variables
):
  directory = save(1)
  early = palm.load(directory)
  chosen = palm.of_export(export.load(save(EXITS)), directory, number=1)
  np.testing.assert_array_equal(early.embed(IMAGES), chosen.embed(IMAGES))
  whole = palm.whole(export.load(directory), directory)
  every = jax.jit(lambda x: whole.model.apply(_tree(whole), x, train=False))(
    SPEC.apply(IMAGES / np.float32(127.5) - 1)
  )
  want = np.array(every[0])
  want /= np.linalg.norm(want, axis=1, keepdims=True)
  np.testing.assert_allclose(early.embed(IMAGES), want, rtol=1e-4, atol=1e-5)
  # Its own class weights, and no variable of a later stage.
  head = variables['params']['head'][0]
  np.testing.assert_allclose(
    early.classify(IMAGES),
    16 * early.embed(IMAGES) @ (head / np.linalg.norm(head, axis=1)[:, None]).T,
    rtol=1e-3,
    atol=1e-3,
  )
  assert early.num_params < palm.load(save(2)).num_params


@pytest.mark.parametrize('number', [0, EXITS + 1, 1.5])
def test_an_exit_that_is_not_there(save, number):
  directory = save(number)
  with pytest.raises(ValueError, match=r'model\.json.* exit'):
    palm.load(directory)


def _tree(network):
  return {**network.stats, 'params': network.params['backbone']}
