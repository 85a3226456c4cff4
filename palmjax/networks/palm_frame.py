"""The trained reader of palm frames: from a crop of a hand to its palm frame.

It corrects what a detector says of a hand: it looks at the crop of the palm
frame that was found (`images.palm_frame`), says where the palm frame is, and
looks again at the crop of that.
"""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from palmjax import json_values
from palmjax.images import network_input, palm_frame, photo
from palmjax.models import batch_norm, forward
from palmjax.models import palm_frame as palm_frame_model
from palmjax.networks import compiled, described, variables
from palmjax.networks import export as exports
from palmjax.ops import chunks, pixels

_LOOKS = 2
# A look that moves a valley by more palm widths has seen something else.
_FAR = 0.5


def _made(value):
  """The rule of a number of the crops that this version makes."""
  return json_values.Rule(
    lambda number: number == value, f'this version makes crops of {value}'
  )


_STRIDE = palm_frame_model.STRIDE
# What model.json may say of a reader of palm frames.
_MODEL = {
  'name': json_values.one_of('frame_reader'),
  'width': described.FACTOR,
  'dtype': described.DTYPE,
  **described.OF_TRAINING,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PalmFrameInput(network_input.NetworkInput):
  """Input of the palm frame reader: square crops of hands.

  Attributes:
    view_side: side of a crop in palm widths.
    view_centre: where a crop's centre lies between the valleys and the wrist.
  """

  # Stored exports call a crop a view.
  view_side: float = palm_frame.SIDE
  view_centre: float = palm_frame.CENTRE

  RULES: ClassVar[dict[str, json_values.Rule]] = {
    **network_input.NetworkInput.RULES,
    'image_size': json_values.whole(_STRIDE, multiple=_STRIDE),
    'view_side': _made(palm_frame.SIDE),
    'view_centre': _made(palm_frame.CENTRE),
  }


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PalmFrameReader:
  """A trained palm frame reader: crops of hands → palm frames.

  Attributes:
    model: the flax module.
    params: {'reader': …}.
    stats: every other collection, by name.
    image_size: side of a crop in pixels.
  """

  model: Any
  params: dict[str, Any]
  stats: dict[str, Any]
  image_size: int

  @property
  def num_params(self):
    """Number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(self.params))

  def read(self, crops):
    """Reads palm frames.

    Args:
      crops: uint8 [N, S, S, 3].

    Returns:
      (points [N, 3, 2] in sides from the centre of the crop, left valley first;
      probability [N] of a palm that faces the camera).
    """
    return chunks.apply(self._read, crops)

  def _read(self, crops):
    prepare, look, merge = self._programs
    # One program of the network, which runs twice.
    return merge(
      *(look(self.params, self.stats, side) for side in prepare(crops))
    )

  @functools.cached_property
  def _programs(self):
    prepare, look, merge = make_parts(self.model)
    return (
      compiled.small(prepare, 'prepare crops'),
      compiled.network(look, 'read crops', self.model),
      compiled.small(merge, 'merge crops'),
    )


def build(description):
  """Builds the reader module that the export's `model` describes."""
  return palm_frame_model.PalmFrameRegressor(
    width=description['width'],
    dtype=jnp.dtype(description['dtype']),
    batch_norm_momentum=batch_norm.momentum_of(description),
  )


def load(directory):
  """Reads the export of a reader of palm frames.

  Args:
    directory: export folder.

  Returns:
    `PalmFrameReader`.

  Raises:
    ValueError, OSError: the export is damaged or incomplete, of another kind
      of network, or of crops that this version does not make.
  """
  export = exports.load(directory)
  exports.require_kind(export, 'reader of palm frames', directory)
  model = described.build(export, _MODEL, build, directory)
  spec = described.read_input(export, PalmFrameInput, directory)
  stats = variables.load(
    export, variables.of_images(model, spec.shape), directory
  )
  return PalmFrameReader(
    model=model,
    params={'reader': stats.pop('params')},
    stats=stats,
    image_size=spec.image_size,
  )


def correct(reader, image, points, *, looks=_LOOKS):
  """Refines a palm frame by closer looks at the palm.

  Args:
    reader: `PalmFrameReader`.
    image: the photo, uint8 [H, W, 3].
    points: float [3, 2], the palm frame that was found, in pixels of the photo.
    looks: how often to look, each time at the crop of what was read before.

  Returns:
    (points float64 [3, 2], probability that the palm faces the camera), or None
    where the palm frame has no direction or was not found near its place.
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
    refined, facing = (
      np.asarray(x[0], np.float64) for x in reader.read(square.image[None])
    )
    refined = square.place_back((refined + 0.5) * reader.image_size)
    # The crop's x axis runs along the valleys, from the left one.
    if (points[1] - points[0]) @ (across_x, across_y) < 0:
      refined = refined[[1, 0, 2]]
    points = refined
  if np.linalg.norm(points - first, axis=-1)[:2].max() > _FAR * width:
    return None
  return points, float(facing)


def make_reader(model):
  """Builds read(params, stats, crops uint8 [B, S, S, 3]) → (points, facing).

  Pure; running statistics, params['reader'] only. Points [B, 3, 2] in sides
  from the centre of the crop, left valley first; facing [B], probability. Both
  are the mean of what is read in the crop and in its mirror image.
  """
  prepare, look, merge = make_parts(model)

  def read(params, stats, crops):
    return merge(*(look(params, stats, side) for side in prepare(crops)))

  return read


def make_parts(model):
  """The three parts of `make_reader`, pure functions to compile one by one.

  Returns:
    prepare: crops uint8 [B, S, S, 3] → the crops and their mirror images.
    look: (params, stats, crops) → (points, logits of facing).
    merge: what was seen in both → (points, facing).
  """

  def prepare(crops):
    crops = pixels.to_float(crops)
    return crops, crops[:, :, ::-1]

  def look(params, stats, crops):
    return forward.apply_eval(model, params['reader'], stats, crops)

  def merge(seen, mirrored):
    (points, facing), (other, again) = seen, mirrored
    # The left valley of the mirror image is the right one.
    other = other[:, jnp.array([1, 0, 2])] * jnp.array([-1.0, 1.0])
    return (points + other) / 2, jax.nn.sigmoid((facing + again) / 2)

  return prepare, look, merge


_transform = jax.jit(palm_frame.transform)
