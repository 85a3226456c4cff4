"""Pictures whose colours tell x and y: what a crop shows where."""

import functools

import chex
import jax
import numpy as np
import pytest
from scipy import ndimage

from palmjax.data.augment import palm_frame_crops
from palmjax.images import palm_frame

_SIDE, _SIZE, _COUNT = 96, 32, 32
_C, _S = palm_frame.CENTRE, palm_frame.SIDE
# The palm frame of a left palm with d = 1: a wrist that crops show whole.
_PALM_FRAME = np.array([[-0.5, 0.0], [0.5, 0.0], [0.3, 1.7]])
_MOVED = {'angle': 10.0, 'scale': 0.1, 'shift': 0.08}
_LIGHT = {
  'saturation': 0.3,
  'hue': 10.0,
  'grey': 0.2,
  'brightness': 0.1,
  'contrast': 0.2,
  'blur': 1.0,
  'noise': 0.05,
  'erase': 0.5,
}
_OFF = dict.fromkeys([*_MOVED, *_LIGHT], 0.0)
# Compiled faster; runs are short.
quick_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': '0'}
)


def _place(*, angle, d, centre, left):
  """A palm frame in pixels: turned, enlarged; `centre` of its crop."""
  c, s = np.cos(angle), np.sin(angle)
  points = _PALM_FRAME * [1 if left else -1, 1] - [0, _C]
  return d * points @ np.array([[c, s], [-s, c]]) + centre


def _paint(shift=0):
  """Red tells x, green y; uint8 [S, S, 3]."""
  y, x = (np.mgrid[:_SIDE, :_SIDE] + 0.5) * 255 / _SIDE
  return np.round(np.stack([x, y, 0 * x + shift], -1)).astype(np.uint8)


def _batch(seed=0, count=_COUNT):
  """Three rows an image: two framed, one not. One palm and one back."""
  generator = np.random.default_rng(seed)
  points = np.zeros((count, 3, 3, 2))
  for i, m in np.ndindex(count, 2):
    points[i, m] = _place(
      angle=generator.uniform(-np.pi, np.pi),
      d=generator.uniform(10, 14),
      centre=generator.uniform(42, 54, 2),
      left=generator.random() < 0.5,
    )
  framed = np.tile([True, True, False], (count, 1))
  return {
    'image': np.stack([_paint(40)] * count),
    'points': points.astype(np.float32),
    'framed': framed,
    'facing': np.tile([True, False, True], (count, 1)),
  }


@functools.cache
def _jitted(**strengths):
  crops = palm_frame_crops.make_crops(**{'size': _SIZE, **_OFF, **strengths})
  # Keys and batches do not make it compile again.
  return quick_jit(chex.assert_max_traces(crops, n=1))


def _crops(batch, seed=0, **strengths):
  return jax.device_get(_jitted(**strengths)(jax.random.key(seed), batch))


def _seen(crop):
  """The affine map from places in a crop to pixels of the image: [2, 3]."""
  place = (np.arange(_SIZE) + 0.5) / _SIZE - 0.5
  x, y = np.meshgrid(place, place)
  rows = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
  pixels = ((crop[..., :2] + 1) / 2 * _SIDE).reshape(-1, 2)
  inside = (crop[..., 2] > 40 / 127.5 - 1.01).ravel()
  return np.linalg.lstsq(rows[inside], pixels[inside], rcond=None)[0].T


def _read_at(crop, points):
  """Pixels of the image that the colours of a crop at points [K, 2] tell."""
  x, y = (points.T + 0.5) * _SIZE - 0.5
  colours = [
    ndimage.map_coordinates(crop[..., k], [y, x], order=1) for k in range(2)
  ]
  return (np.stack(colours, -1) + 1) / 2 * _SIDE


def _reference_transform(points):
  """The map of the crop, of one palm frame, in double precision."""
  first, second, wrist = np.asarray(points, np.float64)
  d = np.linalg.norm(second - first)
  down = np.array([first[1] - second[1], second[0] - first[0]]) / d
  middle = (first + second) / 2
  down *= np.sign((wrist - middle) @ down)
  matrix = np.eye(3)
  matrix[:2, 0] = _S * d * np.array([down[1], -down[0]])
  matrix[:2, 1] = _S * d * down
  matrix[:2, 2] = middle + _C * d * down
  return matrix


