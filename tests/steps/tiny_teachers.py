"""A detector of one layer, and a batch for it."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

CLASSES = 2


class Tiny(nn.Module):
  """Two levels of patches, of stride 2 and 4, one of them times `factor`."""

  features: int = 6
  level: int = 1
  factor: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, images, *, train):
    x, levels = images.astype(self.dtype), []
    for level in (1, 2):
      side = 2 * (self.factor if level == self.level else 1)
      x = nn.Conv(self.features, (side,) * 2, side, padding='VALID')(x)
      x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
      levels.append(x)
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
    return maps, levels


def no_augment(key, batch):
  del key
  return batch


def batch(factor=2, seed=0, size=2):
  rng = np.random.default_rng(seed)
  side = 16 * factor
  centre, half = (
    rng.uniform(4, 12, (size, 2, 2)),
    rng.uniform(1, 4, (size, 2, 2)),
  )
  boxes = np.concatenate([centre - half, centre + half], axis=-1) * factor
  return {
    'image': rng.integers(0, 256, (size, side, side, 3)).astype(np.uint8),
    'boxes': boxes.astype(np.float32),
    'classes': rng.integers(0, CLASSES, (size, 2)).astype(np.int32),
    'valid': rng.random((size, 2)) < 0.8,
    'points': rng.uniform(0, side, (size, 2, 3, 2)).astype(np.float32),
    'framed': rng.random((size, 2)) < 0.5,
    'facing': rng.random((size, 2)) < 0.5,
  }
