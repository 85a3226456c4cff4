import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.data.augment import palms as palm_augment

_OFF = {
  'rotation': 0.0,
  'shift': 0.0,
  'scale': 0.0,
  'perspective': 0.0,
  'brightness': 0.0,
  'contrast': 0.0,
  'blur': 0.0,
  'noise': 0.0,
  'erase': 0.0,
}
_ON = {
  'rotation': 10.0,
  'shift': 0.05,
  'scale': 0.1,
  'perspective': 0.1,
  'brightness': 0.1,
  'contrast': 0.2,
  'blur': 0.8,
  'noise': 0.1,
  'erase': 0.5,
}
_SIZE = 16
# One batch shape in all tests: compiling takes longer than running.
_COUNT = 400


def _images(seed=0, scale=1.0):
  shape = (_COUNT, _SIZE, _SIZE, 3)
  values = np.random.default_rng(seed).uniform(-scale, scale, shape)
  return jnp.asarray(values, jnp.float32)


@functools.cache
def _jitted(**strengths):
  return jax.jit(palm_augment.make_augment(**{**_OFF, **strengths}))


def _apply(images, seed=0, **strengths):
  return np.asarray(_jitted(**strengths)(jax.random.key(seed), images))


def _disc(y, x, radius=0.08):
  """Images of a soft bright disc, centre in shares of the side."""
  position = (np.arange(_SIZE) + 0.5) / _SIZE
  squared = (position[:, None] - y) ** 2 + (position[None, :] - x) ** 2
  disc = 2 * np.exp(-0.5 * squared / radius**2) - 1
  shape = (_COUNT, _SIZE, _SIZE, 3)
  return jnp.asarray(np.broadcast_to(disc[None, ..., None], shape), jnp.float32)


def _centres(images):
  """Centres of mass (y, x) of what is brighter than the ground."""
  mass = np.clip(np.asarray(images)[..., 0] + 1, 0, None)
  mass = np.where(mass > 0.2, mass, 0)
  position = (np.arange(_SIZE) + 0.5) / _SIZE
  total = mass.sum(axis=(1, 2))
  y = (mass.sum(axis=2) * position).sum(axis=1) / total
  x = (mass.sum(axis=1) * position).sum(axis=1) / total
  return np.stack([y, x], axis=1)


def test_strength_zero_is_the_identity():
  images = _images()
  np.testing.assert_array_equal(_apply(images), images)


@pytest.mark.parametrize('name', list(_ON))
def test_each_strength_changes_every_image_in_its_own_way(name):
  images = jnp.broadcast_to(_images()[:1], (_COUNT, _SIZE, _SIZE, 3))
  changed = _apply(images, **{name: _ON[name]})
  assert changed.shape == images.shape
  assert changed.dtype == np.float32
  assert np.abs(changed).max() <= 1
  different = np.unique(changed.reshape(_COUNT, -1), axis=0)
  # Erasing spares half of the images; a blur of 0.15 px rounds to nothing.
  assert len(different) > {'erase': 150, 'blur': 300}.get(name, 399)


def test_range_and_keys_with_everything_on():
  images = _images()
  a, b = _apply(images, 1, **_ON), _apply(images, 2, **_ON)
  for changed in (a, b):
    assert np.isfinite(changed).all()
    assert np.abs(changed).max() <= 1
  assert (np.abs(a - b).max(axis=(1, 2, 3)) > 0.1).all()
  np.testing.assert_array_equal(a, _apply(images, 1, **_ON))


def test_an_image_does_not_see_its_batch():
  images = _images()
  others = _images(seed=9).at[2].set(images[2])
  a, b = _apply(images, **_ON), _apply(others, **_ON)
  np.testing.assert_array_equal(a[2], b[2])
  assert np.abs(a[1] - b[1]).max() > 0.1
  # Nor its size; XLA may round differently, hence no exact equality.
  few = jax.jit(palm_augment.make_augment(**_ON))(jax.random.key(0), images[:3])
  np.testing.assert_allclose(few, a[:3], atol=2e-5)


def test_one_compilation():
  strengths = {**_OFF, 'brightness': 0.1, 'erase': 0.5}
  function = palm_augment.make_augment(**strengths)
  jitted = jax.jit(chex.assert_max_traces(function, n=1))
  for seed in range(3):
    jitted(jax.random.key(seed), _images(seed))


