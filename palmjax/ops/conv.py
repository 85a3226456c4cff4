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

Depthwise convolution y(x, k) is bilinear and so are its two gradients: with
X(g, k) the gradient in x and K(x, g) the one in k, the gradients of any of y,
X, K are the other two. Hence three functions that name each other as
derivatives: every order of reverse mode takes the fast path (forward mode has
none).
"""

import functools

import chex
import jax
import jax.numpy as jnp
from jax import lax

from palmjax.ops import sums

_NONE = ((0, 0), (0, 0))


def convolve(x, kernel, *, stride=1, padding='SAME', groups=1):
  """XLA's own: [B, H, W, C], [kh, kw, C / groups, K] → [B, H', W', K]."""
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )


def depthwise(x, kernel, *, stride=1, padding='SAME', lowering=None):
  """Convolves every channel with a filter of its own.

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
      return _depthwise(x, kernel, stride, padding)
    case 'lax':
      return convolve(
        x, kernel, stride=stride, padding=padding, groups=x.shape[-1]
      )
    case other:
      raise ValueError(f"depthwise lowering {other!r}: use 'shift' or 'lax'")


def grouped(x, kernel, *, groups, stride=1, padding='SAME', lowering=None):
  """Convolves `groups` equal blocks of channels separately.

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
  """1×1 convolution.

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
  return jax.default_backend() == 'cpu'


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(x, kernel, stride, padding):
  """y(x, k)."""
  return _shift(lax.optimization_barrier(x), kernel, stride, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _input_gradient(g, kernel, x_shape, stride, padding):
  """X(g, k).

  Row s·m + r of the padded gradient, s the stride, is a sum over those rows i
  of the window with i = r + s·q, of k[i] g[m - q]; columns alike. So each of
  the s² phases (r, c) is a convolution of stride 1, and they are interleaved.
  """
  batch, height, width, channels = x_shape
  rows, columns = g.shape[1:3]
  window = kernel.shape[:2]
  (top, bottom), (left, right) = padding
  phase_rows = -(-(top + height + bottom) // stride)
  phase_columns = -(-(left + width + right) // stride)
  low = [(size - 1) // stride for size in window]
  g = lax.optimization_barrier(
    _pad(
      g,
      (
        (low[0], phase_rows - rows),
        (low[1], phase_columns - columns),
      ),
    )
  )

  def phase(r, c):
    total = jnp.zeros((batch, phase_rows, phase_columns, channels), g.dtype)
    for i in range(r, window[0], stride):
      for j in range(c, window[1], stride):
        row, column = low[0] - i // stride, low[1] - j // stride
        total += kernel[i, j, 0] * lax.slice(
          g,
          (0, row, column, 0),
          (batch, row + phase_rows, column + phase_columns, channels),
        )
    return total

  # Columns, then rows: each reshape merges two axes, which keeps shardings.
  phases = [
    jnp.stack([phase(r, c) for c in range(stride)], axis=3).reshape(
      batch, phase_rows, phase_columns * stride, channels
    )
    for r in range(stride)
  ]
  padded = jnp.stack(phases, axis=2).reshape(
    batch, phase_rows * stride, phase_columns * stride, channels
  )
  return padded[:, top : top + height, left : left + width]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _kernel_gradient(x, g, window, stride, padding):
  """K(x, g).

  The taps of a row of the window are summed together. The barrier makes XLA pad
  x once instead of in every tap.
  """
  taps = _taps(lax.optimization_barrier(_pad(x, padding)), window, stride)
  totals = []
  for start in range(0, len(taps), window[1]):
    totals += sums.channel_sums(
      *(tap * g for tap in taps[start : start + window[1]])
    )
  return jnp.stack(totals).reshape(*window, 1, x.shape[-1])


def _depthwise_forward(x, kernel, stride, padding):
  return _depthwise(x, kernel, stride, padding), (x, kernel)


def _depthwise_backward(stride, padding, residuals, g):
  x, kernel = residuals
  return (
    _input_gradient(g, kernel, x.shape, stride, padding),
    _kernel_gradient(x, g, kernel.shape[:2], stride, padding),
  )


def _input_gradient_forward(g, kernel, x_shape, stride, padding):
  return _input_gradient(g, kernel, x_shape, stride, padding), (g, kernel)


def _input_gradient_backward(x_shape, stride, padding, residuals, u):
  del x_shape  # That of u.
  g, kernel = residuals
  return (
    _depthwise(u, kernel, stride, padding),
    _kernel_gradient(u, g, kernel.shape[:2], stride, padding),
  )


def _kernel_gradient_forward(x, g, window, stride, padding):
  return _kernel_gradient(x, g, window, stride, padding), (x, g)


def _kernel_gradient_backward(window, stride, padding, residuals, v):
  del window  # That of v.
  x, g = residuals
  return (
    _input_gradient(g, v, x.shape, stride, padding),
    _depthwise(x, v, stride, padding),
  )


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)
_input_gradient.defvjp(_input_gradient_forward, _input_gradient_backward)
_kernel_gradient.defvjp(_kernel_gradient_forward, _kernel_gradient_backward)


def _pad(x, padding):
  return jnp.pad(x, ((0, 0), *padding, (0, 0)))


def _taps(padded, window, stride):
  """The shifted, strided copies of x, row by row of the window."""
  batch, height, width, channels = padded.shape
  rows = (height - window[0]) // stride * stride + 1
  columns = (width - window[1]) // stride * stride + 1
  return [
    lax.slice(
      padded,
      (0, i, j, 0),
      (batch, i + rows, j + columns, channels),
      (1, stride, stride, 1),
    )
    for i in range(window[0])
    for j in range(window[1])
  ]


def _shift(x, kernel, stride, padding):
  weights = kernel.reshape(-1, kernel.shape[-1])
  taps = _taps(_pad(x, padding), kernel.shape[:2], stride)
  return sum(tap * weight for tap, weight in zip(taps, weights, strict=True))
