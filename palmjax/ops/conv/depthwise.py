"""Depthwise convolution as shifted multiply-adds, with fast gradients.

y(x, k) is bilinear and so are its two gradients: with X(g, k) the gradient in x
and K(x, g) the one in k, the gradients of any of y, X, K are the other two.
Hence two functions, y and (X, K), that name each other as derivatives: every
order of reverse mode takes the fast path (forward mode has none). All add up in
float32, as XLA's convolutions do.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from palmjax.ops import memory, sums


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x, kernel, stride, padding):
  """Depthwise convolution y(x, k) with fast gradients.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, 1, C].
    stride: int.
    padding: ((top, bottom), (left, right)).

  Returns:
    [B, H', W', C].
  """
  return _shift(_pad(x, padding), kernel, stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _gradients(x, kernel, g, stride, padding):
  """Gradients of the depthwise convolution in x and in the kernel.

  Both read one array, g with zeros around it.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, 1, C].
    g: [B, H', W', C].
    stride, padding: as of `convolve`.

  Returns:
    X(g, k) [B, H, W, C] and K(x, g) [kh, kw, 1, C].
  """
  window = kernel.shape[:2]
  borders = tuple(
    tuple(size - 1 - side for side in sides)
    for size, sides in zip(window, padding, strict=True)
  )
  if stride == 1 and min(min(sides) for sides in borders) >= 0:
    # These borders leave out the gradient of the zeros around x. `apart`, as
    # the row of `write_once` is a condition in the loop: 0.4 and 0.8 ms for
    # 32×16²×128 on one core.
    turned = jnp.flip(kernel, (0, 1))
    padded = _pad(g, borders)
    input_gradient = memory.apart(lambda g: _shift(g, turned, 1), padded)
  else:
    borders = tuple(
      ((size - 1) // stride, -(-(length + sum(sides)) // stride) - count)
      for size, length, sides, count in zip(
        window, x.shape[1:3], padding, g.shape[1:3], strict=True
      )
    )
    padded = _pad(g, borders)
    input_gradient = _interleaved(padded, kernel, x.shape, stride, padding)
  rows, columns = (
    slice(low, low + count)
    for (low, _), count in zip(borders, g.shape[1:3], strict=True)
  )
  return (
    input_gradient,
    _kernel_gradient(x, padded[:, rows, columns], window, stride, padding),
  )


def _interleaved(g, kernel, x_shape, stride, padding):
  """X(g, k) [B, H, W, C] of the padded g, at any stride s.

  Row s·m + r of the padded gradient is a sum over those rows i of the window
  with i = r + s·q, of k[i] g[m - q]; columns alike. So each of the s² phases
  (r, c) is a convolution of stride 1, and they are interleaved.
  """
  batch, height, width, channels = x_shape
  window = kernel.shape[:2]
  (top, _), (left, _) = padding
  low = [(size - 1) // stride for size in window]
  phase_rows, phase_columns = g.shape[1] - low[0], g.shape[2] - low[1]

  def phase(r, c):
    shape = batch, phase_rows, phase_columns, channels
    total = jnp.zeros(shape, jnp.float32)
    for i in range(r, window[0], stride):
      for j in range(c, window[1], stride):
        row, column = low[0] - i // stride, low[1] - j // stride
        total += kernel[i, j, 0].astype(jnp.float32) * lax.slice(
          g,
          (0, row, column, 0),
          (batch, row + phase_rows, column + phase_columns, channels),
        )
    return total.astype(g.dtype)

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
  return memory.write_once(padded[:, top : top + height, left : left + width])


def _kernel_gradient(x, g, window, stride, padding):
  """K(x, g) [kh, kw, 1, C]; the taps of a row are summed together."""
  taps = _taps(_pad(x, padding), window, stride)
  totals = []
  for start in range(0, len(taps), window[1]):
    totals += sums.channel_sums(
      *(tap * g.astype(jnp.float32) for tap in taps[start : start + window[1]])
    )
  gradient = jnp.stack(totals).reshape(*window, 1, x.shape[-1])
  return gradient.astype(x.dtype)


def _convolve_forward(x, kernel, stride, padding):
  return convolve(x, kernel, stride, padding), (x, kernel)


def _convolve_backward(stride, padding, residuals, g):
  return _gradients(*residuals, g, stride, padding)


def _gradients_forward(x, kernel, g, stride, padding):
  return _gradients(x, kernel, g, stride, padding), (x, kernel, g)


def _gradients_backward(stride, padding, residuals, cotangents):
  x, kernel, g = residuals
  u, v = cotangents
  return (
    *_gradients(u, v, g, stride, padding),
    convolve(u, kernel, stride, padding) + convolve(x, v, stride, padding),
  )


convolve.defvjp(_convolve_forward, _convolve_backward)
_gradients.defvjp(_gradients_forward, _gradients_backward)


def _pad(x, padding):
  """Zeros around the maps; the barrier makes XLA write what has them once.

  Without it, each tap would pad for itself, and compute x for itself.
  """
  padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
  return lax.optimization_barrier(padded)


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


def _shift(padded, kernel, stride):
  """y(x, k) [B, H', W', C] of the padded x."""
  weights = kernel.reshape(-1, kernel.shape[-1]).astype(jnp.float32)
  taps = _taps(padded, kernel.shape[:2], stride)
  y = sum(tap * weight for tap, weight in zip(taps, weights, strict=True))
  return y.astype(padded.dtype)
