import contextlib
import io

import numpy as np
import pytest
from pycocotools import coco, cocoeval

from palmjax.evals import bootstrap
from palmjax.evals.detection import average_precision, box_matching

NAMES = ('one', 'two', 'three', 'four')


def random_set(seed, *, num_images=30):
  """Integer boxes and few scores: ties of both. Some images are empty.

  No true box is of the last class.
  """
  generator = np.random.default_rng(seed)
  truths, detections = [], []
  for i in range(num_images):
    count = 0 if i % 5 == 0 else generator.integers(0, 5)
    corner = generator.integers(0, 150, (count, 2))
    side = generator.choice([20, 32, 50, 96, 120], (count, 2))
    boxes = np.concatenate([corner, corner + side], 1)
    classes = generator.integers(0, len(NAMES) - 1, count)
    truths.append((boxes.astype(np.float32), classes))
    copies = generator.integers(0, 4) if count else 0
    near = np.repeat(boxes, copies, 0)
    near[:, :2] += generator.integers(-6, 7, near[:, :2].shape)
    near[:, 2:] += generator.integers(-6, 7, near[:, :2].shape)
    labels = np.repeat(classes, copies)
    changed = generator.random(len(labels)) < 0.2
    labels = np.where(changed, generator.integers(0, 4, len(labels)), labels)
    # More than 100 in one image, of which the last do not count.
    number = 150 if i == 7 else generator.integers(0, 4) * (i % 4 != 0)
    corner = generator.integers(0, 150, (number, 2))
    far = np.concatenate([corner, corner + 32], 1)
    labels = np.append(labels, generator.integers(0, 2, number))
    boxes = np.concatenate([near, far]).astype(np.float32)
    scores = generator.integers(0, 20, len(boxes)) / 20
    detections.append((boxes, scores, labels))
  return truths, detections


def pycocotools_stats(truths, detections, num_classes, *, use_classes=True):
  """(the 12 numbers of COCO, AP of each class, -1 where there is none)."""
  true = coco.COCO()
  true.dataset = {
    'info': {},
    'images': [{'id': i} for i in range(len(truths))],
    'categories': [{'id': k} for k in range(num_classes)],
    'annotations': [],
  }
  results = []
  for i, ((boxes, classes), (found, scores, labels)) in enumerate(
    zip(truths, detections, strict=True)
  ):
    for box, label in zip(boxes.astype(float), classes, strict=True):
      size = box[2:] - box[:2]
      true.dataset['annotations'].append(
        {
          'id': len(true.dataset['annotations']) + 1,
          'image_id': i,
          'category_id': int(label),
          'bbox': [*box[:2], *size],
          'area': size.prod(),
          'iscrowd': 0,
        }
      )
    for box, score, label in zip(
      found.astype(float), scores, labels, strict=True
    ):
      results.append(
        {
          'image_id': i,
          'category_id': int(label),
          'bbox': [*box[:2], *(box[2:] - box[:2])],
          'score': float(score),
        }
      )
  with contextlib.redirect_stdout(io.StringIO()):
    true.createIndex()
    run = cocoeval.COCOeval(true, true.loadRes(results), 'bbox')
    run.params.useCats = int(use_classes)
    run.evaluate()
    run.accumulate()
    run.summarize()
  return run.stats, run.eval['precision'][:, :, :, 0, 2].mean(axis=(0, 1))


STATS = (
  'ap', 'ap50', 'ap75', 'ap@area=small', 'ap@area=medium', 'ap@area=large',
  'ar@1', 'ar@10', 'ar@100',
)  # fmt: skip


def _value(metric):
  return -1.0 if metric['value'] is None else metric['value']


@pytest.mark.parametrize('seed', range(4))
def test_equals_pycocotools(seed):
  truths, detections = random_set(seed)
  rates = average_precision.evaluate(
    truths, detections, names=NAMES, resampling=bootstrap.Resampling(draws=20)
  )
  stats, per_class = pycocotools_stats(truths, detections, len(NAMES))
  got = [_value(rates[name]) for name in STATS]
  np.testing.assert_allclose(got, stats[:9], atol=1e-9)
  got = [_value(rates[f'ap@class={name}']) for name in NAMES]
  np.testing.assert_allclose(got, per_class, atol=1e-9)
  assert rates['ap@class=four']['value'] is None
  assert 0.05 < rates['ap']['value'] < 0.95