def test_shift_moves_by_its_standard_deviation():
  moved = _apply(_disc(0.5, 0.5), shift=0.05)
  offset = _centres(moved) - 0.5
  np.testing.assert_allclose(offset.std(axis=0), 0.05, rtol=0.12)
  np.testing.assert_allclose(offset.mean(axis=0), 0.0, atol=0.008)


def test_rotation_turns_about_the_centre_by_its_standard_deviation():
  offset = _centres(_apply(_disc(0.5, 0.75), rotation=10.0)) - 0.5
  angle = np.rad2deg(np.arctan2(offset[:, 0], offset[:, 1]))
  np.testing.assert_allclose(angle.std(), 10.0, rtol=0.12)
  np.testing.assert_allclose(np.hypot(*offset.T), 0.25, atol=0.015)


def test_scale_enlarges_by_its_standard_deviation():
  offset = _centres(_apply(_disc(0.5, 0.7), scale=0.1)) - 0.5
  log_size = np.log(offset[:, 1] / 0.2)
  np.testing.assert_allclose(log_size.std(), 0.1, rtol=0.15)
  np.testing.assert_allclose(offset[:, 0], 0.0, atol=0.005)


def test_perspective_moves_the_border_and_not_the_centre():
  centre = _centres(_apply(_disc(0.5, 0.5), perspective=0.1)) - 0.5
  assert np.abs(centre).max() < 0.02
  # At x = 0.75 the divisor is 1 + 0.25 p.
  offset = _centres(_apply(_disc(0.5, 0.75), perspective=0.1)) - 0.5
  relative = offset[:, 1] / 0.25
  np.testing.assert_allclose(relative.std(), 0.025, rtol=0.25)


def test_mirror_is_half_the_images_and_off_by_default():
  images = _images()
  mirrored = _apply(images, mirror=True)
  kept = np.isclose(mirrored, images, atol=1e-5).all(axis=(1, 2, 3))
  flipped = np.isclose(mirrored, images[:, :, ::-1], atol=1e-5).all(
    axis=(1, 2, 3)
  )
  assert (kept ^ flipped).all()
  assert 150 < flipped.sum() < 250
  np.testing.assert_array_equal(_apply(images), images)


def test_brightness_adds_and_contrast_multiplies():
  images = _images(scale=0.2)
  offset = _apply(images, brightness=0.1) - images
  np.testing.assert_allclose(np.ptp(offset, axis=(1, 2, 3)), 0, atol=1e-6)
  np.testing.assert_allclose(offset[:, 0, 0, 0].std(), 0.1, rtol=0.12)

  changed = _apply(images, contrast=0.2)
  np.testing.assert_allclose(
    changed.mean(axis=(1, 2, 3)), images.mean(axis=(1, 2, 3)), atol=1e-5
  )
  factor = changed.std(axis=(1, 2, 3)) / np.std(images, axis=(1, 2, 3))
  np.testing.assert_allclose(np.log(factor).std(), 0.2, rtol=0.12)


def test_noise_is_white_with_at_most_its_deviation():
  noise = _apply(jnp.zeros((_COUNT, _SIZE, _SIZE, 3)), noise=0.1)
  deviation = noise.std(axis=(1, 2, 3))
  assert deviation.max() < 0.11
  np.testing.assert_allclose(deviation.mean(), 0.05, rtol=0.12)
  neighbour = (noise[:, 1:] * noise[:, :-1]).mean() / (noise**2).mean()
  assert abs(neighbour) < 0.02


def test_erase_covers_one_rectangle_with_one_colour():
  images = _images()
  erased = _apply(images, erase=0.5)
  changed = (erased != np.asarray(images)).any(axis=-1)
  hit = changed.any(axis=(1, 2))
  assert 150 < hit.sum() < 250
  for image, mask in zip(erased[hit], changed[hit], strict=True):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask[np.ix_(rows, columns)].all()
    assert len(rows) == np.ptp(rows) + 1
    assert len(columns) == np.ptp(columns) + 1
    assert len(np.unique(image[mask], axis=0)) == 1
  assert changed.mean(axis=(1, 2)).max() < 0.25
  assert not (_apply(images) != np.asarray(images)).any()


@pytest.mark.parametrize(
  'name, value', [('rotation', -1.0), ('erase', 1.5), ('noise', -0.1)]
)
def test_impossible_strength(name, value):
  with pytest.raises(ValueError, match=f'^{name}={value}: give'):
    palm_augment.make_augment(**{**_OFF, name: value})