def test_transform_is_that_of_numpy():
  points = _batch()['points'][:, :2]
  got = jax.jit(palm_frame.transform)(points)
  assert got.shape == (_COUNT, 2, 3, 3)
  for i, m in np.ndindex(_COUNT, 2):
    want = _reference_transform(points[i, m])
    np.testing.assert_allclose(got[i, m], want, atol=1e-4)


def test_without_strengths_it_is_the_crop_or_its_mirror_image():
  batch = _batch()
  crops = _crops(batch)
  chex.assert_shape(crops['image'], (_COUNT, _SIZE, _SIZE, 3))
  valleys = np.array([[-0.5, -_C], [0.5, -_C]]) / _S
  mirrored, chosen = [], []
  for i, crop in enumerate(crops['image']):
    np.testing.assert_allclose(crops['points'][i, :2], valleys, atol=1e-6)
    matrix = _seen(crop)
    mirrored.append(np.linalg.det(matrix[:, :2]) < 0)
    flip = np.diag([-1.0 if mirrored[-1] else 1.0, 1, 1])
    gaps = [
      np.abs(_reference_transform(batch['points'][i, m])[:2] @ flip - matrix)
      for m in range(2)
    ]
    chosen.append(int(np.argmin([gap.max() for gap in gaps])))
    # Of 45 pixels; the colours are rounded.
    assert gaps[chosen[-1]].max() < 0.1
    assert crops['facing'][i] == (chosen[-1] == 0)
  assert crops['present'].all()
  # 32 throws of two coins.
  assert 8 <= sum(mirrored) <= 24
  assert 8 <= sum(chosen) <= 24
  assert set(zip(mirrored, chosen, strict=True)) == {
    (a, b) for a in (False, True) for b in (0, 1)
  }


def test_points_lie_where_the_picture_shows_them():
  batch = _batch()
  crops = _crops(batch, **_MOVED)
  orders = set()
  for i, (crop, points) in enumerate(
    zip(crops['image'], crops['points'], strict=True)
  ):
    assert points[0, 0] < points[1, 0]
    read = _read_at(crop, points)
    mirrored = np.linalg.det(_seen(crop)[:, :2]) < 0
    (true,) = (
      truth
      for truth, facing in zip(
        batch['points'][i, :2], (True, False), strict=True
      )
      if facing == crops['facing'][i]
    )
    # In unlike crops the valleys stand the other way round.
    gaps = [
      np.abs(read - true[order]).max() for order in ([0, 1, 2], [1, 0, 2])
    ]
    assert min(gaps) < 0.25 < 5 < max(gaps)
    side = np.linalg.det([true[1] - true[0], true[2] - true[0]])
    assert (gaps[0] < gaps[1]) == ((side > 0) != mirrored)
    orders.add((bool(gaps[0] < gaps[1]), bool(mirrored)))
  assert len(orders) == 4


def test_palm_frames_are_off_by_their_deviations():
  batch = _batch()
  points = np.concatenate(
    [_crops(batch, seed, **_MOVED)['points'] for seed in range(16)]
  )
  across = points[:, 1] - points[:, 0]
  angle = np.arctan2(across[:, 1], across[:, 0])
  size = -np.log(_S * np.linalg.norm(across, axis=-1))
  # The crop turns and grows about its own centre.
  c, s = np.cos(-angle), np.sin(-angle)
  middle = points[:, :2].mean(axis=1)
  turned = np.stack(
    [c * middle[:, 0] - s * middle[:, 1], s * middle[:, 0] + c * middle[:, 1]],
    -1,
  )
  shift = _S * np.exp(size)[:, None] * turned + [0, _C]
  # Of normal numbers none of which is beyond 2.5.
  deviation = 0.9546
  for values, strength in (
    (np.rad2deg(angle), _MOVED['angle']),
    (size, _MOVED['scale']),
    (shift[:, 0], _MOVED['shift']),
    (shift[:, 1], _MOVED['shift']),
  ):
    values = values / strength
    np.testing.assert_allclose(values.std(), deviation, rtol=0.1)
    # 512 draws: four times the deviation of their mean.
    assert abs(values.mean()) < 0.17
    assert 2.1 < np.abs(values).max() < 2.51


