"""A detector of centre points on annotated images: its step, and its use.

  L_det(maps, encode(annotations)),  maps = detector(shrink(augment(x)))

Parameters are {'detector': of the network}. Images arrive as uint8; the step
augments, scales and shrinks them. Boxes and points stay in pixels of the image
as it arrives: a cell of the maps covers as many of those as their sizes say.
"""

import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.losses import detection
from palmjax.ops import pixels, pool
from palmjax.ops.maps import centers as center_maps

# Every use folds its own constant into the key of the clock.
_AUGMENT, _DROPOUT = range(2)


def create_state(model, tx, key, *, input_shape):
  """A fresh detector.

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
      (maps, _), stats = train_state.apply_train(
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

    grads, (stats, metrics) = jax.grad(loss_fn, has_aux=True)(state.params)
    state = train_state.apply_gradients(state, tx, grads, stats=stats)
    return state, metrics

  return step


def make_detector(
  model, *, shrink=1, count=100, mirror=False, smaller=(), multiple=1
):
  """Builds detect(params, stats, images uint8 [B, H, W, 3]) → objects.

  Pure; for evaluation and for use: running statistics, params['detector'] only.
  Objects are those of `center_maps.decode`, in pixels of the images as given.

  Args:
    model: detector.
    shrink: L, the network sees means over L×L pixels.
    count: objects of an image.
    mirror: look at each image and its mirror image, and take the mean of their
      maps: twice the time.
    smaller: look at each image in these sizes, too, and take the mean of their
      maps, resampled to the grid of the first: sides as shares of its own.
    multiple: of pixels, what those sides are rounded to.
  """

  def once(params, stats, inputs):
    maps, _ = train_state.apply_eval(model, params['detector'], stats, inputs)
    return maps

  def look(params, stats, inputs):
    maps = once(params, stats, inputs)
    if not mirror:
      return maps
    # One after the other: together they fit a small cache less well.
    mirrored = once(params, stats, inputs[:, :, ::-1])
    return _mean([maps, center_maps.mirror(mirrored)])

  def detect(params, stats, images):
    inputs = pool.block_mean(pixels.to_float(images), shrink)
    views = [inputs, *(_smaller(inputs, share, multiple) for share in smaller)]
    found = [look(params, stats, view) for view in views]
    shape = found[0]['class'].shape[1:3]
    maps = _mean([center_maps.resize(maps, shape) for maps in found])
    return center_maps.decode(maps, stride=_stride(maps, images), count=count)

  return detect


def targets(maps, batch, *, radius, cells):
  """`center_maps.encode` of a batch in the shape of a detector's maps."""
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


def _mean(maps):
  return jax.tree.map(lambda *values: sum(values) / len(values), *maps)


def _smaller(images, share, multiple):
  """Images whose sides are that share of these, and whole multiples."""
  batch, *sides, channels = images.shape
  sides = [max(round(share * side / multiple), 1) * multiple for side in sides]
  return jax.image.resize(images, (batch, *sides, channels), 'lanczos3')


def _stride(maps, images):
  return images.shape[1] // maps['class'].shape[1]
