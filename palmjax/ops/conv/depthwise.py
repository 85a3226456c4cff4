"""Depthwise convolution as shifted multiply-adds, with fast gradients.

y(x, k) is bilinear and so are its two gradients: with X(g, k) the gradient in x
and K(x, g) the one in k, the gradients of any of y, X, K are the other two.
Hence three functions that name each other as derivatives: every order of
reverse mode takes the fast path (forward mode has none). All add up in float32,
as XLA's convolutions do.
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
  return _shift(lax.optimization_barrier(x), kernel, stride, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _input_gradient(g, kernel, x_shape, stride, padding):
  """Gradient of the depthwise convolution in x, X(g, k).

  Row s·m + r of the padded gradient, s the stride, is a sum over those rows i
  of the window with i = r + s·q, of k[i] g[m - q]; columns alike. So each of
  the s² phases (r, c) is a convolution of stride 1, and they are interleaved.
  At a stride of 1 there is one phase, and only what is kept of it is computed.
  """
  batch, height, width, channels = x_shape
  rows, columns = g.shape[1:3]
  window = kernel.shape[:2]
  (top, bottom), (left, right) = padding
  borders = tuple(
    tuple(size - 1 - side for side in sides)
    for size, sides in zip(window, padding, strict=True)
  )
  if stride == 1 and min(min(sides) for sides in borders) >= 0:
    turned = jnp.flip(kernel, (0, 1))
    return memory.write_once(
      _shift(lax.optimization_barrier(g), turned, 1, borders)
    )
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _kernel_gradient(x, g, window, stride, padding):
  """Gradient of the depthwise convolution in the kernel, K(x, g).

  The taps of a row of the window are summed together. The barrier makes XLA pad
  x once instead of in every tap; g, too, is computed once.
  """
  taps = _taps(lax.optimization_barrier(_pad(x, padding)), window, stride)
  g = memory.write_once(g).astype(jnp.float32)
  totals = []
  for start in range(0, len(taps), window[1]):
    totals += sums.channel_sums(
      *(tap * g for tap in taps[start : start + window[1]])
    )
  gradient = jnp.stack(totals).reshape(*window, 1, x.shape[-1])
  return gradient.astype(x.dtype)


def _convolve_forward(x, kernel, stride, padding):
  return convolve(x, kernel, stride, padding), (x, kernel)


def _convolve_backward(stride, padding, residuals, g):
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
    convolve(u, kernel, stride, padding),
    _kernel_gradient(u, g, kernel.shape[:2], stride, padding),
  )


def _kernel_gradient_forward(x, g, window, stride, padding):
  return _kernel_gradient(x, g, window, stride, padding), (x, g)


def _kernel_gradient_backward(window, stride, padding, residuals, v):
  del window  # That of v.
  x, g = residuals
  return (
    _input_gradient(g, v, x.shape, stride, padding),
    convolve(x, v, stride, padding),
  )


convolve.defvjp(_convolve_forward, _convolve_backward)
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
  weights = kernel.reshape(-1, kernel.shape[-1]).astype(jnp.float32)
  taps = _taps(_pad(x, padding), kernel.shape[:2], stride)
  y = sum(tap * weight for tap, weight in zip(taps, weights, strict=True))
  return y.astype(x.dtype)
