"""Dense convolution in blocks of the batch that fit a processor's cache.

The windows of a map are written out as rows of a matrix, [h·w, kh·kw·C], and
multiplied with the kernel as one matrix. Written out for a whole batch they are
too large for any cache and come back from memory; for a few images they do not.
With R the rows of x, G those of g and a stride of 1,

  y = R k      gradient in x = G k'      gradient in k = xᵀ G

with k' the kernel turned by 180° and its channels exchanged: both gradients
share G. At other strides, and where g has more than four times the channels of
x (G would be large), the gradient in x is g kᵀ, added up where its windows
overlap, and the gradient in k is Rᵀ g. The gradient in k adds up in float32.

It is taken where `dispatch.dense_lowering` says so: strides, one to three input
channels, maps smaller than the window. The first layer of the shipped palm
network is one of them, and its outputs keep their bits while that layer stays
in blocks.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

# Of the rows of a block: one image of 64²×64.
_BLOCK_BYTES = 10e6


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x, kernel, stride, padding):
  """Dense convolution in blocks of images (module docstring).

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, C, K].
    stride: int.
    padding: ((top, bottom), (left, right)).

  Returns:
    [B, H', W', K].
  """
  window, matrix = kernel.shape[:2], _matrix(kernel)
  height, width = _output_size(x, window, stride, padding)

  def block(x):
    return _rows(x, window, stride, padding) @ matrix

  count = images_per_block(x, height * width * matrix.shape[0])
  y = lax.map(block, _blocks(x, count))
  return y.reshape(x.shape[0], height, width, kernel.shape[-1])


def _forward(x, kernel, stride, padding):
  return convolve(x, kernel, stride, padding), (x, kernel)


def _backward(stride, padding, residuals, g):
  x, kernel = residuals
  channels, features = kernel.shape[2:]
  if stride == 1 and features <= 4 * channels:
    return _gradients_of_stride_one(x, kernel, g, padding)
  return _gradients(x, kernel, g, stride, padding)


convolve.defvjp(_forward, _backward)


def _gradients_of_stride_one(x, kernel, g, padding):
  height, width, channels, features = kernel.shape
  (top, bottom), (left, right) = padding
  border = (
    (height - 1 - top, height - 1 - bottom),
    (width - 1 - left, width - 1 - right),
  )
  turned = _matrix(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))

  def block(total, images):
    x, g = images
    rows = _rows(g, (height, width), 1, border)
    total += _float32_product(x.reshape(-1, channels).T, rows)
    return total, (rows @ turned).reshape(x.shape)

  count = images_per_block(x, x.shape[1] * x.shape[2] * turned.shape[0])
  total, gradient = lax.scan(
    block,
    jnp.zeros((channels, height * width * features), jnp.float32),
    (_blocks(x, count), _blocks(g, count)),
  )
  # A window of g, read from its end, is what a weight of the kernel has met.
  total = jnp.flip(total.reshape(channels, height, width, features), (1, 2))
  total = jnp.moveaxis(total, 0, 2).astype(kernel.dtype)
  return gradient.reshape(x.shape), total


def _gradients(x, kernel, g, stride, padding):
  window, matrix = kernel.shape[:2], _matrix(kernel)

  def block(total, images):
    x, g = images
    rows = _rows(x, window, stride, padding)
    of_y = g.reshape(-1, g.shape[-1])
    # Rᵀ g with its shorter side first: XLA takes a sixth less time for it.
    total += _float32_product(of_y.T, rows)
    taps = (of_y @ matrix.T).reshape(*g.shape[:3], *window, -1)
    return total, _add_up(taps, x.shape, stride, padding)

  count = images_per_block(x, g.shape[1] * g.shape[2] * matrix.shape[0])
  total, gradient = lax.scan(
    block,
    jnp.zeros(matrix.shape[::-1], jnp.float32),
    (_blocks(x, count), _blocks(g, count)),
  )
  total = total.T.reshape(kernel.shape).astype(kernel.dtype)
  return gradient.reshape(x.shape), total


def _float32_product(a, b):
  return jnp.matmul(a, b, preferred_element_type=jnp.float32)


def _matrix(kernel):
  """[kh, kw, C, K] → [kh·kw·C, K]."""
  return kernel.reshape(-1, kernel.shape[-1])


def _rows(x, window, stride, padding):
  """[B, H, W, C] → [B·H'·W', kh·kw·C], every window as a row."""
  height, width = _output_size(x, window, stride, padding)
  padded = _pad(x, padding)
  batch, channels = x.shape[0], x.shape[-1]
  taps = [
    lax.slice(
      padded,
      (0, i, j, 0),
      (
        batch,
        i + (height - 1) * stride + 1,
        j + (width - 1) * stride + 1,
        channels,
      ),
      (1, stride, stride, 1),
    )
    for i in range(window[0])
    for j in range(window[1])
  ]
  return jnp.concatenate(taps, axis=-1).reshape(batch * height * width, -1)


def _add_up(taps, shape, stride, padding):
  """The transpose of `_rows`: [B, H', W', kh, kw, C] → [B, H, W, C].

  Rows and columns of x are taken by their remainder modulo the stride. What is
  added up then lies side by side.
  """
  batch, height, width, rows, columns, channels = taps.shape
  more_rows, more_columns = (rows - 1) // stride, (columns - 1) // stride

  def phase(a, b):
    total = [
      _pad(
        taps[:, :, :, i, j],
        (
          (i // stride, more_rows - i // stride),
          (j // stride, more_columns - j // stride),
        ),
      )
      for i in range(a, rows, stride)
      for j in range(b, columns, stride)
    ]
    size = batch, height + more_rows, width + more_columns, channels
    return sum(total) if total else jnp.zeros(size, taps.dtype)

  x = jnp.stack(
    [
      jnp.stack([phase(a, b) for b in range(stride)], axis=3)
      for a in range(stride)
    ],
    axis=2,
  ).reshape(batch, (height + more_rows) * stride, -1, channels)
  borders = [
    (-low, low + extent - size)
    for (low, _), extent, size in zip(
      padding, shape[1:3], x.shape[1:3], strict=True
    )
  ]
  return _pad(x, borders)


def _pad(x, padding):
  """Zeros around the map; a negative border cuts."""
  borders = ((0, 0), *padding, (0, 0))
  zero = jnp.zeros((), x.dtype)
  return lax.pad(x, zero, [(low, high, 0) for low, high in borders])


def _output_size(x, window, stride, padding):
  return tuple(
    (size + sum(border) - extent) // stride + 1
    for size, extent, border in zip(x.shape[1:3], window, padding, strict=True)
  )


def images_per_block(x, row_values):
  """The most images, of which the batch is a multiple, whose rows fit."""
  batch = x.shape[0]
  fitting = max(1, int(_BLOCK_BYTES // (row_values * x.dtype.itemsize)))
  return next(
    count
    for count in range(max(1, min(batch, fitting)), 0, -1)
    if batch % count == 0
  )


def _blocks(x, count):
  return x.reshape(x.shape[0] // count, count, *x.shape[1:])
