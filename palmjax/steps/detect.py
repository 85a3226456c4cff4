"""The step of a detector of centre points, on annotated images.

  L_det(maps, encode(annotations)),  maps = detector(shrink(augment(x)))

Parameters are {'detector': of the network}. Images arrive as uint8; the step
augments, scales and shrinks them. Boxes and points stay in pixels of the image
as it arrives: a cell of the maps covers as many of those as their sizes say.
"""

import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.losses import detection
from palmjax.models import forward
from palmjax.ops import pixels, pool
from palmjax.ops.maps import centers as center_maps

# Every use folds its own constant into the key of the clock.
_AUGMENT, _DROPOUT = range(2)


def create_state(model, tx, key, *, input_shape):
  """Initial `TrainState` of a detector.

  Args:
    model: detector.
    tx: optax transformation.
    key: random key.
    input_shape: (h, w, c) of what the network sees, shrunk.

  Returns:
    `TrainState` at step 0.
  """
  images = jnp.zeros((1, *input_shape))
  stats = train_state.initialise(
    lambda key: model.init(key, images, train=False), key
  )
  return train_state.create({'detector': stats.pop('params')}, stats, tx)


def make_step(
  model,
  tx,
  *,
  augment,
  shrink=1,
  radius='published',
  cells=9,
  weights=detection.WEIGHTS,
):
  """One update on annotated images. Differentiates: the detector.

  Args:
    model: detector, images → (maps, levels).
    tx: optax transformation.
    augment: (key, batch) → batch of the same shapes.
    shrink: L, the network sees means over L×L pixels.
    radius, cells: see `center_maps.encode`.
    weights: see `detection.detection_loss`.

  Returns:
    step(state, frozen, batch, key) → (state, metrics); batch {'image': uint8
    [B, H, W, 3]} and the annotations of `center_maps.encode`.
  """

  def step(state, frozen, batch, key):
    del frozen
    key = jax.random.fold_in(key, state.step)
    batch = augment(jax.random.fold_in(key, _AUGMENT), batch)
    images = pool.block_mean(pixels.to_float(batch['image']), shrink)

    def loss_fn(params):
      (maps, _), stats = forward.apply_train(
        model,
        params['detector'],
        state.stats,
        images,
        jax.random.fold_in(key, _DROPOUT),
      )
      loss, terms = detection.detection_loss(
        maps, targets(maps, batch, radius=radius, cells=cells), weights=weights
      )
      metrics = {'loss': loss} | prefixed('loss', terms)
      return loss, (stats, metrics)

    return train_state.descend(state, tx, loss_fn)

  return step


def make_loss(
  model,
  *,
  augment,
  shrink=1,
  radius='published',
  cells=9,
  weights=detection.WEIGHTS,
):
  """Builds loss(params, stats, batch, key), that of `make_step` as a measure.

  Pure, with running statistics; arguments as of `make_step`.
  """

  def loss(params, stats, batch, key):
    batch = augment(key, batch)
    images = pool.block_mean(pixels.to_float(batch['image']), shrink)
    maps, _ = forward.apply_eval(model, params['detector'], stats, images)
    wanted = targets(maps, batch, radius=radius, cells=cells)
    value, _ = detection.detection_loss(maps, wanted, weights=weights)
    return value

  return loss


def targets(maps, batch, *, radius, cells):
  """Target maps of a batch, in the shape of a detector's maps."""
  _, height, width, num_classes = maps['class'].shape
  return center_maps.encode(
    batch,
    shape=(height, width),
    num_classes=num_classes,
    stride=_stride(maps, batch['image']),
    radius=radius,
    cells=cells,
  )


def prefixed(prefix, terms):
  """{name: value} as metrics {'prefix/name': value}."""
  return {f'{prefix}/{name}': value for name, value in terms.items()}


def _stride(maps, images):
  return images.shape[1] // maps['class'].shape[1]
