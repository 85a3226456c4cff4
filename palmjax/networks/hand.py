"""A trained hand detector as a function: images → boxes, gestures, palms."""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from palmjax import json_values
from palmjax.images import letterbox, network_input
from palmjax.models import batch_norm, detector, forward
from palmjax.networks import compiled, described, variables
from palmjax.networks import export as exports
from palmjax.ops import chunks, pixels, pool
from palmjax.ops.maps import centers as center_maps

_SIZES = (1, 16)  # Images looked at together.
_OBJECTS = 50  # Found in an image at most.

_NAMES = json_values.Rule(
  lambda value: (
    isinstance(value, list)
    and value
    and all(isinstance(name, str) for name in value)
    and len(set(value)) == len(value)
  ),
  'give a list of different names',
)
_SHARES = json_values.Rule(
  lambda value: (
    isinstance(value, tuple)
    and all(json_values.is_number(share) and 0 < share < 1 for share in value)
  ),
  'give shares above 0 and below 1',
  needed=False,
)
# What model.json may say of a hand detector.
_MODEL = {
  'name': json_values.one_of('detector'),
  'classes': _NAMES,
  'width': described.FACTOR,
  'depth': json_values.whole(0),
  'level': json_values.one_of(*range(1, len(detector.DOWN) + 1)),
  'factor': json_values.whole(1),
  'dtype': described.DTYPE,
  **described.OF_TRAINING,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class HandInput(network_input.NetworkInput):
  """Input of the hand detector: image size, fit, smaller sizes.

  Attributes:
    fit: how an image is brought to the network's input.
    smaller: the smaller sizes that are looked at in use, as shares of the side.
  """

  fit: str = letterbox.FIT
  smaller: tuple[float, ...] = ()

  RULES: ClassVar[dict[str, json_values.Rule]] = {
    **network_input.NetworkInput.RULES,
    'image_size': json_values.whole(detector.STRIDE, multiple=detector.STRIDE),
    'fit': json_values.one_of(letterbox.FIT),
    'smaller': _SHARES,
  }


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class HandDetector:
  """A trained hand detector: images → boxes, gestures, palm frames.

  Attributes:
    model: the flax module.
    params: {'detector': …}.
    stats: every other collection, by name.
    description: `model` of the export: architecture, sizes, classes.
    image_size: side of the network's input in pixels.
    shrink: images are given so many times as large as the network's input.
    mirror: whether it looks at mirror images, too.
    smaller: the smaller sizes that it looks at, as shares of the side.
  """

  model: Any
  params: dict[str, Any]
  stats: dict[str, Any]
  description: dict[str, Any]
  image_size: int
  shrink: int = 1
  mirror: bool = False
  smaller: tuple[float, ...] = ()

  @property
  def classes(self):
    """Names of the gesture classes, as a tuple."""
    return tuple(self.description['classes'])

  @property
  def variables(self):
    """Variables of the flax module: {'params': …, …}."""
    return {'params': self.params['detector'], **self.stats}

  @property
  def num_params(self):
    """Number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(self.params))

  def detect(self, images):
    """Detects hands in images: boxes, scores, gestures, palm frames.

    Args:
      images: uint8 [N, S, S, 3]; S is `image_size` times a whole number or, of
        a network without strides, any multiple of 32.

    Returns:
      {'boxes': [N, K, 4], 'scores': [N, K] falling, 'classes': [N, K],
      'points': [N, K, 3, 2], 'facing': [N, K]}, in pixels of the images given.
    """
    return chunks.apply(self._detect, images, sizes=_SIZES)

  def _detect(self, images):
    prepare, look, decode = self._programs
    # Each scale is compiled once; in one program each would stand twice,
    # for the mirror image, too.
    maps = [look(self.params, self.stats, batch) for batch in prepare(images)]
    return decode(maps, images)

  @functools.cached_property
  def _programs(self):
    options = {
      'shrink': self.shrink,
      'count': _OBJECTS,
      'mirror': self.mirror,
      'smaller': self.smaller,
      'multiple': detector.STRIDE * self.model.resolution_factor,
    }
    prepare, look, decode = make_parts(self.model, **options)
    return (
      compiled.small(prepare, 'prepare images', options),
      compiled.network(look, 'look at hands', self.model),
      compiled.small(decode, 'decode hands', options),
    )


def build(description):
  """The module that `model` of an export describes."""
  return detector.Detector(
    num_classes=len(description['classes']),
    width=description['width'],
    depth=description['depth'],
    resolution_level=description['level'],
    resolution_factor=description['factor'],
    dtype=jnp.dtype(description['dtype']),
    batch_norm_momentum=batch_norm.momentum_of(description),
  )


def load(directory, *, shrink=1, passes=False):
  """Reads the export of a hand detector.

  Args:
    directory: export folder.
    shrink: L, images are given so many times as large as the network's input.
    passes: look at mirror images too, and in the smaller sizes that the export
      names, see `make_parts`.

  Returns:
    `HandDetector`.

  Raises:
    ValueError, OSError: the export is damaged or incomplete, or of another
      kind of network.
  """
  export = exports.load(directory)
  exports.require_kind(export, 'hand detector', directory)
  model = described.build(export, _MODEL, build, directory)
  spec = described.read_input(export, HandInput, directory)
  stats = variables.load(
    export, variables.of_images(model, spec.shape), directory
  )
  return HandDetector(
    model=model,
    params={'detector': stats.pop('params')},
    stats=stats,
    description=export.model,
    image_size=spec.image_size,
    shrink=shrink,
    mirror=passes,
    smaller=spec.smaller if passes else (),
  )


def make_detector(model, **options):
  """Builds detect(params, stats, images uint8 [B, H, W, 3]) → objects.

  Pure; for evaluation and for use: running statistics, params['detector'] only.
  Objects are those of `ops.maps.centers.decode`, in pixels of the images given.

  Args:
    model: detector.
    **options: of `make_parts`.
  """
  prepare, look, decode = make_parts(model, **options)

  def detect(params, stats, images):
    maps = [look(params, stats, batch) for batch in prepare(images)]
    return decode(maps, images)

  return detect


def make_parts(
  model, *, shrink=1, count=100, mirror=False, smaller=(), multiple=1
):
  """The three parts of `make_detector`, pure functions to compile one by one.

  Args:
    model: detector.
    shrink: L, the network sees means over L×L pixels.
    count: objects of an image.
    mirror: look at each image and its mirror image, and take the mean of their
      maps: twice the time.
    smaller: look at each image in these sizes, too, and take the mean of their
      maps, resampled to the grid of the first: sides as shares of its own.
    multiple: of pixels, what those sides are rounded to.

  Returns:
    prepare: images uint8 [B, H, W, 3] → inputs of all passes, float32.
    look: (params, stats, input of a pass) → maps.
    decode: (the maps of each pass, images) → objects.
  """

  def prepare(images):
    whole = pool.block_mean(pixels.to_float(images), shrink)
    inputs = [whole, *(_smaller(whole, share, multiple) for share in smaller)]
    if mirror:
      inputs = [side for scale in inputs for side in (scale, scale[:, :, ::-1])]
    return inputs

  def look(params, stats, batch):
    maps, _ = forward.apply_eval(model, params['detector'], stats, batch)
    return maps

  def decode(by_pass, images):
    if mirror:
      by_pass = [
        _mean([maps, center_maps.mirror(mirrored)])
        for maps, mirrored in zip(by_pass[::2], by_pass[1::2], strict=True)
      ]
    shape = by_pass[0]['class'].shape[1:3]
    maps = _mean([center_maps.resize(maps, shape) for maps in by_pass])
    return center_maps.decode(maps, stride=_stride(maps, images), count=count)

  return prepare, look, decode


def _mean(maps):
  return jax.tree.map(lambda *values: sum(values) / len(values), *maps)


def _smaller(images, share, multiple):
  """Images whose sides are that share of these, and whole multiples."""
  batch, *sides, channels = images.shape
  sides = [max(round(share * side / multiple), 1) * multiple for side in sides]
  return jax.image.resize(images, (batch, *sides, channels), 'lanczos3')


def _stride(maps, images):
  return images.shape[1] // maps['class'].shape[1]
