"""The reader of palm frames in a recipe: built, trained, loaded, used.

It corrects what a detector says of a hand: it looks at the view of the frame
that was found (`data.augment.palm_frame_views`), says where the frame is, and looks again at
the view of that.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data import streams
from palmjax.data.augment import palm_frame_views
from palmjax.engine import loop
from palmjax.engine import mesh as meshes
from palmjax.images import palm_frame, photo
from palmjax.models import palm_frame as frame_reader
from palmjax.networks import export as exports
from palmjax.recipes.shared import hand_training
from palmjax.steps import palm_frame as frames

NAME = 'frame_reader'
# Streams of the stage's key.
_INIT, _TRAIN, _BATCHES = range(3)
# What of the section `augment` changes views: their light, not their place.
_LIGHT = (
  'saturation',
  'hue',
  'grey',
  'brightness',
  'contrast',
  'blur',
  'noise',
  'erase',
)
_LOOKS = 2
# A look that moves a valley by more palm widths has seen something else.
_FAR = 0.5


class Reader(NamedTuple):
  """A trained reader.

  Attributes:
    read: uint8 [1, S, S, 3] → (points [1, 3, 2] in sides from the centre of the
      view, left valley first, probability [1] of a palm that faces the camera).
    image_size: S.
    params: number of parameters.
  """

  read: Callable
  image_size: int
  params: int


def views(config):
  """What the training looks at, see `data.augment.palm_frame_views.make_views`."""
  section = config.frames
  return palm_frame_views.make_views(
    size=section.image_size,
    angle=section.angle,
    scale=section.scale,
    shift=section.shift,
    **{name: config.augment[name] for name in _LIGHT},
  )


def train(run, directory, export, key):
  """Trains the reader on the hands whose frame is known, and exports it.

  Args:
    run: `hand_training.Run`.
    directory: of the stage.
    export: directory of the result.
    key: random key: initial weights, order and views.

  Returns:
    Metrics: {'params'}.

  Raises:
    ValueError: no training image shows a palm frame.
  """
  config, section = run.config, run.config.frames
  known = run.hands.training['framed'].any(axis=1)
  if not known.any():
    raise ValueError(
      'no training image shows a palm frame: give --config.data.images, drawn '
      'hands, or --config.frames.steps=0'
    )
  description = {
    'name': NAME,
    'width': section.width,
    'dtype': config.dtype,
  }
  model, tx = _build(description), hand_training.optimiser(section)
  state = frames.create_state(
    model,
    tx,
    jax.random.fold_in(key, _INIT),
    input_shape=(section.image_size, section.image_size, 3),
  )
  data = streams.DeviceSet(
    {
      name: run.hands.training[name][known]
      for name in ('image', 'points', 'framed', 'facing')
    },
    sharding=meshes.batch_sharding(run.mesh),
  )
  state = loop.fit(
    loop.always(
      meshes.jit_step(
        frames.make_step(model, tx, views=views(config)), run.mesh
      )
    ),
    state,
    frozen=None,
    batches=data.batches(
      section.batch_size,
      seed=streams.seed_of(jax.random.fold_in(key, _BATCHES)),
    ),
    num_steps=section.steps,
    key=jax.random.fold_in(key, _TRAIN),
    workdir=run.workdir,
    mesh=run.mesh,
    name=directory.name,
    ckpt_every=section.ckpt_every,
    log_every=config.log_every,
  )
  state = jax.device_get(state)
  params = state.params['reader']
  exports.save(
    export,
    variables={'params': params, **state.stats},
    model=description,
    preprocess={
      'image_size': section.image_size,
      'channels': 'rgb',
      'value_range': [-1.0, 1.0],
      'view_side': palm_frame.SIDE,
      'view_centre': palm_frame.CENTRE,
    },
  )
  return {'params': int(sum(leaf.size for leaf in jax.tree.leaves(params)))}


def load(directory):
  """Reads an export of `train`.

  Args:
    directory: export directory of the stage.

  Returns:
    `Reader`.

  Raises:
    ValueError, OSError: the export is damaged or incomplete, of another kind
      of network, or of views that this version does not make.
  """
  found = exports.load(directory)
  if found.model.get('name') != NAME:
    raise ValueError(
      f'{directory} holds no reader of palm frames but '
      f'{found.model.get("name")}; give the export of the stage {NAME} of '
      'configs/gesture.py'
    )
  for key, value in (
    ('view_side', palm_frame.SIDE),
    ('view_centre', palm_frame.CENTRE),
  ):
    if found.preprocess.get(key) != value:
      raise ValueError(
        f'{directory} was trained with {key} {found.preprocess.get(key)}, this '
        f'version makes views of {value}: train it again'
      )
  model, side = _build(found.model), found.preprocess['image_size']
  exports.check_fits(
    found,
    jax.eval_shape(
      lambda: model.init(
        jax.random.key(0), jnp.zeros((1, side, side, 3)), train=False
      )
    ),
    directory,
  )
  stats = jax.device_put(dict(found.variables))
  params = {'reader': stats.pop('params')}
  read = jax.jit(frames.make_reader(model))
  return Reader(
    read=functools.partial(read, params, stats),
    image_size=side,
    params=sum(leaf.size for leaf in jax.tree.leaves(params)),
  )


def correct(reader, image, points, *, looks=_LOOKS):
  """A palm frame as closer looks show it.

  Args:
    reader: `Reader`.
    image: the photo, uint8 [H, W, 3].
    points: float [3, 2], the frame that was found, in pixels of the photo.
    looks: how often to look, each time at the view of what was read before.

  Returns:
    (points float64 [3, 2], probability that the palm faces the camera), or None
    where the frame has no direction or was not found near its place.
  """
  first = np.asarray(points, np.float64)
  width = 2 * np.linalg.norm(first[1] - first[0])
  if not np.isfinite(first).all() or width < 1:
    return None
  points, facing = first, None
  for _ in range(looks):
    (across_x, _, x), (across_y, _, y), _ = np.asarray(
      _transform(points), np.float64
    )
    square = photo.cut(
      image,
      centre=(x, y),
      side=math.hypot(across_x, across_y),
      angle=math.atan2(across_y, across_x),
      size=reader.image_size,
    )
    found, facing = (
      np.asarray(x[0], np.float64) for x in reader.read(square.image[None])
    )
    found = square.place_back((found + 0.5) * reader.image_size)
    # The view's x axis runs along the valleys, from the left one.
    if (points[1] - points[0]) @ (across_x, across_y) < 0:
      found = found[[1, 0, 2]]
    points = found
  if np.linalg.norm(points - first, axis=-1)[:2].max() > _FAR * width:
    return None
  return points, float(facing)


_transform = jax.jit(palm_frame.transform)


def _build(sizes):
  return frame_reader.FrameReader(
    width=sizes['width'], dtype=jnp.dtype(sizes['dtype'])
  )
