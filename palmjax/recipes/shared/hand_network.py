"""A hand detector in a recipe: built, and loaded after training."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.models import detector
from palmjax.networks import export as exports
from palmjax.steps import detect

_CHUNK = 16  # Images looked at together.
_OBJECTS = 50  # Found in an image at most.


class Network(NamedTuple):
  """A trained detector.

  Attributes:
    detect: uint8 [N, S, S, 3] → {'boxes': [N, K, 4], 'scores': [N, K] falling,
      'classes': [N, K], 'points': [N, K, 3, 2], 'facing': [N, K]}, in pixels of
      the images given, whose sides are what `image_size` times a whole number
      or, of a network without strides, any multiple of 32.
    classes: names.
    image_size: side of the network's input in pixels.
    params: number of parameters.
  """

  detect: Callable
  classes: tuple[str, ...]
  image_size: int
  params: int


def build(sizes):
  """The module that the `model` of an export describes."""
  return detector.Detector(
    num_classes=len(sizes['classes']),
    width=sizes['width'],
    depth=sizes['depth'],
    resolution_level=sizes['level'],
    resolution_factor=sizes['factor'],
    dtype=jnp.dtype(sizes['dtype']),
  )


def sizes(config, name, classes):
  """What a network of the recipe is made of, plain values.

  Args:
    config: of configs/gesture.py.
    name: 'teacher1', 'teacher2' or an arm.
    classes: names.
  """
  larger = name == 'teacher2'
  section = config.teacher1 if name == 'teacher1' else config.student
  return {
    'name': 'detector',
    'classes': list(classes),
    'width': section.width,
    'depth': section.depth,
    'level': config.resolution.level,
    'factor': config.resolution.factor if larger else 1,
    'dtype': config.dtype,
  }


def load(directory, *, shrink=1, views=False):
  """Reads an export.

  Args:
    directory: export directory of the stage.
    shrink: L, images are given so many times as large as the network's input.
    views: look at mirror images too, and in the smaller sizes that the export
      names, see `detect.make_detector`.

  Returns:
    `Network`.

  Raises:
    ValueError, OSError: the export is damaged or incomplete, or of another
      kind of network.
  """
  found = exports.load(directory)
  if found.model.get('name') != 'detector':
    raise ValueError(
      f'{directory} holds no hand detector but {found.model.get("name")}; '
      'give the export of configs/gesture.py'
    )
  model, side = build(found.model), found.preprocess['image_size']
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
  params = {'detector': stats.pop('params')}
  look = jax.jit(
    detect.make_detector(
      model,
      shrink=shrink,
      count=_OBJECTS,
      mirror=views,
      smaller=found.preprocess.get('smaller', ()) if views else (),
      multiple=detector.STRIDE * model.resolution_factor,
    )
  )
  return Network(
    detect=functools.partial(_in_chunks, look, params, stats),
    classes=tuple(found.model['classes']),
    image_size=side,
    params=sum(leaf.size for leaf in jax.tree.leaves(params)),
  )


def _in_chunks(look, params, stats, images):
  """One image alone, or whole chunks only: two compilations at most."""
  count = len(images)
  if count == 1:
    return jax.device_get(look(params, stats, images))
  parts = []
  for start in range(0, count, _CHUNK):
    index = (start + np.arange(_CHUNK)) % count
    parts.append(jax.device_get(look(params, stats, images[index])))
  return {
    name: np.concatenate([part[name] for part in parts])[:count]
    for name in parts[0]
  }
