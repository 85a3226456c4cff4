import jax
import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.recognition import occlusion, verification


def erased(share, *, count=200, shape=(20, 12, 3), key=0):
  """(images, which pixels changed) of images of one value."""
  images = np.full((count, *shape), 77, np.uint8)
  got = np.asarray(occlusion.erase_squares(jax.random.key(key), images, share))
  assert got.dtype == np.uint8
  return got, (got != 77).any(axis=-1)


def test_share_is_erased_on_average():
  for share in (0.1, 0.4):
    _, changed = erased(share)
    assert changed.mean() == pytest.approx(share, rel=0.02)
    # Within a pixel a side in every image.
    rows, columns = (changed.any(axis=a).sum(axis=1) for a in (2, 1))
    assert np.abs(rows - 20 * share**0.5).max() <= 1
    assert np.abs(columns - 12 * share**0.5).max() <= 1
    np.testing.assert_array_equal(changed.sum(axis=(1, 2)), rows * columns)


def test_places_and_colours_are_random_over_the_image():
  images, changed = erased(0.1)
  # Seldom a corner, but every row and column.
  assert changed.any(axis=(0, 1)).all()
  assert changed.any(axis=(0, 2)).all()
  colours = {tuple(x[m][0]) for x, m in zip(images, changed, strict=True)}
  assert len(colours) == len(images)
  for image, mask in zip(images, changed, strict=True):
    assert (image[mask] == image[mask][0]).all()
  assert len(np.unique(np.argmax(changed.reshape(200, -1), axis=1))) > 60


def test_no_share_and_nearly_all():
  assert not erased(0.0)[1].any()
  assert erased(0.999)[1].mean() > 0.95


def test_depends_on_key_and_position_only():
  first, _ = erased(0.2)
  np.testing.assert_array_equal(first[:7], erased(0.2, count=7)[0])
  np.testing.assert_array_equal(first, erased(0.2)[0])
  assert (first != erased(0.2, key=1)[0]).any(axis=(1, 2, 3)).mean() > 0.95


def test_grey_images():
  _, changed = erased(0.25, shape=(16, 16, 1))
  assert (changed.sum(axis=(1, 2)) == 64).all()  # 8 of 16 a side, wherever.


def embed(images):
  flat = images.reshape(len(images), -1).astype(np.float32) - 128.0
  return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def test_curve_rises_from_the_clean_rate():
  generator = np.random.default_rng(0)
  labels = np.repeat(np.arange(20), 4)
  base = generator.normal(size=(20, 16, 16, 1))[labels]
  noise = generator.normal(size=(80, 16, 16, 1))
  images = np.clip(128 + 20 * (base + 2.5 * noise), 0, 255).astype(np.uint8)
  shares = (0.0, 0.2, 0.6)
  curve = occlusion.curve(
    embed,
    images,
    labels,
    jax.random.key(0),
    shares=shares,
    resampling=bootstrap.Resampling(draws=60),
  )
  assert tuple(curve) == shares
  clean = verification.evaluate(
    embed(images), labels, fars=(), resampling=bootstrap.Resampling(draws=60)
  )
  assert curve[0.0] == clean['eer']
  assert curve[0.0]['high'] < curve[0.2]['low'] < curve[0.2]['value']
  assert curve[0.2]['high'] < curve[0.6]['value']


@pytest.mark.parametrize('share', [-0.1, 1.0])
def test_impossible_share(share):
  with pytest.raises(ValueError, match='at least 0 and below 1'):
    occlusion.curve(embed, None, None, jax.random.key(0), shares=(share,))
