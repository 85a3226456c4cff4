import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.data.palms import palms
from palmjax.images import preprocess

_GREY = np.array([0.299, 0.587, 0.114])


def _images(size=24, count=2, seed=0):
  generator = np.random.default_rng(seed)
  return jnp.asarray(
    generator.uniform(-1, 1, (count, size, size, 3)), jnp.float32
  )


def _make(**changes):
  return preprocess.Preprocess(**{'image_size': 24, **changes})


def test_no_contrast_and_rgb_leave_images_as_they_are():
  images = _images()
  prepared = _make(channels='rgb', contrast='none').apply(images)
  np.testing.assert_array_equal(prepared, images)


def test_grey_is_the_luma():
  images = _images()
  prepared = _make(contrast='none').apply(images)
  expected = np.asarray(images, np.float64) @ _GREY
  np.testing.assert_allclose(prepared[..., 0], expected, atol=2e-6)


@pytest.mark.parametrize('channels, count', [('grey', 1), ('rgb', 3)])
@pytest.mark.parametrize('contrast', ['local', 'none'])
@pytest.mark.parametrize('size', [16, 24, 40])
def test_shape_and_range(channels, count, contrast, size):
  stage = _make(channels=channels, contrast=contrast)
  prepared = stage.apply(_images(size))
  assert prepared.shape == (2, 24, 24, count) == (2, *stage.shape)
  assert prepared.dtype == jnp.float32
  limit = 3.0 if contrast == 'local' else 1.0
  assert np.abs(prepared).max() <= limit + 1e-6
  assert np.isfinite(prepared).all()


def test_resizing_is_antialiased():
  board = (np.indices((48, 48)).sum(axis=0) % 2 * 2 - 1)[None, ..., None]
  images = jnp.asarray(np.repeat(board, 3, axis=3), jnp.float32)
  prepared = _make(image_size=16, contrast='none').apply(images)
  # Along each side the triangle (1, 2, 3, 2, 1) / 9 leaves 1/9 of the board;
  # without it every third pixel would be picked: the board at full contrast.
  inner = np.abs(prepared[:, 1:-1, 1:-1])
  np.testing.assert_allclose(inner, 1 / 81, atol=1e-5)


def test_resizing_is_linear_interpolation():
  ramp = np.broadcast_to(
    np.linspace(-1, 1, 12)[None, None, :, None], (1, 12, 12, 3)
  )
  prepared = _make(contrast='none').apply(jnp.asarray(ramp, jnp.float32))
  position = (np.arange(24) + 0.5) / 2 - 0.5
  expected = np.interp(position, np.arange(12), np.linspace(-1, 1, 12))
  np.testing.assert_allclose(prepared[0, 7, :, 0], expected, atol=1e-6)


def _gaussian(image, sigma):
  """Blur of [H, W], reflected at the border, written out in NumPy."""
  radius = int(4 * sigma + 0.5)
  taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
  taps /= taps.sum()
  padded = np.pad(image, radius, mode='reflect')
  for axis in (0, 1):
    padded = np.apply_along_axis(
      lambda line: np.convolve(line, taps, 'valid'), axis, padded
    )
  return padded


def test_local_contrast_twin():
  stage = _make(contrast_sigma=0.1, contrast_floor=0.05, contrast_clip=1.5)
  images = _images()
  grey = np.asarray(images[0], np.float64) @ _GREY
  detail = grey - _gaussian(grey, 2.4)
  deviation = np.sqrt(_gaussian(detail**2, 4.8))
  expected = np.clip(detail / (deviation + 0.05), -1.5, 1.5)
  prepared = np.asarray(stage.apply(images))[0, ..., 0]
  np.testing.assert_allclose(prepared, expected, atol=1e-5)
  assert np.abs(prepared).max() == 1.5


def test_local_contrast_ignores_the_light():
  images = 0.4 * _images(48)
  stage = _make(image_size=48, contrast_floor=1e-4)
  plain = stage.apply(images)
  np.testing.assert_allclose(stage.apply(0.5 * images + 0.3), plain, atol=0.004)
  ramp = jnp.linspace(-0.2, 0.2, 48)[:, None, None]
  # An even gradient of light is gone where the border is far.
  np.testing.assert_allclose(
    stage.apply(images + ramp)[:, 14:-14], plain[:, 14:-14], atol=0.004
  )


def test_jit_vmap_and_one_compilation():
  stage = _make()
  images = _images(30, 4)
  function = jax.jit(chex.assert_max_traces(stage.apply, n=1))
  prepared = function(images)
  function(_images(30, 4, seed=1))
  np.testing.assert_allclose(prepared, stage.apply(images), atol=1e-4)
  single = jnp.concatenate([stage.apply(image[None]) for image in images])
  np.testing.assert_allclose(single, prepared, atol=1e-4)


def test_json_round_trip():
  stage = _make(channels='rgb', contrast='none', contrast_clip=2.5)
  values = json.loads(json.dumps(stage.to_json()))
  assert preprocess.Preprocess.from_json(values) == stage
  assert values['value_range'] == [-1.0, 1.0]


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'image_size': 4}, 'image_size=4'),
    ({'channels': 'gray'}, "channels='gray': choose one of"),
    ({'contrast': 'global'}, "contrast='global': choose one of"),
    ({'value_range': [0.0, 1.0]}, 'value_range='),
    ({'colour': 1}, "'colour' is unknown to this version"),
  ],
)
def test_impossible_json(changes, message):
  with pytest.raises(ValueError, match=message) as caught:
    preprocess.Preprocess.from_json({**_make().to_json(), **changes})
  assert '\n' not in str(caught.value)


def test_json_without_a_key():
  values = _make().to_json()
  del values['metric']
  with pytest.raises(ValueError, match=r"^'metric' is missing$"):
    preprocess.Preprocess.from_json(values)


def test_crease_images_show_lines_and_neither_light_nor_tone():
  """A dark line under a steep gradient of light comes out flat and dark."""
  ramp = np.linspace(60, 200, 48)[None, :] * np.ones((48, 1))
  ramp[20:23] *= 0.85
  photo = np.repeat(ramp[None, ..., None], 3, -1).round().astype(np.uint8)
  lines = np.asarray(preprocess.crease_images(photo))[0].astype(int)
  assert lines.shape == (48, 48, 3)
  assert np.ptp(lines, axis=-1).max() == 0
  inside = lines[:, 8:40, 0]
  assert (inside[21] < 80).all()
  assert np.abs(inside[:10] - 127).max() < 30
  # From left to right the line of the photograph doubles its depth with the
  # light; that of the picture follows far less.
  shown = 127 - inside[21]
  depth = ramp[10, 8:40] - ramp[21, 8:40]
  assert depth[-1] > 2 * depth[0]
  assert shown.max() < 1.5 * shown.min()


@pytest.mark.slow
def test_a_network_takes_a_crease_image_much_like_its_photograph():
  photos = np.asarray(
    palms.draw_batch(
      jax.random.key(0), np.arange(4), np.zeros(4, int), size=32, difficulty=0.0
    )
  )
  spec = preprocess.Preprocess(image_size=32)
  inputs = [
    np.asarray(spec.apply(np.asarray(x, np.float32) / 127.5 - 1))
    for x in (photos, preprocess.crease_images(photos))
  ]
  for a, b in zip(*inputs, strict=True):
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.8
