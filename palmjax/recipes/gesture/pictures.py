"""Test pictures in the report of the recipe `gesture`, with what was found."""

import numpy as np

from palmjax.images import roi
from palmjax.recipes.gesture import tables as gesture_tables
from palmjax.report import drawn_boxes, html

_CONTROL = 'student_alone'
_TRUTH = (255, 255, 255)
_COLORS = ((120, 180, 255), (255, 160, 90))
_TILES = 10


def hands(run, scores, student, test):
  """The first images of a test: true, by the control, by a student.

  Args:
    run: `hand_training.HandRun`.
    scores: {(model, suffix of the test): `gesture_scores.Scores`}.
    student: model that is shown beside the control.
    test: suffix of the test.

  Returns:
    `html.Grid`.
  """
  arrays, classes = run.hands.tests[test], run.hands.classes
  images = arrays['image'][:_TILES]
  least = run.config.evaluation.score
  groups = {
    'True': [
      _tile(image, _true(arrays, classes, i), _TRUTH)
      for i, image in enumerate(images)
    ]
  }
  # Points of a network that was shown none mean nothing.
  framed = run.hands.training['framed'].any()
  names = [name for name in (_CONTROL, student) if (name, test) in scores]
  for name, color in zip(dict.fromkeys(names), _COLORS, strict=False):
    detections = scores[name, test].detections
    groups[gesture_tables.NAMES[name]] = [
      _tile(image, _detected(detections, classes, i, least, framed), color)
      for i, image in enumerate(images)
    ]
  return html.Grid(
    f'Hands{test}',
    groups,
    f'The first images of the test, not chosen; boxes with a score of {least:g}'
    ' or more, and where there is none the best one. Dots: both valleys and '
    'the wrist of palms that face the camera; '
    'the square is the region that they define.',
    large=True,
  )


def _tile(image, shapes, color):
  return html.tile(
    drawn_boxes.draw(image, shapes, color=color),
    alt='Hands: ' + (', '.join(shape.label for shape in shapes) or 'none'),
  )


def _true(arrays, classes, i):
  palms = arrays['framed'][i] & arrays['facing'][i]
  return [
    _shape(
      arrays['boxes'][i, k],
      classes[arrays['classes'][i, k]],
      arrays['points'][i, k] if palms[k] else None,
    )
    for k in np.flatnonzero(arrays['valid'][i])
  ]


def _detected(detections, classes, i, least, framed):
  palms = framed & (detections['facing'][i] >= 0.5)
  return [
    _shape(
      detections['boxes'][i, k],
      f'{classes[detections["classes"][i, k]]} '
      f'{detections["scores"][i, k]:.2f}',
      detections['points'][i, k] if palms[k] else None,
    )
    # The best on top.
    for k in np.flatnonzero(
      detections['scores'][i] >= min(least, detections['scores'][i].max())
    )[::-1]
  ]


def _shape(box, label, points):
  if points is None:
    return drawn_boxes.Shape(box, label)
  return drawn_boxes.Shape(box, label, points, np.asarray(roi.corners(points)))
