"""Steps of detectors on one and on eight devices; see devices_program.py."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from palmjax.data.augment import boxes as box_augment
from palmjax.data.augment import palm_frame_crops
from palmjax.losses import transport
from palmjax.models import palm_frame
from palmjax.steps import (
  detect,
  perturb,
  perturbed_tasks,
  robust,
  two_teachers,
)
from palmjax.steps import palm_frame as frame_steps
from tests.steps import devices_compare

LIGHT = (
  *('saturation', 'hue', 'grey', 'brightness', 'contrast'),
  *('blur', 'noise', 'erase'),
)


class Detector(nn.Module):
  """Two levels of patches, of stride 2 and 4, the first one times `factor`."""

  features: int = 6
  factor: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, images, *, train):
    x, levels = images.astype(self.dtype), []
    for side in (2 * self.factor, 2):
      x = nn.Conv(self.features, (side, side), side)(x)
      x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
      levels.append(x)
    sizes = {'class': 2, 'size': 2, 'offset': 2, 'palm_frame': 7, 'points': 9}
    maps = {
      name: nn.Dense(values, name=name)(x) for name, values in sizes.items()
    }
    return maps, levels


def hand_steps():
  # Some of what is random; more of it would compile for many seconds.
  light = dict.fromkeys(LIGHT, 0.0) | {'noise': 0.05}
  batch = annotated(devices_compare.SIZE)

  model = Detector()
  augment = box_augment.make_augment(
    mirror=True, turns=True, scale=0.1, shift=0.05, **light
  )
  state = detect.create_state(
    model,
    devices_compare.PLAIN,
    jax.random.key(4),
    input_shape=(devices_compare.SIZE, devices_compare.SIZE, 3),
  )
  step = detect.make_step(model, devices_compare.PLAIN, augment=augment)
  devices_compare.compare('detect', step, state, batch)

  model = palm_frame.PalmFrameRegressor(width=0.125)
  crops = palm_frame_crops.make_crops(
    size=32, angle=5.0, scale=0.05, shift=0.1, **light
  )
  # Crops of 16 pixels end in one cell: statistics over so few values turn
  # rounding into differences of 1e-4.
  state = frame_steps.create_state(
    model, devices_compare.PLAIN, jax.random.key(5), input_shape=(32, 32, 3)
  )
  step = frame_steps.make_step(model, devices_compare.PLAIN, crops=crops)
  devices_compare.compare('palm_frame', step, state, batch)

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
      teachers.items(),
      (devices_compare.SIZE, 2 * devices_compare.SIZE),
      strict=True,
    )
  }
  state = two_teachers.create_state(
    model,
    devices_compare.PLAIN,
    jax.random.key(7),
    input_shape=(2 * devices_compare.SIZE, 2 * devices_compare.SIZE, 3),
    teachers=teachers,
    shrink=2,
  )
  step = two_teachers.make_step(
    model,
    devices_compare.PLAIN,
    teachers=teachers,
    augment=lambda key, batch: batch,
    shrink=2,
  )
  devices_compare.compare(
    'two_teachers',
    step,
    state,
    annotated(2 * devices_compare.SIZE),
    frozen=frozen,
  )


def perturbed_steps():
  """Transport is between all images of the batch, whatever device has them."""
  model = Detector()
  task = perturbed_tasks.detector(model, augment=lambda key, batch: batch)
  batch = annotated(devices_compare.SIZE)
  for kind, statistics in (('ot', 'joint'), ('free', 'separate')):
    perturbation = perturb.Perturbation(
      kind=kind,
      epsilon=2 / 255,
      step_size=2 / 255,
      solver=functools.partial(transport.sinkhorn, num_iterations=20),
    )
    state = detect.create_state(
      model,
      devices_compare.PLAIN,
      jax.random.key(8),
      input_shape=batch['image'].shape[1:],
    )
    state = robust.create_state(
      state,
      perturbation,
      images=batch['image'].shape,
      statistics=statistics,
    )
    step = robust.make_step(
      task, devices_compare.PLAIN, perturbation, statistics=statistics
    )
    devices_compare.compare(kind, step, state, batch)


def annotated(side):
  """A batch of images with up to two hands each."""
  centre = devices_compare.RANDOM.uniform(
    0.25, 0.75, (devices_compare.BATCH, 2, 2)
  )
  half = devices_compare.RANDOM.uniform(
    0.1, 0.25, (devices_compare.BATCH, 2, 2)
  )
  boxes = np.concatenate([centre - half, centre + half], axis=-1)
  return {
    'image': devices_compare.pictures(side),
    'boxes': (side * boxes).astype(np.float32),
    'classes': devices_compare.RANDOM.integers(
      0, 2, (devices_compare.BATCH, 2)
    ).astype(np.int32),
    'valid': devices_compare.RANDOM.random((devices_compare.BATCH, 2)) < 0.8,
    'points': devices_compare.RANDOM.uniform(
      0, side, (devices_compare.BATCH, 2, 3, 2)
    ).astype(np.float32),
    'framed': devices_compare.RANDOM.random((devices_compare.BATCH, 2)) < 0.7,
    'facing': devices_compare.RANDOM.random((devices_compare.BATCH, 2)) < 0.5,
  }
