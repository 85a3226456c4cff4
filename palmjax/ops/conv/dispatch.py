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
* dense: see `dense_lowering`.
"""

import contextlib
import contextvars

import chex
import jax
import jax.numpy as jnp
from jax import lax

from palmjax.ops.conv import blocked, by_device, winograd
from palmjax.ops.conv import depthwise as conv_depthwise
from palmjax.ops.conv import pointwise as conv_pointwise

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
  match lowering or dense_lowering(x, kernel, stride, padding):
    case 'winograd':
      if not _is_winograd(kernel, stride, padding):
        raise ValueError(
          f"dense lowering 'winograd' of a kernel {kernel.shape[:2]} at stride "
          f"{stride} and padding {padding}: use 'blocked' or 'lax'"
        )
      return by_device.convolve(winograd.convolve, x, kernel, padding)
    case 'blocked':
      return by_device.convolve(blocked.convolve, x, kernel, stride, padding)
    case 'lax':
      return convolve(x, kernel, stride=stride, padding=padding)
    case other:
      raise ValueError(
        f"dense lowering {other!r}: use 'winograd', 'blocked' or 'lax'"
      )


def dense_lowering(x, kernel, stride, padding):
  """Returns the lowering of `dense` that a training is fastest with.

  Fastest on one device, forward and backward together.

  On a CPU, by the size of the map, P = B·H·W pixels, C channels and K features,
  of the whole batch, whatever the number of devices:

  * 'blocked' if the map is smaller than the window, or P < max(C, K). XLA has
    no fast program for the first and takes 100 times as long.
  * 'winograd' if it can be, and C and K are 24 or more: the transforms of the
    tiles are shared by many channels, those of the kernel by many pixels. Not
    in bfloat16, as the transforms cost digits.
  * 'blocked' for fewer than 4 channels, and at a stride from 32 channels on.
  * 'lax' for all else.

  Milliseconds, forward / both gradients, 3×3, batch 32, on 2 cores with
  AVX-512, jax 0.10.2; ● marks what is taken:

    map, C → K              lax            blocked         winograd
    2², 512 → 512       180 / 184       ● 1.4 / 5.5        3.8 / 9.3
    4², 512 → 512       6.3 / 17          5.5 / 14       ● 3.8 / 9.5
    8², 512 → 512        24 / 56           22 / 50       ● 9.5 / 20
    12², 128 → 128      3.0 / 8.3         3.7 / 7.6      ● 1.4 / 3.2
    32², 48 → 48        6.6 / 19          5.4 / 10       ● 2.6 / 5.7
    64², 32 → 64         20 / 90           19 / 54       ● 9.6 / 17
    64², 32 → 32         10 / 31           12 / 24       ● 6.4 / 13
    32², 24 → 24        1.9 / 7.6         2.0 / 3.5      ● 1.7 / 3.1
    64², 16 → 16      ● 2.8 / 9.3         5.0 / 7.4        5.5 / 8.8
    64², 1 → 64         1.2 / 11        ● 1.1 / 3.6        3.2 / 6.3
    4², 512, stride 2   3.2 / 222       ● 1.5 / 3.5

  and of one image, forward: 8², 512 → 512 1.0 by lax, ● 0.8 blocked, 2.4 by
  winograd; 32², 128 → 128 0.7, 0.9, ● 0.5.
  """
  if not _on_cpu():
    return 'lax'
  height, width = x.shape[1:3]
  rows, columns, channels, features = kernel.shape
  pixels = x.size // channels
  if (
    height < rows
    or width < columns
    or pixels < max(channels, features)
    or channels < 4
    or (stride > 1 and channels >= 32)
  ):
    return 'blocked'
  if (
    _is_winograd(kernel, stride, padding)
    and min(channels, features) >= 24
    and x.dtype == jnp.float32
  ):
    return 'winograd'
  return 'lax'


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
      whole = _block_diagonal(kernel, groups)
      return dense(x, whole, stride=stride, padding=padding)
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
      rows = conv_pointwise.product(x.reshape(-1, x.shape[-1]), kernel[0, 0])
      return rows.reshape(*x.shape[:-1], kernel.shape[-1])
    case 'lax':
      return convolve(x, kernel, padding=_NONE)
    case other:
      raise ValueError(f"pointwise lowering {other!r}: use 'matmul' or 'lax'")


def _on_cpu():
  return jax.default_backend() == 'cpu' and not _PLAIN.get()


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
