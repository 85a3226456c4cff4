"""Convolutions that XLA lowers badly on a CPU: depthwise, grouped, pointwise.

Each function computes what `convolve`, XLA's own, computes (NHWC, HWIO, no
kernel flip) and takes the lowering that was measured fastest on the backend;
`lowering=` forces one. Measured on 2 cores, batch 32, jax 0.10.2:

* depthwise 3×3: XLA's own input gradient at stride 2 takes 380 ms on 32²×128;
  as nine shifted multiply-adds 2 ms. Its kernel gradient is a sum over batch
  and map for each tap; XLA takes 32 ms on 16²×128, with plain sums (every
  shifted copy is written out) 5 ms, three sums to a reduction 1 ms.
* grouped 3×3, 8 groups of 8, 16²: kernel gradient 660 ms; as a dense
  convolution with a block-diagonal kernel 4 ms.
* 1×1: as a matrix product 2 to 4 times faster than the convolution.
* dense 3×3 of stride 1 with 64 channels or more: by Winograd's transforms
  (`winograd`) 64²×64 takes 190 ms with its gradients, 32²×128 91, 16²×256
  66, 8²×512 62; XLA's own 347, 185, 154 and 176.
* dense of stride 2: in blocks (`blocked`) 64²×64 → 128 takes 35 ms and its
  gradients 74, XLA's own 72 and 182. One input channel: 11 and 5 ms instead of
  20 and 44.
"""

import contextlib
import contextvars

import chex
import jax
import jax.numpy as jnp
from jax import lax

from palmjax.ops.conv import blocked, winograd
from palmjax.ops.conv import depthwise as conv_depthwise

_NONE = ((0, 0), (0, 0))
_PLAIN = contextvars.ContextVar('plain', default=False)


@contextlib.contextmanager
def plain():
  """Within it every convolution that names no lowering is XLA's own.

  For programs that are traced here and run elsewhere (`networks.portable`):
  other runtimes have fast convolutions, and the choices below would hide them.
  """
  token = _PLAIN.set(True)
  try:
    yield
  finally:
    _PLAIN.reset(token)


def convolve(x, kernel, *, stride=1, padding='SAME', groups=1):
  """XLA's convolution: [B, H, W, C], [kh, kw, C / groups, K]."""
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )


def dense(x, kernel, *, stride=1, padding='SAME', lowering=None):
  """Dense convolution: every output channel reads all input channels.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, C, K].
    stride, padding: as in `depthwise`.
    lowering: 'winograd' (3×3, stride 1), 'blocked' (matrix products of a few
      images at a time), 'lax', or None: the fastest one on this backend and at
      this shape.

  Returns:
    [B, H', W', K].
  """
  chex.assert_rank([x, kernel], 4)
  chex.assert_shape(kernel, (None, None, x.shape[-1], None))
  padding = _explicit_padding(x, kernel, stride, padding)
  match lowering or _fastest(x, kernel, stride, padding):
    case 'winograd':
      if not _is_winograd(kernel, stride, padding):
        raise ValueError(
          f"dense lowering 'winograd' of a kernel {kernel.shape[:2]} at stride "
          f"{stride} and padding {padding}: use 'blocked' or 'lax'"
        )
      return winograd.convolve(x, kernel, padding)
    case 'blocked':
      return blocked.convolve(x, kernel, stride, padding)
    case 'lax':
      return convolve(x, kernel, stride=stride, padding=padding)
    case other:
      raise ValueError(
        f"dense lowering {other!r}: use 'winograd', 'blocked' or 'lax'"
      )


def depthwise(x, kernel, *, stride=1, padding='SAME', lowering=None):
  """Depthwise convolution: one filter for each channel.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, 1, C] (HWIO with one input channel per group).
    stride: int, in both directions.
    padding: 'SAME', 'VALID' or ((top, bottom), (left, right)).
    lowering: 'shift' (multiply-adds of shifted copies), 'lax', or None: the
      faster one on this backend.

  Returns:
    [B, H', W', C].
  """
  chex.assert_rank([x, kernel], 4)
  chex.assert_shape(kernel, (None, None, 1, x.shape[-1]))
  padding = _explicit_padding(x, kernel, stride, padding)
  match lowering or ('shift' if _on_cpu() else 'lax'):
    case 'shift' if x.shape[1:3] == kernel.shape[:2] and padding == _NONE:
      # One window as large as the map: a sum, not kh·kw shifts.
      return jnp.sum(x * kernel[:, :, 0], axis=(1, 2), keepdims=True)
    case 'shift':
      return conv_depthwise.convolve(x, kernel, stride, padding)
    case 'lax':
      return convolve(
        x, kernel, stride=stride, padding=padding, groups=x.shape[-1]
      )
    case other:
      raise ValueError(f"depthwise lowering {other!r}: use 'shift' or 'lax'")


