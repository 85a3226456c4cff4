"""Lines and texture as sums of separable kernels: two matrix products a palm.

A crease is a row of isotropic Gaussians along its curve, and an isotropic
Gaussian is a product of one factor in x and one in y. With G_x [P, W] and
G_y [P, H] of all P kernels the picture is G_yᵀ diag(a) G_x. For a Gabor kernel
the cosine of the sum of two phases splits the same way into two products.
Pixel size and blur widen the kernels analytically, so nothing is filtered
afterwards and fine lines fade instead of aliasing.
"""

import chex
import jax
import jax.numpy as jnp

PIXEL = 0.42  # Standard deviation of a pixel's aperture, in pixels.


def aperture(size, blur):
  """Standard deviation in sides of pixel aperture and blur together."""
  return jnp.sqrt((PIXEL / size) ** 2 + blur**2)


def splat_lines(points, depth, width, *, size, blur):
  """Draws polylines as rows of Gaussians.

  Args:
    points: [N, P, 2] image coordinates in sides.
    depth: [N, P] value on the centre line of an isolated, sharp line.
    width: [N, P] standard deviation of the cross profile in sides.
    size: static int, side in pixels.
    blur: scalar, further standard deviation in sides.

  Returns:
    [size, size] sum of all lines.
  """
  chex.assert_rank([points, depth, width], [3, 2, 2])
  sigma = jnp.sqrt(width**2 + aperture(size, blur) ** 2)
  step = jnp.linalg.norm(points[:, 1:] - points[:, :-1], axis=-1)
  step = jnp.concatenate([step, step[:, -1:]], axis=1)
  # A row with spacing h sums to σ√(2π)/h; blur spreads the line's area.
  weight = depth * width / sigma * step / (sigma * jnp.sqrt(2 * jnp.pi))
  x, y = points.reshape(-1, 2).T
  x_factor = _gaussian(x, sigma.reshape(-1), size)
  y_factor = _gaussian(y, sigma.reshape(-1), size)
  return (y_factor * weight.reshape(-1, 1)).T @ x_factor


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
  grid = pixel_centers(size)
  x_phase = 2 * jnp.pi * waves[:, :1] * (grid - centers[:, :1])
  y_phase = 2 * jnp.pi * waves[:, 1:] * (grid - centers[:, 1:])
  x_phase += phase[:, None]
  x_factor = _gaussian(centers[:, 0], width, size) * weight[:, None]
  y_factor = _gaussian(centers[:, 1], width, size)
  left = jnp.concatenate(
    [y_factor * jnp.cos(y_phase), -y_factor * jnp.sin(y_phase)]
  )
  right = jnp.concatenate(
    [x_factor * jnp.cos(x_phase), x_factor * jnp.sin(x_phase)]
  )
  return left.T @ right


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
  return basis @ coefficients @ basis.T


def slopes(height):
  """Derivatives [size, size] by x and by y, in units a side."""
  size = height.shape[0]
  padded = jnp.pad(height, 1, mode='edge')
  along_x = (padded[1:-1, 2:] - padded[1:-1, :-2]) * size / 2
  along_y = (padded[2:, 1:-1] - padded[:-2, 1:-1]) * size / 2
  return along_x, along_y


def _gaussian(center, sigma, size):
  z = (pixel_centers(size) - center[:, None]) / sigma[:, None]
  return jnp.exp(-0.5 * z * z)
