"""What makes images no cohort: twins, one person, images of no palm."""

import numpy as np
import pytest
from scipy import ndimage

from palmjax.inference import cohort_screen, parts
from tests.inference import drawn_palms

COUNT = 60


def templates(images):
  """Those of images that `drawn_palms.templates` does not have."""
  return parts.templates(drawn_palms.see_pixels, np.ascontiguousarray(images))


def joined(*several):
  return parts.Templates(
    *(np.concatenate(part) for part in zip(*several, strict=True))
  )


@pytest.fixture(scope='module')
def palms():
  return drawn_palms.templates(2, 0.4).take(slice(COUNT))


@pytest.mark.parametrize(
  'seed, difficulty',
  [
    (2, 0.4),
    (5, 0.8),
    pytest.param(1, 0.6, marks=pytest.mark.slow),
    pytest.param(3, 0.5, marks=pytest.mark.slow),
    pytest.param(4, 0.7, marks=pytest.mark.slow),
  ],
)
def test_different_palms_are_a_cohort(seed, difficulty):
  screened = cohort_screen.screen(drawn_palms.templates(seed, difficulty))
  assert screened == ((), ())


@pytest.mark.parametrize('palm', [0, 17])
def test_a_hidden_twin_is_found_and_it_alone(palms, palm):
  again = templates(drawn_palms.draw(2, 0.4, sample=1)[palm : palm + 1])
  screened = cohort_screen.screen(joined(palms, again))
  assert screened.twins == ((palm, COUNT),)
  assert screened.odd == ()


def test_copies_of_an_image_are_twins(palms):
  few = palms.take(slice(0, 8))
  copied = joined(*[few] * 4)
  pairs = tuple((i, i + 8 * k) for k in (1, 2, 3) for i in range(8))
  assert cohort_screen.duplicates(copied) == pairs
  assert set(cohort_screen.screen(copied).twins) >= set(pairs)
  assert cohort_screen.duplicates(palms) == ()


def test_images_of_one_palm(palms):
  noise = np.random.default_rng(0).normal(0, 6, (40, 64, 64, 3))
  images = drawn_palms.draw(2, 0.4)[:1] + noise
  one = templates(np.clip(images, 0, 255).astype(np.uint8))
  with pytest.raises(ValueError, match='look like images of one palm'):
    cohort_screen.screen(one)
  with pytest.raises(ValueError, match='give one image each of different'):
    cohort_screen.screen(joined(one, palms.take(slice(0, 10))))


def one_colour(rng):
  grey = rng.integers(0, 256, (3, 1, 1, 1))
  return np.broadcast_to(grey, (3, 64, 64, 3))


def blurred(rng):
  """Noise of long waves: a photograph out of focus."""
  noise = ndimage.gaussian_filter(rng.normal(size=(3, 64, 64)), (0, 8, 8))
  noise /= noise.std()
  return np.repeat(128 + 40 * noise[..., None], 3, axis=-1)


def white_noise(rng):
  return rng.integers(0, 256, (3, 64, 64, 3))


@pytest.mark.parametrize('images', [one_colour, blurred, white_noise])
def test_images_of_no_palm_are_named(palms, images):
  odd = np.clip(images(np.random.default_rng(3)), 0, 255).astype(np.uint8)
  among = joined(
    palms.take(slice(0, 20)), templates(odd), palms.take(slice(20, 37))
  )
  screened = cohort_screen.screen(among)
  assert screened.odd == (20, 21, 22)
  # Alike as they are, they are no palm twice.
  assert screened.twins == ()


def test_palms_of_a_noisy_camera_are_palms():
  noise = np.random.default_rng(0).normal(0, 20, (COUNT, 64, 64, 3))
  noisy = np.clip(drawn_palms.draw(2, 0.4)[:COUNT] + noise, 0, 255)
  assert cohort_screen.screen(templates(noisy.astype(np.uint8))) == ((), ())