def grouped(x, kernel, *, groups, stride=1, padding='SAME', lowering=None):
  """Grouped convolution of `groups` equal blocks of channels.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, C / groups, K].
    groups: int that divides C and K.
    stride, padding: as in `depthwise`.
    lowering: 'block_diagonal' (one dense convolution), 'lax', or None: the
      faster one on this backend.

  Returns:
    [B, H', W', K].
  """
  chex.assert_rank([x, kernel], 4)
  channels, features = x.shape[-1], kernel.shape[-1]
  if channels % groups or features % groups:
    raise ValueError(
      f'{groups} groups do not divide {channels} input and {features} output '
      'channels: choose a common divisor'
    )
  chex.assert_shape(kernel, (None, None, channels // groups, features))
  padding = _explicit_padding(x, kernel, stride, padding)
  match lowering or ('block_diagonal' if _on_cpu() else 'lax'):
    case 'block_diagonal':
      dense = _block_diagonal(kernel, groups)
      return convolve(x, dense, stride=stride, padding=padding)
    case 'lax':
      return convolve(x, kernel, stride=stride, padding=padding, groups=groups)
    case other:
      raise ValueError(
        f"grouped lowering {other!r}: use 'block_diagonal' or 'lax'"
      )


def pointwise(x, kernel, *, lowering=None):
  """Pointwise (1×1) convolution.

  Args:
    x: [B, H, W, C].
    kernel: [1, 1, C, K].
    lowering: 'matmul' (one product over B·H·W rows), 'lax', or None: the faster
      one on this backend.

  Returns:
    [B, H, W, K].
  """
  chex.assert_rank([x, kernel], 4)
  chex.assert_shape(kernel, (1, 1, x.shape[-1], None))
  match lowering or ('matmul' if _on_cpu() else 'lax'):
    case 'matmul':
      rows = x.reshape(-1, x.shape[-1]) @ kernel[0, 0]
      return rows.reshape(*x.shape[:-1], kernel.shape[-1])
    case 'lax':
      return convolve(x, kernel, padding=_NONE)
    case other:
      raise ValueError(f"pointwise lowering {other!r}: use 'matmul' or 'lax'")


def _on_cpu():
  return jax.default_backend() == 'cpu' and not _PLAIN.get()


def _fastest(x, kernel, stride, padding):
  """The lowering of `dense` that was measured fastest, see above."""
  if not _on_cpu():
    return 'lax'
  channels, features = kernel.shape[2:]
  pixels = x.size // channels
  if (
    _is_winograd(kernel, stride, padding)
    # What the transforms cost must be shared by many products, of the map's
    # by channels, of the kernel's by pixels; and they cost digits.
    and min(channels, features) >= 64
    and pixels >= channels
    and x.dtype == jnp.float32
  ):
    return 'winograd'
  few = channels < 4
  return 'blocked' if few or (channels >= 32 and stride > 1) else 'lax'


def _is_winograd(kernel, stride, padding):
  borders = [border for side in padding for border in side]
  return kernel.shape[:2] == (3, 3) and stride == 1 and min(borders) >= 0


def _explicit_padding(x, kernel, stride, padding):
  """Padding as a hashable ((top, bottom), (left, right))."""
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(
      x.shape[1:3], kernel.shape[:2], (stride, stride), padding
    )
  return tuple((int(low), int(high)) for low, high in padding)


def _block_diagonal(kernel, groups):
  """[kh, kw, C/g, K] → [kh, kw, C, K], zero between groups."""
  height, width, channels, features = kernel.shape
  blocks = kernel.reshape(
    height, width, 1, channels, groups, features // groups
  )
  mask = jnp.eye(groups, dtype=kernel.dtype)[:, None, :, None]
  return (blocks * mask).reshape(height, width, groups * channels, features)
