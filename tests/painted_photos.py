"""Photos of coloured rectangles, a detector that finds them, and detect."""

import numpy as np
import pytest
from PIL import Image

from palmjax import detect
from palmjax.inference import finder


def find(photo):
  """Stands in for a detector: every dark red thing is the palm of a left hand.

  Green ones are its back, blue ones fists; the larger the surer.
  """
  hands = []
  dark = photo.min(axis=-1) < 100
  for channel, (gesture, facing) in enumerate(
    [('five', 0.9), ('four', 0.2), ('fist', 0.7)]
  ):
    rows, columns = np.nonzero(dark & (photo[..., channel] > 150))
    if len(rows):
      x0, x1 = columns.min(), columns.max() + 1
      y0, y1 = rows.min(), rows.max() + 1
      points = [[0.3, 0.4], [0.7, 0.4], [0.5, 1.0]] * np.array(
        [x1 - x0, y1 - y0]
      ) + [x0, y0]
      hands.append(
        finder.Hand(
          np.array([x0, y0, x1, y1], float),
          gesture,
          float(0.3 + 0.6 * len(rows) / photo[..., 0].size),
          points,
          facing,
        )
      )
  return sorted(hands, key=lambda hand: -hand.score)


def paint(*things, shape=(60, 90)):
  """White with coloured rectangles: (channel, x0, y0, x1, y1)."""
  photo = np.full((*shape, 3), 255, np.uint8)
  for channel, x0, y0, x1, y1 in things:
    photo[y0:y1, x0:x1] = 20
    photo[y0:y1, x0:x1, channel] = 200
  return photo


PALM = (0, 10, 10, 40, 50)


@pytest.fixture
def save(tmp_path):
  """save(name, photo): writes a photo, of a palm unless stated; its path."""

  def save(name, photo=None, **options):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if photo is None:
      photo = paint(PALM)
    Image.fromarray(photo).save(path, **options)
    return path

  return save


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
  """Runs the command; returns (code, lines, complaints)."""
  monkeypatch.setattr(finder, 'load', lambda *_, **__: find)

  def run(*arguments, out=tmp_path / 'out'):
    code = detect.main([*map(str, arguments), f'--out={out}'])
    return code, *(text.splitlines() for text in capsys.readouterr())

  return run
