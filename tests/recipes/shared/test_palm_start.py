"""A network that goes on from an export."""

import functools

import jax
import numpy as np
import pytest

from configs import metric as metric_config
from palmjax.models import heads
from palmjax.networks import export
from palmjax.recipes.metric import recipe as metric_recipe
from palmjax.recipes.shared import palm_start, palm_training
from palmjax.steps import metric as metric_step


@pytest.fixture(scope='module')
def config():
  return metric_config.get_config('smoke')


@pytest.fixture(scope='module')
def create(config):
  """seed → a fresh state for 5 identities."""
  model, spec = palm_training.build(config)

  @functools.cache
  def create(seed, create_state=metric_step.create_state):
    return create_state(
      model,
      palm_training.optimiser(config.cnn),
      jax.random.key(seed),
      input_shape=spec.shape,
      head=heads.init_head(jax.random.key(seed), 5, model.embedding_size),
    )

  return create


@pytest.fixture
def saved(config, create, tmp_path):
  """(folder, variables) of a trained network, its class weights left out."""
  state = jax.device_get(create(1))
  stats = {k: v for k, v in state.stats.items() if k != 'norms'}
  stats = jax.tree.map(lambda leaf: leaf + 0.5, stats)
  variables = {'params': {'backbone': state.params['backbone']}, **stats}
  _, spec = palm_training.build(config)
  export.save(
    tmp_path,
    variables=variables,
    model={**config.network.to_dict(), 'loss': 'arcface'},
    preprocess=spec.to_json(),
  )
  return tmp_path, variables


def test_it_has_the_backbone_of_the_export_and_its_own_classes(
  config, create, saved
):
  folder, variables = saved
  fresh = jax.device_get(create(2))
  with_start = config.copy_and_resolve_references()
  with_start.cnn.start = str(folder)
  state = create(
    2, metric_recipe.state_creator(with_start, metric_step.create_state)
  )
  equal = jax.tree.map(np.array_equal, jax.device_get(state), fresh)
  assert all(jax.tree.leaves((equal.params['head'], equal.opt_state)))
  assert equal.stats['norms'] == {'mean': True, 'std': True}
  assert state.step == 0
  jax.tree.map(
    np.testing.assert_array_equal,
    jax.device_get(state.params['backbone']),
    variables['params']['backbone'],
  )
  jax.tree.map(
    np.testing.assert_array_equal,
    jax.device_get(state.stats['batch_stats']),
    variables['batch_stats'],
  )
  assert jax.tree.structure(state) == jax.tree.structure(fresh)


def test_without_an_export_it_is_fresh(config):
  create_state = metric_step.create_state
  assert metric_recipe.state_creator(config, create_state) is create_state


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('network.width', 0.25, 'another width: 0.125, not 0.25'),
    pytest.param(
      'preprocess.contrast',
      'none',
      'another contrast: local, not none',
      marks=pytest.mark.slow,
    ),
    pytest.param(
      'image_size',
      64,
      'another image_size: 32, not 64',
      marks=pytest.mark.slow,
    ),
  ],
)
def test_another_network_is_refused(config, create, saved, key, value, message):
  folder, _ = saved
  other = config.copy_and_resolve_references()
  other.update_from_flattened_dict({key: value})
  with pytest.raises(ValueError, match=message) as caught:
    palm_start.from_export(create(2), other, folder)
  assert '\n' not in str(caught.value)


def test_weights_may_go_on_in_another_precision(config, create, saved):
  folder, variables = saved
  other = config.copy_and_resolve_references()
  other.network.dtype = 'bfloat16'
  state = palm_start.from_export(create(2), other, folder)
  jax.tree.map(
    np.testing.assert_array_equal,
    jax.device_get(state.params['backbone']),
    variables['params']['backbone'],
  )


def test_variables_that_do_not_fit_are_refused(config, saved, tmp_path):
  folder, variables = saved
  exported = export.load(folder)
  lacking = {'params': variables['params']}
  export.save(
    folder,
    variables=lacking,
    model=exported.model,
    preprocess=exported.preprocess,
  )
  config = config.copy_and_resolve_references()
  config.cnn.start = str(folder)
  with pytest.raises(ValueError, match=r'does not fit .* none in the export'):
    palm_start.check(config)
