"""Lines and texture as sums of separable kernels, by matrix products.

A crease is a row of points along its curve, shared out among the nearest
pixels and blurred to the line's width by one matrix product on each side. A
Gabor kernel splits into factors in x and y, since the cosine of a sum of two
phases is cos cos − sin sin: with K kernels' factors in X and Y [2K, S] the
picture is YᵀX. Pixel size and blur widen both analytically, so nothing is
filtered afterwards and fine lines fade instead of aliasing.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

PIXEL = 0.42  # Standard deviation of a pixel's aperture, in pixels.
SPLAT = 0.25  # What is left of it: sharing out among four pixels blurs by .4.
WIDTHS = (0.0012, 0.0024, 0.0048, 0.0096)  # Levels of line width in sides.
FIXED = 2.0**18  # Steps of fixed-point sums, which stay below about 100.

# TF32 or bfloat16 products would draw other pictures on other devices.
_PRECISION = jax.lax.Precision.HIGHEST
_matmul = functools.partial(jnp.matmul, precision=_PRECISION)


def aperture(size, blur):
  """Standard deviation in sides of pixel aperture and blur together."""
  return jnp.sqrt((PIXEL / size) ** 2 + blur**2)


def splat_lines(points, depth, width, *, size, blur):
  """Draws polylines as rows of Gaussians.

  Points fall on the four nearest pixels of two neighbouring levels of line
  width; each level is then blurred to its width. Sums are in fixed point, hence
  the same bits whatever the order in which a device adds.

  Args:
    points: [K, 2] image coordinates in sides.
    depth: [K] value on the centre line of a sharp line, times the distance to
      the next point in sides.
    width: [K] standard deviation of the cross profile in sides, within the
      range of `WIDTHS`.
    size: static int, side in pixels.
    blur: scalar, further standard deviation in sides.

  Returns:
    [size, size] sum of all lines.
  """
  chex.assert_rank([points, depth, width], [2, 1, 1])
  levels = jnp.asarray(WIDTHS)
  rank = jnp.interp(width, levels, jnp.arange(len(WIDTHS), dtype=jnp.float32))
  level = jnp.clip(rank.astype(jnp.int32), 0, len(WIDTHS) - 2)
  upper = rank - level

  margin = int(np.ceil(3 * WIDTHS[-1] * size)) + 2
  side = size + 2 * margin
  place = jnp.clip(points * size - 0.5 + margin, 0.0, side - 1.001)
  corner = place.astype(jnp.int32)
  part = place - corner
  # The integral over the cross profile; a pixel holds it over its area.
  mass = depth * width * np.sqrt(2 * np.pi) * size * size * FIXED
  inside = jnp.all((corner > 0) & (corner < side - 2), axis=-1)
  mass = jnp.where(inside, mass, 0.0)
  first = (level * side + corner[:, 1]) * side + corner[:, 0]
  image = jnp.zeros(len(WIDTHS) * side * side, jnp.int32)
  index, value = [], []
  for z, in_level in ((0, 1 - upper), (1, upper)):
    for y, in_row in ((0, 1 - part[:, 1]), (1, part[:, 1])):
      for x, in_column in ((0, 1 - part[:, 0]), (1, part[:, 0])):
        index.append(first + (z * side + y) * side + x)
        value.append(mass * in_level * in_row * in_column)
  image = image.at[jnp.concatenate(index)].add(
    jnp.concatenate(value).astype(jnp.int32)
  )
  image = image.astype(jnp.float32).reshape(len(WIDTHS), side, side) / FIXED

  sigma = size * jnp.sqrt(levels**2 + blur**2 + (SPLAT / size) ** 2)
  offset = jnp.arange(side) - margin - jnp.arange(size)[:, None]
  kernel = jnp.exp(-0.5 * (offset / sigma[:, None, None]) ** 2)
  kernel /= jnp.sqrt(2 * jnp.pi) * sigma[:, None, None]
  return jnp.einsum(
    'kij,kjl,kml->im', kernel, image, kernel, precision=_PRECISION
  )


def splat_waves(centers, waves, width, phase, weight, *, size, blur):
  """Draws Gabor kernels: weight · exp(−r²/2σ²) · cos(2π k·r + phase).

  Args:
    centers: [K, 2] image coordinates in sides.
    waves: [K, 2] wave vectors k in cycles a side.
    width: [K] standard deviations in sides.
    phase: [K] in radians.
    weight: [K].
    size: static int, side in pixels.
    blur: scalar, standard deviation in sides.

  Returns:
    [size, size] sum of all kernels.
  """
  chex.assert_rank([centers, waves, width, phase, weight], [2, 2, 1, 1, 1])
  # Blur multiplies a wave by exp(−2π²k²σ²), which also stops aliasing.
  squared = jnp.sum(waves**2, axis=-1)
  weight = weight * jnp.exp(
    -2 * jnp.pi**2 * squared * aperture(size, blur) ** 2
  )
  # Exponents and phases are polynomials of the pixel coordinate. As a product
  # with (1, g, g²) their coefficients are computed once a kernel; written out,
  # the compiler repeats that work for every pixel.
  precision = 0.5 / width**2
  zero = jnp.zeros_like(width)
  coefficients = jnp.stack(
    [
      jnp.stack([-precision * x * x, 2 * precision * x, -precision], -1)
      for x in centers.T
    ]
    + [
      jnp.stack(
        [phase / (2 * jnp.pi) - waves[:, 0] * centers[:, 0], waves[:, 0], zero],
        -1,
      ),
      jnp.stack([-waves[:, 1] * centers[:, 1], waves[:, 1], zero], -1),
    ]
  )
  grid = pixel_centers(size)
  powers = jnp.stack([jnp.ones_like(grid), grid, grid * grid])
  x_exponent, y_exponent, x_turns, y_turns = _matmul(coefficients, powers)
  x_factor = jnp.exp(x_exponent) * weight[:, None]
  y_factor = jnp.exp(y_exponent)
  left = jnp.concatenate(
    [y_factor * _cos(y_turns), -y_factor * _cos(y_turns - 0.25)]
  )
  right = jnp.concatenate(
    [x_factor * _cos(x_turns), x_factor * _cos(x_turns - 0.25)]
  )
  return _matmul(left.T, right)


def _cos(turns):
  """cos(2π · turns) to 4e-6; an exact range reduction would cost 5 times it."""
  turns = turns - jnp.round(turns)
  y = 2 * jnp.pi * (0.25 - jnp.abs(turns))
  z = y * y
  series = 1 / 120 - z * (1 / 5040 - z / 362880)
  return y * (1 - z * (1 / 6 - z * series))


def pixel_centers(size):
  """Coordinates [size] of pixel centres in sides."""
  return (jnp.arange(size) + 0.5) / size


def pixel_grid(size):
  """Coordinates [size, size, 2] of pixel centres, (x, y) in sides."""
  x, y = jnp.meshgrid(pixel_centers(size), pixel_centers(size))
  return jnp.stack([x, y], axis=-1)


def cosine_field(coefficients, size):
  """Smooth field [size, size] from cosine coefficients [K, K] (y, x)."""
  k = jnp.arange(coefficients.shape[0])
  basis = jnp.cos(jnp.pi * pixel_centers(size)[:, None] * k)
  return _matmul(_matmul(basis, coefficients), basis.T)


def slopes(height):
  """Derivatives [size, size] by x and by y, in units a side."""
  size = height.shape[0]
  i = np.arange(size)
  central = np.zeros((size, size), np.float32)
  central[i, np.minimum(i + 1, size - 1)] += size / 2
  central[i, np.maximum(i - 1, 0)] -= size / 2
  return _matmul(height, central.T), _matmul(central, height)
