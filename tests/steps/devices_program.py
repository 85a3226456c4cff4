"""Each step on one and on eight devices; prints the names of those that agree.

python devices_program.py PART…, of `PARTS`.

A process of its own: JAX counts devices when it starts. Set XLA_FLAGS to
--xla_force_host_platform_device_count=8.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from palmjax.data.augment import boxes as box_augment
from palmjax.data.augment import palm_frame_views
from palmjax.engine import mesh as meshes
from palmjax.engine import optim
from palmjax.images import preprocess
from palmjax.losses import metric as metric_losses
from palmjax.losses import triplet
from palmjax.models import (
  discriminator,
  generator,
  heads,
  mobilefacenet,
  palm_frame,
)
from palmjax.steps import (
  classify,
  detect,
  metric,
  soft_label,
  two_teachers,
)
from palmjax.steps import palm_frame as frame_steps
from palmjax.steps.gan import ada, networks, updates

BATCH = 16
CLASSES = 4
SIZE = 32

RANDOM = np.random.default_rng(0)
LIGHT = (
  *('saturation', 'hue', 'grey', 'brightness', 'contrast'),
  *('blur', 'noise', 'erase'),
)
SPEC = preprocess.Preprocess(image_size=SIZE)
IMAGES = {'preprocess': SPEC.apply, 'augment': lambda key, images: images}
HEAD = heads.init_head(jax.random.key(2), CLASSES, 16)
# Plain gradient descent: Adam turns rounding into whole steps.
RATE = {'num_steps': 10, 'warmup_steps': 0, 'max_norm': 5.0}
PLAIN = optim.sgd(0.1, momentum=0.0, weight_decay=0.0, **RATE)
MOMENTUM = optim.sgd(0.1, momentum=0.9, weight_decay=5e-4, **RATE)


class Embedder(nn.Module):
  """A small network: tracing a real one takes longer than all the steps."""

  @nn.compact
  def __call__(self, images, *, train):
    x = nn.Conv(8, (4, 4), 4)(images)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
    return nn.Dense(16)(nn.relu(x).reshape(len(x), -1))


class Detector(nn.Module):
  """Two levels of patches, of stride 2 and 4, the first one times `factor`."""

  features: int = 6
  factor: int = 1

  @nn.compact
  def __call__(self, images, *, train):
    x, levels = images, []
    for side in (2 * self.factor, 2):
      x = nn.Conv(self.features, (side, side), side)(x)
      x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
      levels.append(x)
    sizes = {'class': 2, 'size': 2, 'offset': 2, 'frame': 7, 'points': 9}
    maps = {
      name: nn.Dense(values, name=name)(x) for name, values in sizes.items()
    }
    return maps, levels


def compare(name, step, state, batch, *, frozen=None, tolerance=1e-4):
  """Prints the name of a step that gives the same on one and eight devices."""
  results = []
  for count in (1, 8):
    mesh = meshes.make(count)
    results.append(
      jax.device_get(
        meshes.jit_step(step, mesh)(
          meshes.copy_to_devices(state, mesh),
          meshes.replicate(frozen, mesh),
          meshes.shard_batch(batch, mesh),
          meshes.replicate(jax.random.key(1), mesh),
        )
      )
    )
  (one, metrics), (eight, other_metrics) = results
  for (path, a), b in zip(
    jax.tree_util.tree_leaves_with_path(one),
    jax.tree.leaves(eight),
    strict=True,
  ):
    np.testing.assert_allclose(
      a,
      b,
      rtol=tolerance,
      atol=tolerance,
      err_msg=name + jax.tree_util.keystr(path),
    )
  assert metrics.keys() == other_metrics.keys()
  for key, value in metrics.items():
    np.testing.assert_allclose(
      value, other_metrics[key], rtol=1e-3, atol=1e-4, err_msg=f'{name} {key}'
    )
  moved = [
    (np.asarray(new) != np.asarray(old)).any()
    for new, old in zip(
      jax.tree.leaves(one), jax.tree.leaves(state), strict=True
    )
  ]
  assert any(moved), name
  print(name, flush=True)


def pictures(size):
  return RANDOM.integers(0, 256, (BATCH, size, size, 3), np.uint8)


def images_and_labels():
  return {
    'image': pictures(SIZE),
    'label': np.arange(BATCH, dtype=np.int32) % CLASSES,
  }


def compare_classify(name, model):
  """Compares the classification step; returns its state."""
  state = classify.create_state(
    model, MOMENTUM, jax.random.key(0), input_shape=SPEC.shape, head=HEAD
  )
  step = classify.make_step(
    model, MOMENTUM, logits_fn=metric_losses.softmax_logits, **IMAGES
  )
  compare(name, step, state, images_and_labels())
  return state


def mobilefacenet_step():
  model = mobilefacenet.MobileFaceNet(embedding_size=16, width=0.125)
  compare_classify('mobilefacenet', model)


def palm_steps():
  model, labelled = Embedder(), images_and_labels()
  state = compare_classify('classify', model)
  soft = RANDOM.random((BATCH, CLASSES)).astype(np.float32)
  generated = {
    'generated': pictures(SIZE),
    'soft': soft / soft.sum(1, keepdims=True),
  }
  step = soft_label.make_step(
    model,
    MOMENTUM,
    logits_fn=metric_losses.softmax_logits,
    weight=1.0,
    augment_generated=True,
    **IMAGES,
  )
  compare('soft_label', step, state, labelled | generated)

  def adaface(embeddings, head, labels, norms):
    logits = metric_losses.adaface_logits(
      embeddings, head, labels, norm_mean=norms['mean'], norm_std=norms['std']
    )
    return metric_losses.cross_entropy(logits, labels)

  def hardest(embeddings, head, labels, norms):
    # Over all pairs of the batch: rows of one device meet those of others.
    distances = triplet.squared_euclidean(embeddings)
    return triplet.mean(triplet.batch_hard(distances, labels))

  # In the middle of the change from one loss to the other.
  losses = {'adaface': adaface, 'hardest': hardest}
  step = metric.make_step(
    model, MOMENTUM, losses=losses, boundaries=(0,), blend_steps=4, **IMAGES
  )
  state = metric.create_state(
    model, MOMENTUM, jax.random.key(0), input_shape=SPEC.shape, head=HEAD
  )
  state = state.replace(step=jnp.int32(2))
  compare('metric', step, state, labelled)


def gan_steps():
  sizes = {'image_size': 8, 'fmap_base': 16, 'fmap_max': 8}
  pair = (
    generator.Generator(latent_size=8, mapping_layers=1, **sizes),
    discriminator.Discriminator(**sizes),
  )
  batch = {'image': pictures(8)}
  state = networks.create_state(*pair, PLAIN, PLAIN, batch, jax.random.key(3))
  state['ada']['p'] = jnp.float32(0.5)
  steps = updates.make_steps(
    *pair, PLAIN, PLAIN, augment=ada.augment, r1_gamma=1.0
  )
  for name, step in steps._asdict().items():
    compare(name, step, state, batch, tolerance=2e-4)


def hand_steps():
  # Some of what is random; more of it would compile for many seconds.
  light = dict.fromkeys(LIGHT, 0.0) | {'noise': 0.05}
  batch = annotated(SIZE)

  model = Detector()
  augment = box_augment.make_augment(
    mirror=True, turns=True, scale=0.1, shift=0.05, **light
  )
  state = detect.create_state(
    model, PLAIN, jax.random.key(4), input_shape=(SIZE, SIZE, 3)
  )
  step = detect.make_step(model, PLAIN, augment=augment)
  compare('detect', step, state, batch)

  model = palm_frame.PalmFrameRegressor(width=0.125)
  views = palm_frame_views.make_views(
    size=32, angle=5.0, scale=0.05, shift=0.1, **light
  )
  # Views of 16 pixels end in one cell: statistics over so few values turn
  # rounding into differences of 1e-4.
  state = frame_steps.create_state(
    model, PLAIN, jax.random.key(5), input_shape=(32, 32, 3)
  )
  step = frame_steps.make_step(model, PLAIN, views=views)
  compare('palm_frame', step, state, batch)

  model = Detector()
  teachers = {
    'teacher1': Detector(features=9),
    'teacher2': Detector(factor=2),
  }
  frozen = {
    name: teacher.init(
      jax.random.key(6), jnp.zeros((1, side, side, 3)), train=False
    )
    for (name, teacher), side in zip(
      teachers.items(), (SIZE, 2 * SIZE), strict=True
    )
  }
  state = two_teachers.create_state(
    model,
    PLAIN,
    jax.random.key(7),
    input_shape=(2 * SIZE, 2 * SIZE, 3),
    teachers=teachers,
    shrink=2,
  )
  step = two_teachers.make_step(
    model,
    PLAIN,
    teachers=teachers,
    augment=lambda key, batch: batch,
    shrink=2,
  )
  compare('two_teachers', step, state, annotated(2 * SIZE), frozen=frozen)


def annotated(side):
  """A batch of images with up to two hands each."""
  centre = RANDOM.uniform(0.25, 0.75, (BATCH, 2, 2))
  half = RANDOM.uniform(0.1, 0.25, (BATCH, 2, 2))
  boxes = np.concatenate([centre - half, centre + half], axis=-1)
  return {
    'image': pictures(side),
    'boxes': (side * boxes).astype(np.float32),
    'classes': RANDOM.integers(0, 2, (BATCH, 2)).astype(np.int32),
    'valid': RANDOM.random((BATCH, 2)) < 0.8,
    'points': RANDOM.uniform(0, side, (BATCH, 2, 3, 2)).astype(np.float32),
    'framed': RANDOM.random((BATCH, 2)) < 0.7,
    'facing': RANDOM.random((BATCH, 2)) < 0.5,
  }


PARTS = {
  'palms': palm_steps,
  'hands': hand_steps,
  'mobilefacenet': mobilefacenet_step,
  'gan': gan_steps,
}

if __name__ == '__main__':
  assert jax.device_count() == 8
  for name in sys.argv[1:]:
    PARTS[name]()
