"""Frames corrected by a stand-in that knows them, and what is refused."""

import functools
import types

import jax
import numpy as np
import pytest

from palmjax.images import palm_frame
from palmjax.models import palm_frame as palm_frame_model
from palmjax.networks import export
from palmjax.networks import palm_frame as palm_frame_networks
from tests import filled_variables

SIZE = 64
# A palm frame with d = 1 about (0, 0).
PALM_FRAME = np.array([[-0.5, -0.7], [0.5, -0.7], [0.1, 1.6]])


def paint(side):
  """Red tells x, green y."""
  y, x = np.mgrid[:side, :side] + 0.5
  return np.stack([x, y, np.full_like(x, side)], axis=-1) * 255 / side


def place(*, angle, mirror, d=40.0, centre=(150.0, 160.0)):
  c, s = np.cos(angle), np.sin(angle)
  points = PALM_FRAME * [-1 if mirror else 1, 1]
  return d * points @ np.array([[c, s], [-s, c]]) + centre


def knowing(points, shape, *, moved=0.0):
  """(`Reader`, its transforms): it reads the points, `moved` along x."""
  transforms = []

  def read(images):
    image = images[0].astype(float)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    seen = (image[..., 2] > 250) & (image > 4).all(axis=-1)
    seen &= (image[..., :2] < 251).all(axis=-1)
    rows = np.stack([x, y, np.ones_like(x)], axis=-1)[seen]
    colours = (image[seen][:, :2] + 0.5) * shape / 255
    transform = np.linalg.lstsq(rows, colours, rcond=None)[0].T
    transforms.append(transform)
    in_crop = (
      points + np.array([moved, 0.0]) - transform[:, 2]
    ) @ np.linalg.inv(transform[:, :2]).T
    in_crop = in_crop / SIZE - 0.5
    if in_crop[0, 0] > in_crop[1, 0]:
      in_crop = in_crop[[1, 0, 2]]
    return in_crop[None], np.array([0.8])

  return types.SimpleNamespace(read=read, image_size=SIZE), transforms


@pytest.mark.parametrize('mirror', [False, True])
@pytest.mark.parametrize('angle', [0.0, 1.0, 2.5, -2.0])
def test_palm_frames_are_corrected_at_any_rotation(angle, mirror):
  true = place(angle=angle, mirror=mirror)
  off = place(angle=angle + 0.3, mirror=mirror, d=46.0, centre=(156, 154))
  reader, transforms = knowing(true, 300)
  image = np.round(paint(300)).astype(np.uint8)
  points, facing = palm_frame_networks.correct(reader, image, off)
  # The valley of the index finger is still the first one.
  np.testing.assert_allclose(points, true, atol=2.0)
  assert facing == 0.8
  assert len(transforms) == 2
  # The second crop is that of the true palm frame: fingers up, of its size.
  c, s = np.cos(angle), np.sin(angle)
  scale = palm_frame.SIDE * 40 / SIZE
  np.testing.assert_allclose(
    transforms[1][:, :2] / scale, [[c, -s], [s, c]], atol=0.05
  )


def test_what_is_seen_far_away_is_something_else():
  true = place(angle=0.4, mirror=False)
  image = np.round(paint(300)).astype(np.uint8)
  for moved, near in ((30.0, True), (50.0, False)):
    reader, _ = knowing(true, 300, moved=moved)
    assert (
      palm_frame_networks.correct(reader, image, true) is not None
    ) == near


@pytest.mark.parametrize(
  'points', [np.full((3, 2), 20.0), np.full((3, 2), np.nan)]
)
def test_a_frame_without_direction_is_not_read(points):
  image = np.zeros((50, 50, 3), np.uint8)
  assert palm_frame_networks.correct(None, image, points) is None


@functools.cache
def untrained():
  """Variables of a small reader."""
  model = palm_frame_model.PalmFrameRegressor(width=0.25)
  shapes = jax.eval_shape(
    lambda key: model.init(key, np.zeros((1, 16, 16, 3)), train=False),
    jax.random.key(0),
  )
  return filled_variables.fill(shapes)


def save(directory, **changes):
  export.save(
    directory,
    variables=untrained(),
    model={'name': 'frame_reader', 'width': 0.25, 'dtype': 'float32'}
    | changes.get('model', {}),
    preprocess=palm_frame_networks.PalmFrameInput(image_size=16).to_json()
    | changes.get('preprocess', {}),
  )


def test_an_export_is_loaded(tmp_path):
  save(tmp_path)
  reader = palm_frame_networks.load(tmp_path)
  assert reader.image_size == 16
  points, facing = reader.read(np.zeros((1, 16, 16, 3), np.uint8))
  assert points.shape == (1, 3, 2)
  assert 0 <= facing[0] <= 1


@pytest.mark.parametrize(
  'changes, message',
  [
    (
      {'model': {'name': 'detector'}},
      'holds a hand detector; give the export of a reader of palm frames',
    ),
    ({'model': {'width': 1.0}}, 'does not fit the network'),
    (
      {'preprocess': {'view_side': 2.0}},
      'view_side=2.0: this version makes crops of 3.2',
    ),
    (
      {'preprocess': {'view_centre': 0.0}},
      'view_centre=0.0: this version makes crops of 0.7',
    ),
  ],
)
def test_another_export_is_refused(tmp_path, changes, message):
  save(tmp_path, **changes)
  with pytest.raises(ValueError, match=message):
    palm_frame_networks.load(tmp_path)