def test_class_agnostic_equals_pycocotools():
  truths, detections = random_set(5)
  rates = average_precision.evaluate(
    truths, detections, names=(), resampling=bootstrap.Resampling(draws=20)
  )
  stats, _ = pycocotools_stats(
    truths, detections, len(NAMES), use_classes=False
  )
  got = [_value(rates[name]) for name in STATS]
  np.testing.assert_allclose(got, stats[:9], atol=1e-9)
  assert set(rates) == set(STATS)


def _one_class(*images):
  """Images as (true boxes, scores of hits, scores of errors)."""
  truths, detections = [], []
  for count, hits, errors in images:
    corner = 50.0 * np.arange(count)[:, None] * np.ones(2)
    boxes = np.concatenate([corner, corner + 40], 1)
    wrong = np.tile([500.0, 0, 540, 40], (len(errors), 1))
    truths.append((boxes, np.zeros(count, int)))
    detections.append(
      (
        np.concatenate([boxes[: len(hits)], wrong]),
        np.array([*hits, *errors], float),
        np.zeros(len(hits) + len(errors), int),
      )
    )
  return truths, detections


def test_golden_curve():
  # Hit, error, hit, error, error, hit of 4: precision 1, 2/3, 1/2.
  truths, detections = _one_class(
    (3, [0.9, 0.7], [0.8]), (1, [0.4], [0.6, 0.5])
  )
  rates = average_precision.evaluate(
    truths, detections, names=('a',), resampling=bootstrap.Resampling(draws=20)
  )
  # Recall .25, .5, .75 is reached by 26, 25 and 25 of the 101 points.
  expected = (26 * 1 + 25 * 2 / 3 + 25 / 2) / 101
  for name in ('ap', 'ap50', 'ap75', 'ap@class=a'):
    assert rates[name]['value'] == pytest.approx(expected, abs=1e-12)
  assert rates['ar@1']['value'] == pytest.approx(1 / 4)
  assert rates['ar@10']['value'] == pytest.approx(3 / 4)
  matches = box_matching.match(truths, detections, names=('a',))
  recall, precision = average_precision.precision_recall(matches)
  np.testing.assert_allclose(recall, np.arange(101) / 100)
  np.testing.assert_allclose(
    precision, np.repeat([1, 2 / 3, 1 / 2, 0], [26, 25, 25, 25])
  )
  with pytest.raises(ValueError, match=r'no curve at IoU 0\.51'):
    average_precision.precision_recall(matches, threshold=0.51)


def test_weighted_images_are_repeated_images():
  truths, detections = random_set(6)
  # Without ties, in which copies of an image would mix.
  detections = [
    (boxes, scores - 1e-4 * i - 1e-7 * np.arange(len(scores)), labels)
    for i, (boxes, scores, labels) in enumerate(detections)
  ]
  matches = box_matching.match(truths, detections, names=NAMES)
  weights = np.random.default_rng(0).integers(0, 4, (3, len(truths)))
  _, columns = average_precision.weighted(matches, weights)
  for r, row in enumerate(weights):
    repeated = np.repeat(np.arange(len(truths)), row)
    rates = average_precision.evaluate(
      [truths[i] for i in repeated],
      [detections[i] for i in repeated],
      names=NAMES,
      resampling=bootstrap.Resampling(draws=2),
    )
    for name, metric in rates.items():
      expected = np.nan if metric['value'] is None else metric['value']
      np.testing.assert_allclose(columns[name][r], expected, atol=1e-9)


def test_chunks_change_nothing(monkeypatch):
  truths, detections = random_set(8)
  whole = average_precision.evaluate(
    truths, detections, names=NAMES, resampling=bootstrap.Resampling(draws=30)
  )
  monkeypatch.setattr(average_precision, '_CHUNK', 500)
  assert whole == average_precision.evaluate(
    truths, detections, names=NAMES, resampling=bootstrap.Resampling(draws=30)
  )


