"""Captures that come by themselves."""

import os
import sys
import types

import numpy as np
import pytest
from PIL import Image

from palmjax.edge.device import watch
from tests.edge import served


def test_files_come_once_and_the_oldest_first(tmp_path):
  for i, name in enumerate(['b.png', 'a.jpg', 'note.txt', 'c.PNG']):
    path = tmp_path / name
    if name == 'note.txt':
      path.write_text('no image')
    else:
      Image.fromarray(served.palm(i)).save(path)
    os.utime(path, (i, i))
  names = [path.name for path in watch.folder(tmp_path, once=True)]
  assert names == ['b.png', 'a.jpg', 'c.PNG']


def test_a_file_that_is_still_written_waits(tmp_path, monkeypatch):
  path = tmp_path / 'a.png'
  path.write_bytes(b'half')
  os.utime(path, (1000.0, 1000.0))
  now, pauses = [1000.2], []

  def sleep(seconds):
    pauses.append(seconds)
    now[0] += seconds

  monkeypatch.setattr(watch.time, 'time', lambda: now[0])
  monkeypatch.setattr(watch.time, 'sleep', sleep)
  assert [x.name for x in watch.folder(tmp_path, once=True)] == ['a.png']
  assert pauses == [0.5]


def test_a_file_of_a_later_day_does_not_wait(tmp_path, monkeypatch):
  """The clock was set back after the file had come."""
  path = tmp_path / 'a.png'
  path.write_bytes(b'whole')
  os.utime(path, (90_000.0, 90_000.0))
  monkeypatch.setattr(watch.time, 'time', lambda: 1000.0)
  monkeypatch.setattr(watch.time, 'sleep', lambda seconds: pytest.fail('waits'))
  assert [x.name for x in watch.folder(tmp_path, once=True)] == ['a.png']


def test_a_folder_that_is_not_there(tmp_path):
  with pytest.raises(ValueError, match='make it'):
    next(watch.folder(tmp_path / 'none'))


def fake_camera(pictures):
  class Capture:
    def __init__(self, number):
      self.pictures = iter(pictures)

    def read(self):
      picture = next(self.pictures, None)
      return picture is not None, picture

    def release(self):
      pass

  return types.SimpleNamespace(
    VideoCapture=Capture,
    COLOR_BGR2RGB=4,
    cvtColor=lambda picture, code: picture[..., ::-1],
  )


def test_palms_of_a_camera_are_square_and_rgb(monkeypatch):
  picture = np.zeros((40, 60, 3), np.uint8)
  picture[..., 0] = 200  # Blue, as OpenCV orders it.
  monkeypatch.setitem(sys.modules, 'cv2', fake_camera([picture]))
  monkeypatch.setattr(watch.time, 'sleep', lambda seconds: None)
  palms = watch.palms(0, 32)
  np.testing.assert_array_equal(
    next(palms), np.broadcast_to([0, 0, 200], (32, 32, 3))
  )
  with pytest.raises(ValueError, match='camera 0 gives no picture'):
    next(palms)


def test_pictures_without_a_hand_are_passed_over(monkeypatch):
  pictures = [np.zeros((40, 40, 3), np.uint8)] * 3
  monkeypatch.setitem(sys.modules, 'cv2', fake_camera(pictures))
  monkeypatch.setattr(watch.time, 'sleep', lambda seconds: None)
  with pytest.raises(ValueError, match='no picture'):
    list(watch.palms(0, 32, find=lambda image: []))


def test_without_opencv_it_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, 'cv2', None)
  with pytest.raises(ValueError, match='pip install opencv-python-headless'):
    next(watch.camera(0))
