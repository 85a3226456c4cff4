"""What the recipe `gesture` measures of its detectors."""

from typing import NamedTuple

import numpy as np

from palmjax.evals import box_matching, detection, hand_frames

_GAIN = 'student_both'
_CONTROL = 'student_alone'


class Scores(NamedTuple):
  """What a detector showed on a set of images.

  Attributes:
    matches: by class.
    any: the same, all classes as one.
    frames: list of `hand_frames.errors`, one array for each image.
    missed: bool [N], a hand is there and none was found.
    hands: images with a hand.
    found: what `hand_network.Network.detect` returned.
  """

  matches: box_matching.Matches
  any: box_matching.Matches
  frames: list[np.ndarray]
  missed: np.ndarray
  hands: int
  found: dict[str, np.ndarray]


def score(config, hands, looks):
  """Runs every detector on every test.

  Args:
    config: of configs/gesture.py.
    hands: `hand_images.HandImages`.
    looks: {model: `hand_network.Network`}.

  Returns:
    {(model, suffix of the test): `Scores`}.
  """
  return {
    (name, suffix): _score(config, hands.classes, test, look.detect)
    for name, look in looks.items()
    for suffix, test in hands.tests.items()
  }


def _score(config, classes, test, detect):
  found = detect(test['image'])
  truths = [
    (boxes[valid], labels[valid])
    for boxes, labels, valid in zip(
      test['boxes'], test['classes'], test['valid'], strict=True
    )
  ]
  detections = list(
    zip(found['boxes'], found['scores'], found['classes'], strict=True)
  )
  framed = test['framed'] & test['facing'] & test['valid']
  return Scores(
    matches=box_matching.match(truths, detections, names=classes),
    any=box_matching.match(truths, detections, names=()),
    frames=[
      hand_frames.errors(
        (boxes[mask], points[mask]), (mine[sure], frames[sure])
      )
      for boxes, points, mask, mine, frames, sure in zip(
        test['boxes'],
        test['points'],
        framed,
        found['boxes'],
        found['points'],
        found['scores'] >= config.evaluation.score,
        strict=True,
      )
    ],
    missed=np.array(
      [
        hand_frames.missed(boxes, one[:2], score=config.evaluation.score)
        for (boxes, _), one in zip(truths, detections, strict=True)
      ]
    ),
    hands=sum(bool(len(boxes)) for boxes, _ in truths),
    found=found,
  )


def models(config, scores, looks):
  """What metrics.json holds of each model: plain values."""
  options = {
    'num_bootstrap': config.evaluation.resamples,
    'seed': config.seed,
  }
  result = {}
  for (name, suffix), found in scores.items():
    rates = detection.rates(found.matches, **options)
    anything = detection.rates(found.any, **options)
    result[name + suffix] = {
      **rates,
      'ap@any': anything['ap'],
      'ap50@any': anything['ap50'],
      **hand_frames.rates(found.frames, **options),
      'fta': {'value': float(found.missed.sum() / max(found.hands, 1))},
      'params': {'value': looks[name].params},
    }
  for suffix in {suffix for _, suffix in scores}:
    pair = [scores.get((name, suffix)) for name in (_GAIN, _CONTROL)]
    if None not in pair:
      result[_GAIN + suffix]['ap - alone'] = detection.difference(
        *(found.matches for found in pair), **options
      )
  return result
