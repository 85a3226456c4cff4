"""Which boxes the report of the recipe `gesture` draws."""

import types

import numpy as np
import pytest

from configs import gesture as gesture_config
from palmjax.recipes.gesture import pictures as gesture_pictures

CLASSES = ('fist', 'five')


def shown(*scores, framed=True):
  """The alternative text of what a student found in the one test image."""
  count = len(scores)
  config = gesture_config.get_config('smoke')
  config.evaluation.score = 0.3
  boxes = np.tile(np.float32([4, 4, 20, 24]), (1, count, 1))
  points = np.tile(np.float32([[8, 8], [16, 8], [12, 20]]), (1, count, 1, 1))
  test = {
    'image': np.zeros((1, 32, 32, 3), np.uint8),
    'boxes': boxes,
    'classes': np.ones((1, count), int),
    'valid': np.arange(count)[None] < 1,
    'points': points,
    'framed': np.full((1, count), framed),
    'facing': np.ones((1, count), bool),
  }
  detections = {
    'boxes': boxes,
    'classes': np.arange(count)[None] % 2,
    'scores': np.array([scores]),
    'points': points,
    'facing': np.ones((1, count)),
  }
  run = types.SimpleNamespace(
    config=config,
    hands=types.SimpleNamespace(
      tests={'': test},
      classes=CLASSES,
      training={'framed': np.array([[framed]])},
    ),
  )
  grid = gesture_pictures.hands(
    run,
    {('student_both', ''): types.SimpleNamespace(detections=detections)},
    'student_both',
    '',
  )
  true, student = grid.groups.values()
  assert [tile.alt for tile in true] == ['Hands: five']
  (tile,) = student
  return tile.alt


@pytest.mark.parametrize('framed', [True, False])
def test_boxes_of_the_score_asked_for(framed):
  # The best on top: drawn last.
  assert shown(0.9, 0.3, 0.29, framed=framed) == 'Hands: five 0.30, fist 0.90'


def test_where_there_is_none_the_best_is_shown():
  assert shown(0.04, 0.03, 0.0) == 'Hands: fist 0.04'
