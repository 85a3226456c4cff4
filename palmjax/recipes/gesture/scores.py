"""Measures the detectors of the recipe `gesture`."""

from typing import NamedTuple

import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.detection import average_precision, box_matching, palm_frames
from palmjax.networks import palm_frame as palm_frame_networks

_GAIN = 'student_both'
_CONTROL = 'student_alone'


class Scores(NamedTuple):
  """Matches, errors and detections of a detector on a set of images.

  Attributes:
    matches: by class.
    any: the same, all classes as one.
    valley_errors: list of `palm_frames.errors`, one array for each image.
    read: the same of the palm frames that a reader corrected, or None.
    missed: bool [N], a hand is there and none was found.
    hands: images with a hand.
    detections: what `networks.hand.HandDetector.detect` returned.
  """

  matches: box_matching.Matches
  any: box_matching.Matches
  valley_errors: list[np.ndarray]
  read: list[np.ndarray] | None
  missed: np.ndarray
  hands: int
  detections: dict[str, np.ndarray]


def score(config, hands, looks, reader=None):
  """Runs every detector on every test.

  Args:
    config: of configs/gesture.py.
    hands: `hand_images.HandImages`.
    looks: {model: `networks.hand.HandDetector`}.
    reader: `networks.palm_frame.PalmFrameReader`, if one was trained.

  Returns:
    {(model, suffix of the test): `Scores`}.
  """
  return {
    (name, suffix): _score(config, hands.classes, test, look.detect, reader)
    for name, look in looks.items()
    for suffix, test in hands.tests.items()
  }


def _score(config, classes, test, detect, reader):
  detections = detect(test['image'])
  truths = [
    (boxes[valid], labels[valid])
    for boxes, labels, valid in zip(
      test['boxes'], test['classes'], test['valid'], strict=True
    )
  ]
  per_image = list(
    zip(
      detections['boxes'],
      detections['scores'],
      detections['classes'],
      strict=True,
    )
  )
  sure = detections['scores'] >= config.evaluation.score
  return Scores(
    matches=box_matching.match(truths, per_image, names=classes),
    any=box_matching.match(truths, per_image, names=()),
    valley_errors=_valley_errors(
      test, detections['boxes'], detections['points'], sure
    ),
    read=(
      _valley_errors(
        test, detections['boxes'], _read(reader, test, detections), sure
      )
      if reader
      else None
    ),
    missed=np.array(
      [
        palm_frames.missed(boxes, one[:2], score=config.evaluation.score)
        for (boxes, _), one in zip(truths, per_image, strict=True)
      ]
    ),
    hands=sum(bool(len(boxes)) for boxes, _ in truths),
    detections=detections,
  )


def _valley_errors(test, boxes, points, sure):
  """`palm_frames.errors` of each image, of what the detector is `sure` of."""
  framed = test['framed'] & test['facing'] & test['valid']
  return [
    palm_frames.errors((true[mask], palm_frame[mask]), (mine[kept], read[kept]))
    for true, palm_frame, mask, mine, read, kept in zip(
      test['boxes'], test['points'], framed, boxes, points, sure, strict=True
    )
  ]


def _read(reader, test, detections):
  """The palm frames found, each corrected where the test knows one."""
  points = np.array(detections['points'], np.float64)
  framed = test['framed'] & test['facing'] & test['valid']
  for i in np.flatnonzero(framed.any(axis=1)):
    overlap = box_matching.iou(
      test['boxes'][i][framed[i]][:, None], detections['boxes'][i][None]
    )
    # Those that `palm_frames.errors` may take.
    for k in np.flatnonzero((overlap >= 0.5).any(axis=0)):
      read = palm_frame_networks.correct(reader, test['image'][i], points[i, k])
      if read is not None:
        points[i, k], _ = read
  return points


def models(config, scores, looks):
  """Metrics of each model for metrics.json, plain values."""
  resampling = bootstrap.Resampling(
    draws=config.evaluation.resamples, seed=config.seed
  )
  result = {}
  for (name, suffix), model_scores in scores.items():
    rates = average_precision.rates(model_scores.matches, resampling=resampling)
    anything = average_precision.rates(model_scores.any, resampling=resampling)
    result[name + suffix] = {
      **rates,
      'ap@any': anything['ap'],
      'ap50@any': anything['ap50'],
      **palm_frames.rates(model_scores.valley_errors, resampling=resampling),
      **(
        {
          f'{key}@read': rate
          for key, rate in palm_frames.rates(
            model_scores.read, resampling=resampling
          ).items()
        }
        if model_scores.read is not None
        else {}
      ),
      'fta': {
        'value': float(model_scores.missed.sum() / max(model_scores.hands, 1))
      },
      'params': {'value': looks[name].num_params},
    }
  for suffix in {suffix for _, suffix in scores}:
    pair = [scores.get((name, suffix)) for name in (_GAIN, _CONTROL)]
    if None not in pair:
      result[_GAIN + suffix]['ap - alone'] = average_precision.difference(
        *(model_scores.matches for model_scores in pair), resampling=resampling
      )
  return result