def test_interval_holds_the_value_and_covers_other_images():
  # AP50 of 40 images, 60 times: the interval holds the value of a large set in
  # about 55 cases, in 41 if it were half as wide.
  def draw(seed, number):
    generator = np.random.default_rng(seed)
    images = []
    for _ in range(number):
      scores = generator.normal(1.0, 1.0, int(generator.random() < 0.7))
      images.append((1, scores, generator.normal(0, 1, generator.poisson(0.5))))
    return _one_class(*images)

  truth = average_precision.evaluate(
    *draw(0, 5000), names=('a',), resampling=bootstrap.Resampling(draws=2)
  )
  inside = 0
  for seed in range(1, 61):
    rates = average_precision.evaluate(
      *draw(seed, 40), names=('a',), resampling=bootstrap.Resampling(draws=100)
    )
    low, high = rates['ap50']['low'], rates['ap50']['high']
    assert low <= rates['ap50']['value'] <= high
    inside += low <= truth['ap50']['value'] <= high
  assert 50 <= inside <= 58


def test_perfect_detector_keeps_the_rule_of_3():
  truths, detections = _one_class(*[(1, [0.9], [])] * 20)
  rates = average_precision.evaluate(
    truths, detections, names=('a',), resampling=bootstrap.Resampling(draws=50)
  )
  assert rates['ap']['value'] == rates['ap']['high'] == 1.0
  assert rates['ap']['low'] == pytest.approx(0.05 ** (1 / 20))


def test_nothing_detected_and_nothing_there():
  truths, _ = _one_class(*[(1, [0.9], [])] * 6)
  nothing = [(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))] * 6
  rates = average_precision.evaluate(
    truths, nothing, names=('a',), resampling=bootstrap.Resampling(draws=20)
  )
  assert rates['ap']['value'] == rates['ar@100']['value'] == 0.0
  empty = [(np.zeros((0, 4)), np.zeros(0, int))] * 6
  rates = average_precision.evaluate(
    empty, nothing, names=('a',), resampling=bootstrap.Resampling(draws=20)
  )
  assert all(metric['value'] is None for metric in rates.values())
  assert rates['ap']['reason'] == 'not measurable with 0 boxes'


def test_same_seed_same_bits():
  truths, detections = random_set(9)
  first, second, other = (
    average_precision.evaluate(
      truths,
      detections,
      names=NAMES,
      resampling=bootstrap.Resampling(draws=40, seed=seed),
    )
    for seed in (1, 1, 2)
  )
  assert first == second
  assert first['ap']['low'] != other['ap']['low']


def without_ties(detections):
  """Scores that no two have, so that copies of an image cannot mix."""
  return [
    (boxes, scores - 1e-4 * i - 1e-7 * np.arange(len(scores)), labels)
    for i, (boxes, scores, labels) in enumerate(detections)
  ]


@pytest.mark.parametrize('metric', ['ap', 'ap50', 'ap@class=two'])
def test_difference_is_that_of_repeated_images(metric):
  truths, detections = random_set(3)
  detections = without_ties(detections)
  # The other detector lacks every third object and finds the first twice.
  other = [
    tuple(np.delete(part, np.s_[2::3], axis=0) for part in image)
    for image in detections
  ]
  matches, baseline = (
    box_matching.match(truths, found, names=NAMES)
    for found in (detections, other)
  )
  difference = average_precision.difference(
    matches,
    baseline,
    metric=metric,
    resampling=bootstrap.Resampling(draws=25, seed=5),
  )

  def value(found, rows):
    rates = average_precision.evaluate(
      [truths[i] for i in rows],
      [found[i] for i in rows],
      names=NAMES,
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
  truths, detections = random_set(4)
  matches = box_matching.match(truths, detections, names=NAMES)
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
  baseline = box_matching.match(truths, other, names=NAMES)
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
  truths, detections = random_set(4)
  matches = box_matching.match(truths, detections, names=NAMES)
  fewer = box_matching.match(truths[:-1], detections[:-1], names=NAMES)
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
  truths, detections = _one_class(*[(1, [0.9], [])] * count)
  matches = box_matching.match(truths, detections, names=('a',))
  gain = average_precision.difference(
    matches, matches, resampling=bootstrap.Resampling(draws=20)
  )
  assert gain == {'value': 0.0, 'low': -1.0, 'high': 1.0}
