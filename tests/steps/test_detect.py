"""The detection step: by hand on a linear network, then the real one."""

import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from palmjax.losses import detection
from palmjax.models import detector
from palmjax.networks import hand as hand_networks
from palmjax.ops.maps import centers as center_maps
from palmjax.steps import detect
from tests.steps import rectangles

CLASSES = 2


# Compiled faster; runs are short.
quick_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': '0'}
)


class Tiny(nn.Module):
  """Each 4×4 patch on its own: project, normalise, project."""

  @nn.compact
  def __call__(self, images, *, train):
    x = nn.Conv(6, (4, 4), 4, padding='VALID')(images)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
    sizes = {
      'class': CLASSES,
      'size': 2,
      'offset': 2,
      'palm_frame': 7,
      'points': 9,
    }
    maps = {
      name: nn.Dense(values, name=name)(x) for name, values in sizes.items()
    }
    return maps, [x]


def no_augment(key, batch):
  del key
  return batch


def batch(side=16, seed=0):
  rng = np.random.default_rng(seed)
  return {
    'image': rng.integers(0, 256, (2, side, side, 3)).astype(np.uint8),
    'boxes': np.array(
      [[[1, 2, 9, 12], [0, 0, 0, 0]], [[8, 0, 15, 7], [2, 9, 6, 16]]],
      np.float32,
    )
    * (side / 16),
    'classes': np.array([[1, 0], [0, 1]], np.int32),
    'valid': np.array([[True, False], [True, True]]),
    'points': rng.uniform(0, side, (2, 2, 3, 2)).astype(np.float32),
    'framed': np.array([[True, False], [True, False]]),
    'facing': np.array([[True, False], [False, False]]),
  }


