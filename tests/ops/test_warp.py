"""Warps against NumPy loops and hand-made pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops import warp

homography = jax.jit(warp.homography)
perspective = jax.jit(warp.perspective)
rotation = jax.jit(warp.rotation)


def reference(image, coordinates):
  """Bilinear sampling of a mirror-padded [H, W, C] image, pixel by pixel."""
  height, width, _ = image.shape
  padded = np.pad(
    image, [(height, height), (width, width), (0, 0)], mode='symmetric'
  )
  out = np.zeros((*coordinates.shape[:2], image.shape[-1]))
  for i in range(coordinates.shape[0]):
    for j in range(coordinates.shape[1]):
      x = (coordinates[i, j, 0] + 0.5) * width - 0.5 + width
      y = (coordinates[i, j, 1] + 0.5) * height - 0.5 + height
      left, top = int(np.floor(x)), int(np.floor(y))
      for row, share_y in ((top, top + 1 - y), (top + 1, y - top)):
        for column, share_x in ((left, left + 1 - x), (left + 1, x - left)):
          out[i, j] += share_y * share_x * padded[row, column]
  return out


def random_images(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_warp_equals_the_loop_inside_and_beyond_the_border():
  images = random_images(2, 5, 7, 3)
  points = np.random.default_rng(1).uniform(-1.3, 1.3, (2, 4, 6, 2))
  got = jax.jit(warp.warp)(images, points.astype(np.float32))
  want = np.stack(list(map(reference, images, points)))
  np.testing.assert_allclose(got, want, atol=2e-5)


def test_grid_reads_every_pixel_back():
  images = random_images(1, 4, 6, 2)
  got = jax.jit(lambda x: warp.warp(x, warp.grid(4, 6)[None]))(images)
  np.testing.assert_allclose(got, images, atol=1e-6)


def test_grid_golden():
  np.testing.assert_allclose(
    jax.jit(warp.grid, static_argnums=(0, 1))(1, 4)[0],
    [[-0.375, 0], [-0.125, 0], [0.125, 0], [0.375, 0]],
  )


def test_quarter_turn_turns_x_to_y():
  images = random_images(1, 6, 6, 1)
  matrices = rotation(np.full((1,), np.pi / 2, np.float32))
  got = homography(images, matrices)
  # Output (x, y) reads input (−y, x): its top row is the right column.
  want = np.rot90(images, k=1, axes=(1, 2))
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_translation_by_whole_pixels_mirrors_the_border():
  images = random_images(1, 4, 4, 1)
  translation = jax.jit(warp.translation)
  got = homography(images, translation(np.full((1,), 0.25, np.float32), 0.0))
  want = images[:, :, [1, 2, 3, 3]]
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_scaling_by_half_enlarges_the_middle():
  images = random_images(1, 8, 8, 1)
  scaling = jax.jit(warp.scaling)
  got = homography(images, scaling(np.full((1,), 0.5, np.float32), 0.5))
  got = np.asarray(got)
  # Output pixel 0 lies a quarter before input pixel 2, pixel 1 a quarter after.
  lower, pixel, upper = images[0, [1, 2, 3]][:, [1, 2, 3]]
  rows = 0.25 * lower + 0.75 * pixel, 0.75 * pixel + 0.25 * upper
  want = [
    (0.25 * row[0] + 0.75 * row[1], 0.75 * row[1] + 0.25 * row[2])
    for row in rows
  ]
  np.testing.assert_allclose(got[0, :2, :2], want, atol=1e-5)


def test_perspective_golden():
  matrix = np.asarray(perspective(0.2, 0.0))
  for x, want in ((0.5, 0.5 / 1.1), (-0.5, -0.5 / 0.9)):
    mapped = matrix @ np.array([x, 0.0, 1.0])
    np.testing.assert_allclose(mapped[0] / mapped[2], want, rtol=1e-6)


def test_perspective_reads_the_divided_coordinate():
  images = random_images(1, 6, 6, 1)
  points = np.asarray(jax.jit(warp.grid, static_argnums=(0, 1))(6, 6))
  points = points / (1 + 0.3 * points[..., :1] - 0.1 * points[..., 1:])
  got = homography(images, perspective(np.full((1,), 0.3, np.float32), -0.1))
  np.testing.assert_allclose(got[0], reference(images[0], points), atol=1e-5)


def test_beyond_the_horizon_is_finite():
  matrix = np.asarray(perspective(-9.0, 0.0))
  got = homography(random_images(1, 6, 6, 1), matrix[None])
  assert np.isfinite(got).all()


def test_each_image_has_its_own_matrix():
  images = random_images(3, 5, 5, 2)
  matrices = np.asarray(rotation(np.float32([0.0, 0.4, -1.0])))
  together = homography(images, matrices)
  for k in range(3):
    alone = homography(images[k : k + 1], matrices[k : k + 1])
    np.testing.assert_allclose(together[k], alone[0], atol=1e-5)


def test_compose_goes_from_left_to_right_in_float32():
  a, b, c = random_images(3, 2, 3, 3)
  got = jax.jit(warp.compose)(a, b, c)
  np.testing.assert_allclose(
    got, a.astype(np.float64) @ b @ c, rtol=1e-5, atol=1e-6
  )
  # On a CPU the precision shows in the program only.
  text = jax.jit(warp.compose).lower(a, b, c).as_text()
  assert text.count('dot_general') == text.count('HIGHEST, HIGHEST') == 2


def test_gradient_is_the_transpose_and_exists_twice():
  images = random_images(2, 5, 5, 1)
  cotangent = random_images(2, 5, 5, 1, seed=2)
  matrices = rotation(np.float32([0.3, 2.0]))

  def forward(images):
    return homography(images, matrices)

  @jax.jit
  def transpose(images, cotangent):
    warped, pull_back = jax.vjp(forward, images)
    return warped, *pull_back(cotangent)

  # <A x, y> = <x, Aᵀ y>.
  warped, transposed = transpose(images, cotangent)
  np.testing.assert_allclose(
    np.vdot(warped, cotangent), np.vdot(images, transposed), rtol=1e-4
  )

  # Through a square of the image gradient, as R1 does: d‖Aᵀ A x‖² exists.
  @jax.jit
  @jax.value_and_grad
  def penalty(images):
    gradient = jax.grad(lambda x: 0.5 * jnp.sum(forward(x) ** 2))(images)
    return jnp.sum(gradient**2)

  direction = random_images(2, 5, 5, 1, seed=3)
  slope = np.vdot(penalty(images)[1], direction)
  above, below = (penalty(images + step)[0] for step in (direction, -direction))
  numeric = (above.item() - below.item()) / 2
  np.testing.assert_allclose(slope, numeric, rtol=1e-4)  # Quadratic: exact.


def test_wrong_shapes_are_refused():
  with pytest.raises(AssertionError):
    warp.warp(np.zeros((2, 4, 4, 1)), np.zeros((3, 4, 4, 2)))
  with pytest.raises(AssertionError):
    homography(np.zeros((2, 4, 4, 1)), np.zeros((3, 3)))