def test_images_without_a_framed_hand_are_not_present():
  batch = _batch()
  batch['framed'][::2] = False
  batch['points'][::2] = 7.0  # No palm frame has a direction.
  crops = _crops(batch, **_MOVED)
  np.testing.assert_array_equal(crops['present'], np.arange(_COUNT) % 2 == 1)
  assert not crops['facing'][::2].any()
  chex.assert_tree_all_finite(crops)
  # The others are as they were.
  full = _crops(_batch(), **_MOVED)
  np.testing.assert_array_equal(full['image'][1::2], crops['image'][1::2])


def test_hands_that_are_not_framed_are_never_chosen():
  batch = _batch()
  batch['points'] = np.roll(batch['points'], 1, axis=1)
  batch['framed'] = np.tile([False, False, True], (_COUNT, 1))
  batch['facing'] = batch['framed']
  crops = _crops(batch)
  assert crops['facing'].all()
  for i, crop in enumerate(crops['image']):
    middle = _seen(crop)[:, 2]
    want = _reference_transform(batch['points'][i, 2])[:2, 2]
    np.testing.assert_allclose(middle, want, atol=0.05)


def test_beyond_the_border_is_grey():
  """Of an upright hand whose crop has the border of the image in its middle."""
  batch = _batch()
  upright = _place(angle=0.0, d=12.0, centre=(0, 48), left=True)
  batch['points'][:] = upright
  crops = _crops(batch)['image']
  grey = (np.abs(crops) < 1e-6).all(axis=-1)
  assert (grey == grey[:, :1]).all()
  half = np.arange(_SIZE) < _SIZE // 2
  kinds = {tuple(row) for row in grey[:, 0]}
  assert kinds == {tuple(half), tuple(~half)}


def test_light_changes_pictures_and_no_point():
  batch = _batch()
  plain, lit = (_crops(batch, **_MOVED, **more) for more in ({}, _LIGHT))
  for name in ('points', 'facing', 'present'):
    np.testing.assert_array_equal(lit[name], plain[name])
  assert (lit['image'] != plain['image']).any(axis=(1, 2, 3)).all()
  assert np.abs(lit['image']).max() <= 1


def test_an_image_does_not_see_its_batch():
  strengths = {**_MOVED, **_LIGHT}
  batch, others = _batch(), _batch(seed=9)
  for name, value in others.items():
    value[2] = batch[name][2]
  a, b = _crops(batch, **strengths), _crops(others, **strengths)
  for name in a:
    np.testing.assert_array_equal(a[name][2], b[name][2])
  assert (a['image'][1] != b['image'][1]).any()
  # Nor its size; XLA may round differently, hence no exact equality.
  few = {name: value[:3] for name, value in batch.items()}
  crops = palm_frame_crops.make_crops(**{'size': _SIZE, **_OFF, **strengths})
  c = quick_jit(crops)(jax.random.key(0), few)
  np.testing.assert_allclose(c['points'], a['points'][:3], atol=1e-5)
  np.testing.assert_allclose(c['image'], a['image'][:3], atol=1e-3)
  other = _crops(batch, 1, **strengths)
  assert (other['points'] != a['points']).any(axis=(1, 2)).all()


@pytest.mark.parametrize(
  'name, value, message',
  [
    ('angle', -1.0, r'angle=-1\.0: give 0 or more'),
    ('scale', -0.1, r'scale=-0\.1: give 0 or more'),
    ('shift', -0.1, r'shift=-0\.1: give 0 or more'),
    ('hue', -1.0, r'hue=-1\.0: give 0 or more'),
    ('grey', 1.5, r'grey=1\.5: give a probability'),
    ('noise', -1.0, r'noise=-1\.0: give'),
    ('erase', 1.5, r'erase=1\.5: give'),
  ],
)
def test_impossible_strength(name, value, message):
  with pytest.raises(ValueError, match=f'^{message}'):
    palm_frame_crops.make_crops(**{'size': _SIZE, **_OFF, name: value})