def make(tx=None, *, model=None, augment=no_augment, side=16, shrink=1):
  tx, model = tx or optax.sgd(0.1), model or Tiny()
  step = detect.make_step(model, tx, augment=augment, shrink=shrink)
  state = detect.create_state(
    model,
    tx,
    jax.random.key(1),
    input_shape=(side // shrink, side // shrink, 3),
  )
  return model, step, state


@functools.partial(quick_jit, static_argnames=('model', 'stride'))
def loss_by_hand(model, state, inputs, data, stride):
  """Train mode: maps normalised by this batch."""
  variables = {'params': state.params['detector'], **state.stats}
  (maps, _), stats = model.apply(
    variables, inputs, train=True, mutable=['batch_stats']
  )
  targets = center_maps.encode(
    data, shape=(4, 4), num_classes=CLASSES, stride=stride
  )
  return detection.detection_loss(maps, targets), stats


@pytest.mark.parametrize('shrink', [1, 2])
def test_loss_is_that_of_the_shrunk_image(shrink):
  """Boxes stay in pixels of the image that comes."""
  side = 16 * shrink
  model, step, state = make(side=side, shrink=shrink)
  data = batch(side)
  after, metrics = quick_jit(step)(state, None, data, jax.random.key(0))
  inputs = data['image'] / 127.5 - 1.0
  inputs = inputs.reshape(2, 16, shrink, 16, shrink, 3).mean(axis=(2, 4))
  (loss, terms), stats = loss_by_hand(
    model, state, inputs.astype(np.float32), data, 4 * shrink
  )
  np.testing.assert_allclose(metrics['loss'], loss, rtol=1e-4)
  for name, value in terms.items():
    np.testing.assert_allclose(metrics[f'loss/{name}'], value, rtol=1e-4)
  chex.assert_trees_all_close(after.stats, stats, atol=1e-5)
  assert after.step == 1


def test_each_step_augments_images_and_boxes_with_a_key_of_its_own():
  def augment(key, data):
    image = jax.random.bits(key, data['image'].shape, jnp.uint8)
    return data | {'image': image, 'valid': jnp.zeros_like(data['valid'])}

  # Nothing is learnt: what differs is the image.
  _, step, state = make(optax.sgd(0.0), augment=augment)
  step, root = quick_jit(step), jax.random.key(3)
  after, first = step(state, None, batch(), root)
  _, second = step(after, None, batch(), root)
  _, again = step(state, None, batch(), root)
  assert first['loss'] == again['loss'] != second['loss']
  # No box was left.
  assert first['loss/size'] == 0 < first['loss']


def test_one_trace_with_donation():
  _, step, state = make(optax.adam(1e-2))
  step = quick_jit(chex.assert_max_traces(step, n=1), donate_argnums=0)
  losses = []
  for _ in range(4):
    state, metrics = step(state, None, batch(), jax.random.key(0))
    losses.append(float(metrics['loss']))
  assert int(state.step) == 4
  assert losses[3] < losses[0]


@pytest.fixture(scope='module')
def trained():
  """A narrow detector after 100 steps on the same four images."""
  data = rectangles.rectangles()
  model = detector.Detector(CLASSES, width=0.5, depth=0)
  tx = optax.adam(optax.cosine_decay_schedule(0.01, 100))
  _, step, state = make(tx, model=model, side=64)
  step = quick_jit(step, donate_argnums=0)
  first = jax.tree.map(np.asarray, state)
  losses = []
  for _ in range(100):
    state, metrics = step(state, None, data, jax.random.key(2))
    losses.append(float(metrics['loss']))
  return data, model, first, state, losses


@pytest.mark.slow
def test_detector_overfits(trained):
  _, _, first, state, losses = trained
  assert losses[-1] < 0.05 * losses[0]
  chex.assert_tree_all_finite(state)
  moved = jax.tree.map(
    lambda a, b: np.abs(a - b).max() > 0, first.params, state.params
  )
  assert all(jax.tree.leaves(moved))


@pytest.mark.slow
def test_detector_finds_what_it_was_taught(trained):
  data, model, _, state, _ = trained
  find = quick_jit(hand_networks.make_detector(model, count=10))
  detections = find(state.params, state.stats, data['image'])
  for b in range(4):
    objects = np.flatnonzero(data['valid'][b])
    sure = np.flatnonzero(detections['scores'][b] > 0.3)
    assert len(sure) == len(objects)
    for m in objects:
      distances = np.abs(detections['boxes'][b][sure] - data['boxes'][b, m])
      nearest = sure[np.argmin(distances.max(axis=1))]
      assert distances.max(axis=1).min() < 2.5
      assert detections['classes'][b, nearest] == data['classes'][b, m]
      error = np.abs(detections['points'][b, nearest] - data['points'][b, m])
      assert error.max() < 2.5
      facing = detections['facing'][b, nearest] > 0.5
      assert facing == data['facing'][b, m]


@pytest.mark.slow
def test_detector_reads_images_larger_by_shrink(trained):
  data, model, _, state, _ = trained
  find = quick_jit(hand_networks.make_detector(model, count=2))
  large = quick_jit(hand_networks.make_detector(model, count=2, shrink=2))
  twice = data['image'].repeat(2, axis=1).repeat(2, axis=2)
  want = find(state.params, state.stats, data['image'])
  got = large(state.params, state.stats, twice)
  np.testing.assert_allclose(got['boxes'], 2 * want['boxes'], rtol=1e-4)
  np.testing.assert_allclose(got['scores'], want['scores'], rtol=1e-4)


@pytest.mark.slow
def test_a_detector_that_looks_at_mirror_images_sees_them_alike(trained):
  data, model, _, state, _ = trained
  find = quick_jit(hand_networks.make_detector(model, count=6, mirror=True))
  here = find(state.params, state.stats, data['image'])
  there = find(state.params, state.stats, data['image'][:, :, ::-1])
  for name in ('scores', 'facing'):
    np.testing.assert_allclose(there[name], here[name], atol=1e-4)
  flip = np.array([-1, 1])
  for b in range(4):
    sure = np.arange(6) < data['valid'][b].sum()
    assert sure.any()
    np.testing.assert_array_equal(
      there['classes'][b][sure], here['classes'][b][sure]
    )
    np.testing.assert_allclose(
      there['points'][b][sure],
      here['points'][b][sure] * flip + np.array([64, 0]),
      atol=2e-3,
    )
    x0, y0, x1, y1 = here['boxes'][b][sure].T
    want = np.stack([64 - x1, y0, 64 - x0, y1], axis=-1)
    np.testing.assert_allclose(there['boxes'][b][sure], want, atol=2e-3)
  # Of one look alone that does not hold.
  once = quick_jit(hand_networks.make_detector(model, count=6))
  alone = [
    once(state.params, state.stats, images)['scores']
    for images in (data['image'], data['image'][:, :, ::-1])
  ]
  assert np.abs(alone[0] - alone[1]).max() > 0.01


class Remembers(nn.Module):
  """Tells the shapes that it sees, and in every cell its image's mean."""

  tell: Callable

  @nn.compact
  def __call__(self, images, *, train):
    assert not train
    self.tell(images.shape[1:3])
    batch, height, width, _ = images.shape
    cells = (batch, height // 4, width // 4)
    mean = images.mean(axis=(1, 2, 3))[:, None, None, None]
    sizes = {'class': CLASSES, **center_maps.VALUES}
    maps = {
      name: jnp.broadcast_to(mean, (*cells, count))
      for name, count in sizes.items()
    }
    # As wide as half the image.
    maps['size'] = jnp.broadcast_to(
      jnp.array([cells[2], cells[1]]) / 2, (*cells, 2)
    )
    return maps, []


@pytest.mark.slow
def test_smaller_looks_have_whole_cells_and_equal_weight():
  sides = []
  model = Remembers(sides.append)
  find = hand_networks.make_detector(
    model, count=3, mirror=True, smaller=(0.7, 0.5, 0.01), multiple=8
  )
  images = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)
  detections = find({'detector': {}}, {}, images)
  # Each with its mirror image.
  assert sides[::2] == [(32, 48), (24, 32), (16, 24), (8, 8)] == sides[1::2]
  x0, y0, x1, y1 = np.moveaxis(np.asarray(detections['boxes']), -1, 0)
  np.testing.assert_allclose(x1 - x0, 24, rtol=1e-5)
  np.testing.assert_allclose(y1 - y0, 16, rtol=1e-5)
  # No filter of the looks changes the mean much.
  mean = (images / 127.5 - 1).mean(axis=(1, 2, 3))
  np.testing.assert_allclose(
    detections['scores'], jax.nn.sigmoid(mean)[:, None].repeat(3, 1), atol=0.02
  )


@pytest.mark.slow
def test_a_detector_that_looks_at_smaller_images_too(trained):
  """It was taught one size, and is shown twice as large and that one."""
  data, model, _, state, _ = trained
  large = data['image'].repeat(2, axis=1).repeat(2, axis=2)
  half = quick_jit(
    hand_networks.make_detector(model, count=4, smaller=(0.5,), multiple=32)
  )
  once = quick_jit(hand_networks.make_detector(model, count=4))
  both_sizes, alone = (
    find(state.params, state.stats, large) for find in (half, once)
  )

  def misses(both_sizes):
    """Pixels of the large image, of the best box for each object."""
    return [
      np.abs(both_sizes['boxes'][b] - 2 * data['boxes'][b, m]).max(axis=1).min()
      for b, m in np.argwhere(data['valid'])
    ]

  assert np.median(misses(both_sizes)) < 0.6 * np.median(misses(alone))
