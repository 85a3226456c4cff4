"""A palm network as it was exported: its embeddings, and its logits."""

import jax
import numpy as np
import pytest

from palmjax.images import preprocess
from palmjax.networks import export, palm
from palmjax.networks import variables as network_variables
from tests import filled_variables

SPEC = preprocess.Preprocess(image_size=32)
MODEL = {
  'name': 'mobilefacenet',
  'embedding_size': 8,
  'width': 0.125,
  'dtype': 'float32',
  'attention': False,
  'loss': 'arcface',
  'scale': 16.0,
}


@pytest.fixture(scope='module')
def variables():
  init = network_variables.of_images(palm.build(MODEL), SPEC.shape)
  shapes = jax.eval_shape(init, jax.random.key(0))
  values = filled_variables.fill(shapes)
  head = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
  params = {'backbone': values.pop('params'), 'head': head}
  return {'params': params, **values}


def load(directory, variables, **changes):
  model = {k: v for k, v in {**MODEL, **changes}.items() if v is not None}
  export.save(
    directory, variables=variables, model=model, preprocess=SPEC.to_json()
  )
  return palm.load(directory)


def test_embeddings_and_logits_are_of_one_network(tmp_path, variables):
  network = load(tmp_path, variables)
  assert network.embedding_size == 8
  backbone = variables['params']['backbone']
  count = sum(leaf.size for leaf in jax.tree.leaves(backbone))
  assert network.num_params == count
  assert network.digests == export.digests(tmp_path)
  images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), np.uint8)
  embeddings = network.embed(images)
  np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
  # ArcFace without its margin, by hand: s cos θ.
  head = variables['params']['head']
  cosines = embeddings @ (head / np.linalg.norm(head, axis=1)[:, None]).T
  np.testing.assert_allclose(
    network.classify(images), 16 * cosines, rtol=1e-3, atol=1e-3
  )


def test_what_has_no_logits_says_so(tmp_path, variables):
  image = np.zeros((1, 32, 32, 3), np.uint8)
  backbone = {'backbone': variables['params']['backbone']}
  with pytest.raises(ValueError, match='has no class weights'):
    load(tmp_path, {**variables, 'params': backbone}).classify(image)
  with pytest.raises(ValueError, match='does not tell its scale'):
    load(tmp_path, variables, scale=None).classify(image)
  with pytest.raises(ValueError, match='trained by triplet has no logits'):
    load(tmp_path, variables, loss='triplet').classify(image)
