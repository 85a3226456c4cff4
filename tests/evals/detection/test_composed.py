"""A test of which each image has its worst attempt."""

import numpy as np
import pytest

from palmjax.evals.detection import (
  average_precision,
  box_matching,
  robustness,
)
from tests.evals.detection import small_sets


def match(truths, detections):
  return box_matching.match(truths, detections, names=small_sets.NAMES)


def stack(truths, attempts):
  """Image i under attempt a is number i·A + a."""
  return match(
    [truth for truth in truths for _ in attempts],
    [one for image in zip(*attempts, strict=True) for one in image],
  )


def changed(detections, seed):
  """Some detections get lost; scores stay few, so that many are equal."""
  generator = np.random.default_rng(seed)
  results = []
  for boxes, scores, labels in detections:
    kept = generator.random(len(boxes)) < 0.6
    scores = np.round(scores * generator.random(len(scores)), 1)
    results.append((boxes[kept], scores[kept], labels[kept]))
  return results


def ap50(matches):
  every = np.ones((1, matches.truths.shape[1]), int)
  return float(average_precision.ap50(matches, every)[0])


@pytest.fixture(scope='module')
def attempts():
  truths, clean = small_sets.random_set(3, num_images=12)
  return truths, [clean, *(changed(clean, seed) for seed in range(3))]


def test_recombined_matches_are_those_of_the_chosen_detections(attempts):
  truths, detections = attempts
  choice = np.random.default_rng(0).integers(0, 4, len(truths))
  recombined = robustness.recombine(stack(truths, detections), choice)
  expected = match(
    truths, [detections[a][i] for i, a in enumerate(choice.tolist())]
  )
  for name, array in expected._asdict().items():
    np.testing.assert_array_equal(getattr(recombined, name), array, name)


def test_no_swap_lowers_what_was_composed(attempts):
  truths, detections = attempts
  stacked = stack(truths, detections)
  alone = [
    ap50(robustness.recombine(stacked, np.full(len(truths), a)))
    for a in range(4)
  ]
  start = np.full(len(truths), int(np.argmin(alone)))
  choice = robustness.compose(stacked, start, range(4), passes=20)
  lowest = ap50(robustness.recombine(stacked, choice))
  assert lowest < min(alone) - 0.02
  for i in range(len(truths)):
    for a in range(4):
      swapped = choice.copy()
      swapped[i] = a
      assert ap50(robustness.recombine(stacked, swapped)) >= lowest - 1e-9


def test_attacks_that_each_hide_a_half_hide_all():
  """AP50 of one attack alone would be 0.5."""
  seen, lost = (1, [0.9], []), (1, [], [])
  truths, clean = small_sets.one_class(*[seen] * 6)
  first, second = (
    small_sets.one_class(*[pair[i % 2] for i in range(6)])[1]
    for pair in ((seen, lost), (lost, seen))
  )
  stacked = match_one(truths, [clean, first, second])
  pairs = [('clean', 0.0), ('a', 1.0), ('b', 2.0)]
  choices = robustness.compose_within(stacked, pairs, (1, 2, 4))
  values = [
    ap50(robustness.recombine(stacked, choice)) for choice in choices.values()
  ]
  assert values == [pytest.approx(0.5, abs=0.01), 0.0, 0.0]
  # What lies beyond a radius is not used within it.
  assert set(choices[1]) <= {0, 1}
  np.testing.assert_array_equal(choices[2], [2, 1] * 3)


def match_one(truths, attempts):
  """`stack` of one class."""
  return box_matching.match(
    [truth for truth in truths for _ in attempts],
    [one for image in zip(*attempts, strict=True) for one in image],
    names=('a',),
  )


def test_a_larger_radius_never_raises_the_precision(attempts):
  truths, detections = attempts
  stacked = stack(truths, detections)
  pairs = [('clean', 0.0), ('a', 1.0), ('b', 2.0), ('a', 4.0)]
  choices = robustness.compose_within(stacked, pairs, (1, 2, 4, 8))
  values = [
    ap50(robustness.recombine(stacked, choice)) for choice in choices.values()
  ]
  assert values == sorted(values, reverse=True)
  assert values[0] < ap50(match(truths, detections[0]))
