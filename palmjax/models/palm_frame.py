"""Reads the palm frame of one hand closely, in a crop that shows it upright.

Inverted bottlenecks down to stride 16, where the crop is seen whole, and up
again to stride 4. Each of the three points has a map there; where it is, is the
mean of the cells' places under the softmax of the map (integral regression,
arXiv:1711.08229): it lies between cells, and its error has a gradient.

  stride     2    4    8   16    8    4
  features  16   24   40   80   48   32
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from palmjax.models import batch_norm, detector, layers
from palmjax.ops import warp
from palmjax.ops.conv import dispatch as conv

POINTS = 3
STRIDE = 16  # Input sides are multiples of it.
DOWN = (24, 40, 80)
UP = (48, 32)
# A point may lie outside the crop by this factor of its side.
_REACH = 1.25


class PalmFrameRegressor(nn.Module):
  """Crops → places of the points, and whether a palm or a back is seen.

  Attributes:
    width: factor of all channel counts (rounded to multiples of 8).
    dtype: of the activations; parameters, statistics and output are float32.
    batch_norm_momentum: of the running statistics, see `batch_norm`.
  """

  width: float = 1.0
  dtype: Any = jnp.float32
  batch_norm_momentum: float = batch_norm.MOMENTUM

  @nn.compact
  def __call__(self, images, *, train):
    """Reads.

    Args:
      images: [B, S, S, 3], float32 in [-1, 1]; S a multiple of 16.
      train: normalise with the batch's statistics and update the running ones.

    Returns:
      points: float32 [B, 3, 2], (x, y) in sides from the centre of the crop.
      facing: float32 [B], logit of a palm that faces the camera.

    Raises:
      ValueError: a side that does not divide.
    """
    chex.assert_rank(images, 4)
    if images.shape[1] % STRIDE or images.shape[2] % STRIDE:
      raise ValueError(
        f'PalmFrameRegressor needs sides that are multiples of {STRIDE}, got '
        f'{images.shape[1]}×{images.shape[2]}: change image_size'
      )

    def features(number):
      return layers.scale_channels(number, width=self.width)

    x = images.astype(self.dtype)
    x = detector.Halving(features(16), train)(x)
    maps = []
    for number in DOWN:
      x = detector.Bottleneck(features(number), train, factor=1)(x)
      x = detector.Bottleneck(features(number), train)(x)
      maps.append(x)
    seen = jnp.mean(x, axis=(1, 2)).astype(jnp.float32)
    facing = nn.Dense(1, name='facing')(seen)[:, 0]
    for number, lateral in zip(UP, maps[-2::-1], strict=True):
      x = detector.Merge(features(number), train)(x, lateral)
      x = detector.Bottleneck(features(number), train)(x)
    kernel = self.param(
      'points', nn.initializers.lecun_normal(), (1, 1, x.shape[-1], POINTS)
    )
    logits = conv.pointwise(x.astype(jnp.float32), kernel)
    return _REACH * mean_place(logits), facing


def mean_place(logits):
  """Mean place of the cells under the softmax of each map.

  Args:
    logits: float [B, h, w, K].

  Returns:
    [B, K, 2], (x, y) in the frame of `ops.warp`.
  """
  batch, height, width, count = logits.shape
  share = jax.nn.softmax(logits.reshape(batch, -1, count), axis=1)
  places = warp.grid(height, width).reshape(-1, 2)
  return jnp.einsum('bpk,pd->bkd', share, places, precision='highest')
