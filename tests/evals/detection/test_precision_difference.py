"""The difference of two detectors on the same images."""

import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.detection import average_precision, box_matching
from tests.evals.detection import small_sets


def without_ties(detections):
  """Scores that no two have, so that copies of an image cannot mix."""
  return [
    (boxes, scores - 1e-4 * i - 1e-7 * np.arange(len(scores)), labels)
    for i, (boxes, scores, labels) in enumerate(detections)
  ]


@pytest.mark.parametrize('metric', ['ap', 'ap50', 'ap@class=two'])
def test_difference_is_that_of_repeated_images(metric):
  truths, detections = small_sets.random_set(3)
  detections = without_ties(detections)
  # The other detector lacks every third object and finds the first twice.
  other = [
    tuple(np.delete(part, np.s_[2::3], axis=0) for part in image)
    for image in detections
  ]
  matches, baseline = (
    box_matching.match(truths, results, names=small_sets.NAMES)
    for results in (detections, other)
  )
  difference = average_precision.difference(
    matches,
    baseline,
    metric=metric,
    resampling=bootstrap.Resampling(draws=25, seed=5),
  )

  def value(results, rows):
    rates = average_precision.evaluate(
      [truths[i] for i in rows],
      [results[i] for i in rows],
      names=small_sets.NAMES,
      resampling=bootstrap.Resampling(draws=1),
    )
    return rates[metric]['value']

  draws = bootstrap.draw(len(truths), bootstrap.Resampling(draws=25, seed=5))
  gains = []
  for row in [np.ones_like(draws[0]), *draws]:
    rows = np.repeat(np.arange(len(truths)), row)
    gains.append(value(detections, rows) - value(other, rows))
  assert difference['value'] == pytest.approx(gains[0], abs=1e-12)
  # The tails of 24 images and 25 draws hold less than one draw.
  assert difference['low'] == pytest.approx(min(gains), abs=1e-12)
  assert difference['high'] == pytest.approx(max(gains), abs=1e-12)
  assert min(gains) < gains[0] < max(gains)


def test_difference_is_paired():
  truths, detections = small_sets.random_set(4)
  matches = box_matching.match(truths, detections, names=small_sets.NAMES)
  assert average_precision.difference(
    matches, matches, resampling=bootstrap.Resampling(draws=40)
  ) == {
    'value': 0.0,
    'low': 0.0,
    'high': 0.0,
  }
  other = [
    tuple(part[: len(part) // 2] for part in image) for image in detections
  ]
  baseline = box_matching.match(truths, other, names=small_sets.NAMES)
  forth, back = (
    average_precision.difference(
      *pair, resampling=bootstrap.Resampling(draws=101)
    )
    for pair in ((matches, baseline), (baseline, matches))
  )
  assert forth['value'] == -back['value'] > 0
  # Of the same images: less than if each had had images of its own.
  each = [
    average_precision.rates(one, resampling=bootstrap.Resampling(draws=101))[
      'ap'
    ]
    for one in (matches, baseline)
  ]
  apart = np.hypot(*(one['high'] - one['low'] for one in each))
  assert forth['high'] - forth['low'] < apart


def test_difference_of_other_images_or_none():
  truths, detections = small_sets.random_set(4)
  matches = box_matching.match(truths, detections, names=small_sets.NAMES)
  fewer = box_matching.match(
    truths[:-1], detections[:-1], names=small_sets.NAMES
  )
  with pytest.raises(ValueError, match='different images'):
    average_precision.difference(matches, fewer)
  # No true box is of the last class.
  assert average_precision.difference(
    matches, matches, metric='ap@class=four'
  ) == {
    'value': None,
    'reason': 'not measurable with 0 boxes',
  }


@pytest.mark.parametrize('count', [1, 4])
def test_few_images_tell_no_difference(count):
  truths, detections = small_sets.one_class(*[(1, [0.9], [])] * count)
  matches = box_matching.match(truths, detections, names=('a',))
  gain = average_precision.difference(
    matches, matches, resampling=bootstrap.Resampling(draws=20)
  )
  assert gain == {'value': 0.0, 'low': -1.0, 'high': 1.0}
