"""The step of the reader: by hand on a linear network, then the real one."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from palmjax.data.augment import palm_frame_crops
from palmjax.images import palm_frame
from palmjax.losses import palm_frame as palm_frame_losses
from palmjax.models import palm_frame as palm_frame_model
from palmjax.networks import palm_frame as palm_frame_networks
from palmjax.steps import palm_frame as palm_frame_steps

SIZE = 32

# Compiled faster; runs are short.
quick_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': '0'}
)


class Tiny(nn.Module):
  """Projects means over 8×8 pixels, normalises, projects."""

  @nn.compact
  def __call__(self, images, *, train):
    x = nn.avg_pool(images, (8, 8), (8, 8)).reshape(len(images), -1)
    x = nn.Dense(8)(x)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
    return nn.Dense(6)(x).reshape(-1, 3, 2), nn.Dense(1)(x)[:, 0]


def batch(count=4, seed=0):
  rng = np.random.default_rng(seed)
  return {
    'image': rng.integers(0, 256, (count, SIZE, SIZE, 3)).astype(np.uint8),
    'points': rng.uniform(0, SIZE, (count, 2, 3, 2)).astype(np.float32),
    'framed': np.tile([True, False], (count, 1)),
    'facing': np.tile([True, False], (count, 1)),
  }


def plain_crops(key, data):
  """The images as they are; the last one does not count."""
  del key
  return {
    'image': data['image'] / jnp.float32(127.5) - 1,
    'points': data['points'][:, 0] / SIZE - 0.5,
    'facing': data['facing'][:, 0],
    'present': jnp.arange(len(data['image'])) < len(data['image']) - 1,
  }


def make(tx=None, *, model=None, crops=plain_crops):
  tx, model = tx or optax.sgd(0.1), model or Tiny()
  step = palm_frame_steps.make_step(model, tx, crops=crops)
  state = palm_frame_steps.create_state(
    model, tx, jax.random.key(1), input_shape=(SIZE, SIZE, 3)
  )
  return model, step, state


def test_loss_and_update_are_those_by_hand():
  model, step, state = make()
  data = batch()
  before = jax.tree.map(np.array, state)
  after, metrics = quick_jit(step)(state, None, data, jax.random.key(0))
  crops = quick_jit(plain_crops)(None, data)

  @quick_jit
  def by_hand(params):
    """Train mode: normalised by this batch."""

    def loss_fn(params):
      variables = {'params': params['reader'], **state.stats}
      output, stats = model.apply(
        variables, crops['image'], train=True, mutable=['batch_stats']
      )
      loss, terms = palm_frame_losses.palm_frame_loss(*output, crops)
      return loss, (terms, stats)

    return jax.value_and_grad(loss_fn, has_aux=True)(params)

  (loss, (terms, stats)), grads = jax.device_get(by_hand(state.params))
  np.testing.assert_allclose(metrics['loss'], loss, rtol=1e-5)
  norm = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(grads)))
  np.testing.assert_allclose(metrics['grad_norm'], norm, rtol=1e-5)
  np.testing.assert_allclose(metrics['update_norm'], 0.1 * norm, rtol=1e-5)
  assert metrics.keys() == {
    'loss',
    *(f'loss/{name}' for name in terms),
    'grad_norm',
    'update_norm',
  }
  for name, value in terms.items():
    np.testing.assert_allclose(metrics[f'loss/{name}'], value, rtol=1e-5)
  assert after.params.keys() == {'reader'}
  want = jax.tree.map(lambda p, g: p - 0.1 * g, before.params, grads)
  chex.assert_trees_all_close(after.params, want, atol=1e-5)
  chex.assert_trees_all_close(after.stats, stats, atol=1e-5)
  assert after.step == 1
  # Nothing of what was given has changed.
  chex.assert_trees_all_equal(before, jax.tree.map(np.asarray, state))


def test_each_step_makes_crops_with_a_key_of_its_own():
  def crops(key, data):
    made = plain_crops(None, data)
    return made | {'image': jax.random.normal(key, made['image'].shape)}

  # Nothing is learnt: what differs is the crop.
  _, step, state = make(optax.sgd(0.0), crops=crops)
  step = quick_jit(step)
  after, first = step(state, None, batch(), jax.random.key(3))
  _, second = step(after, None, batch(), jax.random.key(3))
  _, again = step(state, None, batch(), jax.random.key(3))
  _, other = step(state, None, batch(), jax.random.key(4))
  assert first['loss'] == again['loss']
  assert len({float(x['loss']) for x in (first, second, other)}) == 3


def test_one_trace_with_donation():
  _, step, state = make(optax.adam(1e-2))
  step = quick_jit(chex.assert_max_traces(step, n=1), donate_argnums=0)
  losses = []
  for _ in range(4):
    state, metrics = step(state, None, batch(), jax.random.key(0))
    losses.append(float(metrics['loss']))
  assert int(state.step) == 4
  assert losses[3] < losses[0]


def test_images_without_a_palm_frame_teach_nothing():
  def crops(key, data):
    made = plain_crops(key, data)
    return made | {'present': jnp.zeros_like(made['present'])}

  _, step, state = make(crops=crops)
  after, metrics = quick_jit(step)(state, None, batch(), jax.random.key(0))
  assert metrics['loss'] == 0
  chex.assert_trees_all_equal(after.params, state.params)


def squares():
  """Six images of 48 px: a dot of its own colour at each point."""
  rng = np.random.default_rng(4)
  image = np.full((6, 48, 48, 3), 128, np.uint8)
  points = np.zeros((6, 1, 3, 2), np.float32)
  for i in range(6):
    angle = rng.uniform(-np.pi, np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)]] * 2)
    turn[1] = -turn[1, 1], turn[1, 0]
    places = 10 * np.array([[-0.5, -0.7], [0.5, -0.7], [0.0, 0.9]]) @ turn + 24
    points[i, 0] = places
    # Facing palms are lighter.
    image[i] += np.uint8(40 * (i % 2))
    for k, (x, y) in enumerate(np.round(places).astype(int)):
      image[i, y - 2 : y + 2, x - 2 : x + 2] = 255 * (np.arange(3) == k)
  return {
    'image': image,
    'points': points,
    'framed': np.ones((6, 1), bool),
    'facing': np.arange(6)[:, None] % 2 == 1,
  }


@pytest.fixture(scope='module')
def trained():
  """A narrow reader after 120 steps on crops of the same six images."""
  crops = palm_frame_crops.make_crops(
    size=SIZE,
    **{'angle': 5.0, 'scale': 0.05, 'shift': 0.1},
    **dict.fromkeys(('saturation', 'hue', 'grey', 'brightness'), 0.0),
    **dict.fromkeys(('contrast', 'blur', 'noise', 'erase'), 0.0),
  )
  data, model = squares(), palm_frame_model.PalmFrameRegressor(width=0.25)
  tx = optax.adam(optax.cosine_decay_schedule(0.01, 120))
  _, step, state = make(tx, model=model, crops=crops)
  step = quick_jit(step, donate_argnums=0)
  first = jax.tree.map(np.asarray, state)
  losses = []
  for _ in range(120):
    state, metrics = step(state, None, data, jax.random.key(2))
    losses.append(float(metrics['loss']))
  # Other crops of them.
  return model, crops(jax.random.key(9), data), first, state, losses


@pytest.mark.slow
def test_reader_overfits(trained):
  _, _, first, state, losses = trained
  assert np.mean(losses[-5:]) < 0.15 * losses[0]
  chex.assert_tree_all_finite(state)
  moved = jax.tree.map(
    lambda a, b: np.abs(a - b).max() > 0, first.params, state.params
  )
  assert all(jax.tree.leaves(moved))


@pytest.mark.slow
def test_reader_reads_what_it_was_taught(trained):
  model, crops, _, state, _ = trained
  read = quick_jit(palm_frame_networks.make_reader(model))
  images = np.round((np.asarray(crops['image']) + 1) * 127.5).astype(np.uint8)
  points, facing = read(state.params, state.stats, images)
  np.testing.assert_array_equal(facing > 0.5, crops['facing'])
  assert (np.minimum(facing, 1 - facing) >= 0).all()
  # Of valleys 0.31 apart; the palm frames that made the crops are farther off.
  usual = np.array([[-0.5, -0.7], [0.5, -0.7]]) / palm_frame.SIDE
  errors, unread = (
    np.linalg.norm(x - crops['points'][:, :2], axis=-1)
    for x in (points[:, :2], usual)
  )
  assert errors.mean() < 0.03
  assert errors.mean() < 0.6 * unread.mean()


@pytest.mark.slow
def test_mirror_images_are_read_alike(trained):
  model, crops, _, state, _ = trained
  read = quick_jit(palm_frame_networks.make_reader(model))
  images = np.round((np.asarray(crops['image']) + 1) * 127.5).astype(np.uint8)
  points, facing = read(state.params, state.stats, images)
  mirrored, again = read(state.params, state.stats, images[:, :, ::-1])
  want = np.asarray(mirrored)[:, [1, 0, 2]] * [-1, 1]
  np.testing.assert_allclose(points, want, atol=1e-5)
  np.testing.assert_allclose(facing, again, atol=1e-5)
