"""Every variant of the config can be built; what cannot work is refused."""

import inspect
import json

import chex
import jax
import jax.numpy as jnp
import pytest

from configs import metric as metric_config
from configs import ssl as ssl_config
from palmjax.engine import mesh
from palmjax.engine import state as train_state
from palmjax.recipes.metric import checks as metric_checks
from palmjax.recipes.shared import palm_training
from palmjax.recipes.ssl import checks as ssl_checks
from palmjax.recipes.ssl import gan as ssl_gan
from palmjax.recipes.ssl import recipe as ssl_recipe
from palmjax.steps.gan import updates as gan_steps


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


@pytest.mark.slow
def test_all_updates_of_the_full_gan_can_be_traced(monkeypatch):
  """At 128 px, with activations in bfloat16 and second derivatives."""
  # Its own jit has options that a traced one may not have.
  monkeypatch.setattr(
    train_state, 'initialise', lambda init, *given: dict(init(*given))
  )
  config = ssl_config.get_config('full')
  built = []

  def build(key):
    generator, state, steps = ssl_gan.build(config, key)
    del generator
    built.append(steps)
    return state

  key = jax.random.key(0)
  state = jax.eval_shape(build, key)
  size, count = config.image_size, config.gan.batch_size
  batch = {'image': jax.ShapeDtypeStruct((count, size, size, 3), jnp.uint8)}
  for step in built[0]:
    after, metrics = jax.eval_shape(step, state, None, batch, key)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
    assert {x.dtype for x in metrics.values()} == {jnp.dtype('float32')}


def test_the_full_gan_has_the_published_numbers():
  gan = ssl_config.get_config('full').gan
  assert (gan.r1_interval, gan.path_length_interval) == (16, 4)
  assert (gan.path_length_weight, gan.style_mixing) == (2.0, 0.9)
  gan.r1_gamma, gan.batch_size = 0.0, 32
  assert ssl_gan.r1_gamma(128, gan) == pytest.approx(0.1024)
  defaults = inspect.signature(gan_steps.make_steps).parameters
  assert defaults['w_mean_decay'].default == 0.995


@pytest.mark.parametrize('variant', ['', 'smoke', 'weights', 'full'])
def test_variants_of_metric(variant):
  config = metric_config.get_config(variant)
  metric_checks.check(config, mesh.make(1))
  model, spec = palm_training.build(config)
  embeddings = jax.eval_shape(
    lambda key: model.init_with_output(
      key, jnp.zeros((2, *spec.shape)), train=False
    )[0],
    jax.random.key(0),
  )
  assert embeddings.shape == (2, config.network.embedding_size)


def test_another_config_in_the_same_workdir_is_refused(tmp_path):
  config = ssl_config.get_config('smoke')
  (tmp_path / 'config.json').write_text(
    json.dumps(config.to_dict() | {'seed': 7})
  )
  with pytest.raises(ValueError, match='seed = 7 there and 0 here'):
    ssl_recipe.run(config, tmp_path)


@pytest.mark.parametrize(
  'key,value,message',
  [
    ('image_size', 50, 'image size 50'),
    ('num_devices', 99, 'devices'),
    ('preprocess.channels', 'blue', 'channels'),
    ('cnn.loss', 'hinge', 'softmax or arcface'),
    ('cnn.steps', 0, 'config.cnn.steps=0'),
    ('cnn.warmup_steps', 30, 'warm-up'),
    ('gan.order', 'random', 'order'),
    ('gan.images', 'dreams', 'creases or photos'),
    ('gan.r1_interval', 0, 'interval'),
    ('gan.eval_images', 3, 'config.gan.eval_images=3'),
    ('soft.share', 1.0, 'share'),
    ('soft.share', 0.0, 'share'),
    ('soft.images', 0, 'config.soft.images=0'),
    ('soft.temperature', 0.0, 'config.soft.temperature'),
    ('evaluation.fars', [1.0], 'config.evaluation.fars'),
    ('evaluation.resamples', 0, 'config.evaluation.resamples=0'),
    ('data.name', 'internet', 'palms, folder or a prepared set'),
    ('data.name', 'folder', 'config.data.dir'),
    ('data.samples', 1, 'data.samples'),
    ('labelled.identities', 2, 'fewer than 4'),
    ('labelled.identities', 1, 'config.labelled.identities=1'),
    ('image_size', 16, 'VGG16'),
    ('augment.rotation', -1.0, 'rotation'),
    ('network.dtype', 'fp16', 'config.network.dtype=fp16'),
    ('gan.dtype', 'fp16', 'config.gan.dtype=fp16'),
    ('gan.ada_kimg', 0.0, 'config.gan.ada_kimg=0'),
    ('gan.fmap_base', 8, 'without channels at 32 px'),
    ('gan.style_mixing', 1.5, 'config.gan.style_mixing=1.5'),
    ('preprocess.contrast', 'none', 'use --config.gan.images=photos'),
  ],
)
def test_settings_that_cannot_work_are_refused_at_once(
  tmp_path, key, value, message
):
  config = ssl_config.get_config('smoke')
  if key == 'labelled.identities':
    config.labelled.images = 1
  config.update_from_flattened_dict({key: value})
  with pytest.raises(ValueError, match=message) as caught:
    ssl_recipe.run(config, tmp_path)
  assert '\n' not in str(caught.value)
  # Nothing was begun, and the corrected config may use the same workdir.
  assert {path.name for path in tmp_path.iterdir()} <= {'.lock'}
