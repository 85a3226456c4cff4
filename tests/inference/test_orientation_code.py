"""Orientation codes and their search against loops in NumPy."""

import math

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from palmjax.inference import orientation_code as oc
from palmjax.ops import gabor
from tests.inference import drawn_palms

MIDDLE = oc.ROTATIONS.index(0)


@pytest.fixture(scope='module')
def drawn():
  """Six palms × 2, larger than a code's image: uint8 [6, 2, 96, 96, 3]."""
  images = drawn_palms.draw_all(
    3, np.repeat(np.arange(6), 2), np.tile(np.arange(2), 6), 0.2
  )
  rows = [
    Image.fromarray(image).resize((96, 96), Image.Resampling.BICUBIC)
    for image in images
  ]
  return np.stack(rows).reshape(6, 2, 96, 96, 3)


def cut(images, down=0, right=0, size=64):
  """The central square, moved."""
  top = (images.shape[-2] - size) // 2
  rows = slice(top + down, top + down + size)
  return images[..., rows, top + right : top + right + size, :]


def own_code(image, kind, angle):
  """A code in float64, of an image of 64 × 64 turned by an angle."""
  grey = image @ np.array([0.299, 0.587, 0.114]) / 127.5 - 1
  y, x = np.mgrid[:64, :64] - 31.5
  c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
  places = np.stack([s * x + c * y, c * x - s * y]) + 31.5
  # SciPy's 'reflect' mirrors about the border.
  grey = ndimage.map_coordinates(grey, places, order=1, mode='reflect')
  bank = gabor.bank(8, kind.wave_length, kind.sigma, kind.window)
  responses = [
    ndimage.correlate(grey, bank[:, :, 0, k].astype(np.float64), mode='reflect')
    for k in range(8)
  ]
  angles = np.argmin(responses, 0) * math.pi / 8
  field = np.stack([np.cos(2 * angles), np.sin(2 * angles)], -1)
  return field.reshape(32, 2, 32, 2, 2).mean((1, 3))


def own_score(probe, template, shift, mean=0.0):
  """s of the module docstring: codes [R, 32, 32, 2] against [32, 32, 2]."""
  side = 32 - 2 * shift
  centre = (template - mean)[shift : shift + side, shift : shift + side]
  best = -1.0
  for code in probe - mean:
    for down in range(2 * shift + 1):
      for right in range(2 * shift + 1):
        crop = code[down : down + side, right : right + side]
        norms = np.linalg.norm(centre) * np.linalg.norm(crop)
        if norms:
          best = max(best, (centre * crop).sum() / norms)
        else:
          best = max(best, 0.0)
  return best


