"""What is counted of detectors whose findings are known."""

import types

import numpy as np
import pytest

from palmjax.recipes.gesture import scores as gesture_scores
from palmjax.recipes.shared import hand_images

CLASSES = ('fist', 'five')
_PALM_FRAME = np.array([[4.0, 4.0], [14.0, 4.0], [9.0, 27.0]])


def _config():
  evaluation = types.SimpleNamespace(resamples=50, score=0.3)
  return types.SimpleNamespace(evaluation=evaluation, seed=0)


def _arrays(count=8):
  """A hand of class i % 2 in each image but the last, which shows none."""
  valid = (np.arange(count) < count - 1)[:, None]
  boxes = np.where(valid[..., None], [2.0, 2.0, 20.0, 30.0], 0.0)
  return {
    'image': np.zeros((count, 32, 32, 3), np.uint8),
    'boxes': boxes.astype(np.float32),
    'classes': (np.arange(count) % 2)[:, None].astype(np.int32),
    'valid': valid,
    'points': np.where(valid[..., None, None], _PALM_FRAME, 0.0),
    'framed': valid,
    # The backs of the first three.
    'facing': valid & (np.arange(count) > 2)[:, None],
  }


def _look(arrays, *, score=0.9, relabel=lambda k: k, move=0.0):
  """Finds the hands, and in the image without one some at score 0.1."""
  detections = {
    'boxes': np.array([[[2.0, 2, 20, 30]]] * len(arrays['valid'])),
    'scores': np.where(arrays['valid'], score, 0.1),
    'classes': relabel(arrays['classes']),
    'points': np.array(
      [[np.add(_PALM_FRAME, [0.0, move])]] * len(arrays['valid'])
    ),
    'facing': np.ones(arrays['valid'].shape),
  }
  return types.SimpleNamespace(
    detect=lambda images: detections,
    classes=CLASSES,
    image_size=32,
    num_params=7,
  )


def _measure(looks, tests):
  hands = hand_images.HandImages({}, tests, CLASSES, (), '')
  scores = gesture_scores.score(_config(), hands, looks)
  return gesture_scores.models(_config(), scores, looks)


def test_a_detector_that_is_right():
  arrays = _arrays()
  cells = _measure({'teacher1': _look(arrays)}, {'': arrays})['teacher1']
  for name in ('ap', 'ap50@any', 'ap@class=five', 'palm_frame@5%'):
    assert cells[name]['value'] == 1.0, name
  assert cells['fta'] == {'value': 0.0}
  assert cells['params'] == {'value': 7}
  assert 'ap - alone' not in cells


def test_classes_count_but_where_they_are_one():
  arrays = _arrays()
  look = _look(arrays, relabel=lambda k: 1 - k)
  cells = _measure({'teacher1': look}, {'': arrays})['teacher1']
  assert cells['ap']['value'] == 0.0
  assert cells['ap@any']['value'] == cells['ap50@any']['value'] == 1.0
  assert cells['palm_frame@5%']['value'] == 1.0


def test_only_images_with_hands_can_be_missed():
  arrays = _arrays()
  look = _look(arrays, score=0.29)
  cells = _measure({'teacher1': look}, {'': arrays})['teacher1']
  assert cells['fta'] == {'value': 1.0}
  # Order alone makes the average precision.
  assert cells['ap']['value'] == 1.0


@pytest.mark.parametrize('move, shares', [(0.9, (1, 1)), (1.9, (0, 1))])
def test_frames_of_palms_that_face_the_camera(move, shares):
  arrays = _arrays()
  # Of the hands that show their backs no palm frame is right, nor counted.
  arrays['points'][:3] += 10
  look = _look(arrays, move=move)
  cells = _measure({'teacher1': look}, {'': arrays})['teacher1']
  assert tuple(cells[f'palm_frame@{n}%']['value'] for n in (5, 10)) == shares


def test_gain_over_the_control_on_every_test():
  arrays, drawn = _arrays(), _arrays(12)
  wrong = _look(arrays, relabel=lambda k: 1 - k)

  def detect(images):
    of = arrays if len(images) == 8 else drawn
    return _look(of).detect(images)

  def detect_wrong(images):
    # Right on the second test.
    return wrong.detect(images) if len(images) == 8 else detect(images)

  looks = {
    'student_alone': types.SimpleNamespace(
      **{**vars(wrong), 'detect': detect_wrong}
    ),
    'student_both': types.SimpleNamespace(**{**vars(wrong), 'detect': detect}),
  }
  cells = _measure(looks, {'': arrays, ', drawn hands': drawn})
  assert set(cells) == {
    'student_alone',
    'student_both',
    'student_alone, drawn hands',
    'student_both, drawn hands',
  }
  gain = cells['student_both']['ap - alone']
  # All resamples of seven images agree; the rule of 3 says what that shows.
  low = pytest.approx(0.05 ** (1 / 7))
  assert gain == {'value': 1.0, 'low': low, 'high': 1.0}
  gain = cells['student_both, drawn hands']['ap - alone']
  assert gain == {'value': 0.0, 'low': 0.0, 'high': 0.0}
  assert not any(
    'ap - alone' in cells[f'student_alone{test}']
    for test in ('', ', drawn hands')
  )
