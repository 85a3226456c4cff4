"""Image warps: bilinear sampling at given coordinates, reflected at the border.

Frame. Coordinates are (x, y), x to the right and y down, the origin at the
centre of the image, one unit = the side of the image (its width for x, its
height for y). Pixel (row i, column j) of an H × W image has its centre at

  x = (j + 0.5) / W − 0.5,    y = (i + 0.5) / H − 0.5,

so the image covers [−0.5, 0.5]². All coordinates say where an *output* pixel
reads the *input*: p_in ~ M p_out with M in homogeneous form. To rotate the
picture by +a, pass rotation(−a); to enlarge it by s, scaling(1 / s, 1 / s);
to move it by d, translation(−d). Matrices that act one after the other on
the picture, first A then B, compose as M = M_A @ M_B = compose(M_A, M_B).

Everything is linear in the images, hence differentiable any number of times.
"""

import chex
import jax.numpy as jnp


def grid(height, width):
  """Coordinates of the pixel centres: float32 [height, width, 2], (x, y)."""
  y = (jnp.arange(height, dtype=jnp.float32) + 0.5) / height - 0.5
  x = (jnp.arange(width, dtype=jnp.float32) + 0.5) / width - 0.5
  return jnp.stack(jnp.meshgrid(x, y), axis=-1)


def warp(images, coordinates):
  """Reads images at coordinates, bilinear, mirrored beyond the border.

  Args:
    images: float [B, H, W, C], H and W at least 2.
    coordinates: float [B, h, w, 2], (x, y) in the frame of the module. A field
      warp passes `grid(h, w) + field`.

  Returns:
    float [B, h, w, C].
  """
  chex.assert_rank([images, coordinates], 4)
  batch, height, width, channels = images.shape
  chex.assert_shape(coordinates, (batch, None, None, 2))
  x = _pixel(coordinates[..., 0], width)
  y = _pixel(coordinates[..., 1], height)
  # The last cell starts at the pixel before the last, so that all four corners
  # exist for coordinates on the border itself.
  left = jnp.clip(jnp.floor(x), 0, width - 2)
  top = jnp.clip(jnp.floor(y), 0, height - 2)
  right_share = (x - left)[..., None]
  bottom_share = (y - top)[..., None]
  corner = (top.astype(jnp.int32) * width + left.astype(jnp.int32)).reshape(
    batch, -1, 1
  )
  pixels = images.reshape(batch, -1, channels)

  def read(offset):
    values = jnp.take_along_axis(pixels, corner + offset, axis=1)
    return values.reshape(*coordinates.shape[:-1], channels)

  upper = read(0) * (1 - right_share) + read(1) * right_share
  lower = read(width) * (1 - right_share) + read(width + 1) * right_share
  return upper * (1 - bottom_share) + lower * bottom_share


def homography(images, matrices):
  """Warps every image by its own projective map.

  Args:
    images: float [B, H, W, C].
    matrices: float [B, 3, 3], output to input coordinates in the frame of the
      module. The denominator m3 · (x, y, 1) is kept above 0.001: points
      beyond the horizon have no place in the input.

  Returns:
    float [B, H, W, C].
  """
  chex.assert_rank(images, 4)
  chex.assert_shape(matrices, (images.shape[0], 3, 3))
  points = grid(*images.shape[1:3])
  points = jnp.concatenate([points, jnp.ones_like(points[..., :1])], axis=-1)
  # 'highest': TF32 or bfloat16 coordinates would shake the image by pixels.
  mapped = jnp.einsum('bij,hwj->bhwi', matrices, points, precision='highest')
  return warp(images, mapped[..., :2] / jnp.maximum(mapped[..., 2:], 1e-3))


def compose(first, *others):
  """Left-to-right product of [..., n, n] matrices, in full float32."""
  product = first
  for matrix in others:
    # 'highest', as in `homography`.
    product = jnp.matmul(product, matrix, precision='highest')
  return product


def rotation(angle):
  """[..., 3, 3] that turns coordinates by `angle` [...], radians, x to y."""
  c, s = jnp.cos(angle), jnp.sin(angle)
  return _matrix([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def scaling(x, y):
  """[..., 3, 3] that multiplies coordinates by `x` and `y` [...]."""
  return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]])


def translation(x, y):
  """[..., 3, 3] that adds `x` and `y` [...], in sides, to coordinates."""
  return _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]])


def perspective(x, y):
  """[..., 3, 3] that divides coordinates by 1 + `x`·x + `y`·y, `x`, `y` [...].

  The far side of the input is compressed: at x = 0.2 the coordinate 0.5
  becomes 0.4545 and −0.5 becomes −0.5556. Keep |x| + |y| < 2.
  """
  return _matrix([[1, 0, 0], [0, 1, 0], [x, y, 1]])


def _pixel(coordinate, size):
  """Frame coordinate to pixel index, folded at the border of the image."""
  # The mirror is the outer edge of the border pixel: between that pixel's
  # centre and its mirror image the value is constant, which is what clip does.
  unit = jnp.mod(coordinate + 0.5, 2.0)
  unit = jnp.minimum(unit, 2.0 - unit)
  return jnp.clip(unit * size - 0.5, 0.0, size - 1.0)


def _matrix(rows):
  """Stacks 3 × 3 entries, scalars or arrays of one shape, to [..., 3, 3]."""
  entries = [jnp.asarray(e, jnp.float32) for row in rows for e in row]
  entries = jnp.broadcast_arrays(*entries)
  stacked = jnp.stack(entries, axis=-1)
  return stacked.reshape(*stacked.shape[:-1], 3, 3)