def random_codes(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(-127, 128, (*shape, 32, 32, 2), np.int8)


@pytest.mark.parametrize('kind', [oc.FINE, oc.WIDE6])
def test_probes_are_codes_by_definition(drawn, kind):
  images = cut(drawn[:2, 0])
  got = oc.probes(images, kind)
  assert (got.shape, got.dtype) == ((2, 5, 32, 32, 2), np.int8)
  for image, codes in zip(images, got, strict=True):
    for angle, code in zip(oc.ROTATIONS, codes, strict=True):
      want = np.round(127 * own_code(image, kind, angle))
      # Another rounding turns few ties over.
      assert (np.abs(code - want) > 1).any(-1).mean() < 5e-3


def test_templates_are_upright_probes_of_2_kb(drawn):
  images = cut(drawn).reshape(-1, 64, 64, 3)
  templates = oc.templates(images, oc.FINE)
  np.testing.assert_array_equal(
    templates, oc.probes(images, oc.FINE)[:, MIDDLE]
  )
  assert templates[0].nbytes == 2048
  # Whatever stands beside it: few images take another program.
  np.testing.assert_array_equal(
    templates[3:4], oc.templates(images[3:4], oc.FINE)
  )


@pytest.mark.parametrize('kind', [oc.FINE, oc.WIDE6])
def test_scores_equal_loops(kind):
  probes, gallery = random_codes(2, 5), random_codes(3, seed=1)
  # Something to be found.
  gallery[0] = np.roll(probes[1, 4], (kind.shift, -kind.shift), (0, 1))
  mean = np.random.default_rng(2).uniform(-0.3, 0.3, (32, 32, 2))
  mean = mean.astype(np.float32)
  for taken in (None, mean):
    want = [
      [
        own_score(p / 127, g / 127, kind.shift, 0.0 if taken is None else taken)
        for g in gallery
      ]
      for p in probes
    ]
    got = oc.scores(probes, gallery, kind, mean=taken)
    assert (got.shape, got.dtype) == ((2, 3), np.float32)
    np.testing.assert_allclose(got, want, atol=1e-5)
  assert oc.scores(probes, gallery, kind)[1, 0] > 0.999


@pytest.mark.parametrize('kind', [oc.FINE, oc.WIDE6])
def test_two_way_scores_equal_loops(kind):
  probes, gallery = random_codes(2, 5), random_codes(3, 5, seed=1)
  mean = np.random.default_rng(2).uniform(-0.3, 0.3, (32, 32, 2))
  want = np.zeros((2, 3))
  for i, turned in enumerate(probes / 127):
    for j, other in enumerate(gallery / 127):
      there = own_score(turned, other[MIDDLE], kind.shift, mean)
      back = own_score(other, turned[MIDDLE], kind.shift, mean)
      want[i, j] = (there + back) / 2
  got = oc.two_way_scores(probes, gallery, kind, mean=mean)
  assert (got.shape, got.dtype) == ((2, 3), np.float32)
  np.testing.assert_allclose(got, want, atol=1e-5)
  exchanged = oc.two_way_scores(gallery, probes, kind, mean=mean)
  np.testing.assert_array_equal(exchanged.T, got)


def test_two_way_scores_of_one_side_are_those_of_two():
  codes = random_codes(3, 5)
  np.testing.assert_array_equal(
    oc.two_way_scores(codes, codes, oc.FINE),
    oc.two_way_scores(codes, codes.copy(), oc.FINE),
  )


def test_a_palm_and_itself_score_1(drawn):
  images = cut(drawn[:, 0])
  scores = oc.scores(
    oc.probes(images, oc.WIDE6), oc.templates(images, oc.WIDE6), oc.WIDE6
  )
  np.testing.assert_allclose(np.diag(scores), 1, atol=2e-5)
  assert scores.max() <= 1
  turned = oc.probes(images, oc.WIDE6)
  both = oc.two_way_scores(turned, turned, oc.WIDE6)
  np.testing.assert_allclose(np.diag(both), 1, atol=2e-5)
  assert scores[~np.eye(6, dtype=bool)].max() < 0.6


@pytest.mark.parametrize('kind', [oc.FINE, oc.WIDE6])
@pytest.mark.parametrize(
  'angle, down, right', [(0, 1, -1), (6, 0, 0), (-7, -1, 0)]
)
def test_moved_palms_are_found(drawn, kind, angle, down, right):
  """A cell is two pixels: the shift is the largest of the search."""
  pixels = 2 * kind.shift
  turned = ndimage.rotate(
    drawn[:, 0], angle, axes=(1, 2), reshape=False, order=1
  )
  moved = cut(turned, down * pixels, right * pixels)
  scores = oc.scores(
    oc.probes(moved, kind), oc.templates(cut(drawn[:, 0]), kind), kind
  )
  np.testing.assert_array_equal(scores.argmax(1), np.arange(6))
  np.testing.assert_array_equal(scores.argmax(0), np.arange(6))


def test_mirrored_palms_are_others(drawn):
  kind = oc.FINE
  templates = oc.templates(cut(drawn[:, 1]), kind)
  probes, mirrored = (
    oc.probes(images, kind)
    for images in (cut(drawn[:, 0]), cut(drawn[:, 0])[:, :, ::-1])
  )
  genuine = np.diag(oc.scores(probes, templates, kind))
  other = np.diag(oc.scores(mirrored, templates, kind))
  assert other.max() < genuine.min() - 0.2


def test_gain_and_offset_change_nothing(drawn):
  dark = cut(drawn[:, 0]) // 4
  light = 3 * dark + 40  # At most 229: nothing is clipped.
  plain, moved = (oc.templates(x, oc.FINE) for x in (dark, light))
  # Sums round another way, so a tie may fall another way.
  assert (plain != moved).any(-1).mean() < 1e-3


def test_int8_loses_nothing(drawn):
  kind, images = oc.FINE, cut(drawn)
  bank = gabor.bank(8, kind.wave_length, kind.sigma, kind.window)
  grey = images.reshape(-1, 64, 64, 3) @ np.float32([[299], [587], [114]])
  code = jax.jit(lambda grey: gabor.code(gabor.winners(grey, bank), 8))
  exact = np.asarray(code(grey), np.float64)
  stored = oc.templates(images.reshape(-1, 64, 64, 3), kind) / 127
  for i, j in ((0, 1), (2, 3), (0, 5), (7, 2)):
    want = own_score(exact[i : i + 1], exact[j], kind.shift)
    got = own_score(stored[i : i + 1], stored[j], kind.shift)
    assert abs(got - want) < 1e-3


def test_mean_is_that_of_codes():
  templates = random_codes(5)
  got = oc.mean(templates)
  assert got.dtype == np.float32
  np.testing.assert_allclose(got, templates.mean(0) / 127, atol=1e-6)
  # One palm less itself is nothing, and like none.
  score = oc.scores(
    np.repeat(templates[:1, None], 5, 1),
    templates[:1],
    oc.FINE,
    mean=oc.mean(templates[:1]),
  )
  np.testing.assert_allclose(score, 0, atol=1e-5)


def test_flat_images_are_like_none(drawn):
  images = np.stack([np.full((64, 64, 3), 90, np.uint8), cut(drawn[0, 0])])
  assert not oc.templates(images[:1], oc.FINE).any()
  probes, templates = oc.probes(images, oc.FINE), oc.templates(images, oc.FINE)
  scores = oc.scores(probes, templates, oc.FINE)
  np.testing.assert_allclose(scores, [[0, 0], [0, 1]], atol=2e-5)
  scores = oc.scores(probes, templates, oc.FINE, mean=oc.mean(templates))
  np.testing.assert_allclose(scores, [[0, 0], [0, 1]], atol=2e-5)


def test_a_nearly_flat_image_has_finite_scores(drawn):
  images = np.stack([np.full((64, 64, 3), 90, np.uint8), cut(drawn[0, 0])])
  images[0, 30, 30] += 1
  probes, templates = oc.probes(images, oc.FINE), oc.templates(images, oc.FINE)
  scores = oc.scores(probes, templates, oc.FINE)
  assert np.isfinite(scores).all()
  assert scores[0, 1] < 0.5


def test_large_images_are_coded_as_small_ones(drawn):
  small = ndimage.gaussian_filter(cut(drawn[:1, 0]), (0, 2, 2, 0))
  large = small.repeat(2, axis=1).repeat(2, axis=2)
  a, b = (oc.templates(x, oc.WIDE6) for x in (small, large))
  assert own_score(a / 127, b[0] / 127, 4) > 0.95


@pytest.mark.parametrize(
  'images, message',
  [
    (np.zeros((0, 64, 64, 3), np.uint8), 'images of shape .0, 64, 64, 3.'),
    (np.zeros((64, 64, 3), np.uint8), 'images of shape'),
    (np.zeros((1, 0, 0, 3), np.uint8), 'images of shape'),
    (np.uint8(3), 'images of shape'),
    (np.zeros((1, 64, 48, 3), np.uint8), 'images of shape'),
    (np.zeros((1, 64, 64, 1), np.uint8), 'images of shape'),
    (np.zeros((1, 64, 64, 3), np.float32), 'images are float32: want uint8'),
  ],
)
def test_other_images_are_refused(images, message):
  for code in (oc.templates, oc.probes):
    with pytest.raises(ValueError, match=f'^{message}[^\n]*$'):
      code(images, oc.FINE)


def test_other_codes_are_refused():
  probes, gallery = random_codes(1, 5), random_codes(2)
  for p, g, mean, message in (
    (probes[:0], gallery, None, 'probes of shape'),
    (probes, gallery[:0], None, 'gallery of shape'),
    (probes[:, :3], gallery, None, 'probes of shape'),
    (gallery, gallery, None, 'probes of shape'),
    (probes, gallery / 127, None, 'gallery are float64: want int8'),
    (probes, gallery, np.float32([0]), 'a mean of shape .1,.: want finite'),
    (probes, gallery, np.full((32, 32, 2), np.nan), 'a mean of shape'),
  ):
    with pytest.raises(ValueError, match=f'^{message}[^\n]*$'):
      oc.scores(p, g, oc.FINE, mean=mean)
  turned = random_codes(2, 5)
  for p, g, mean, message in (
    (turned[:0], turned, None, 'probes of shape'),
    (turned, gallery, None, 'gallery of shape'),
    (turned, turned / 127, None, 'gallery are float64: want int8'),
    (turned, turned, np.full((32, 32, 2), np.nan), 'a mean of shape'),
  ):
    with pytest.raises(ValueError, match=f'^{message}[^\n]*$'):
      oc.two_way_scores(p, g, oc.FINE, mean=mean)
  with pytest.raises(ValueError, match='templates of shape'):
    oc.mean(gallery[:0])
