"""How well a packed hand detector does, at the size at which it is used.

AP and more are measured as the recipe `gesture` does: on drawn images, and on
the validation part of real images with boxes. They are of all that the network
detects, where one hand may have several gestures. The decisions of
`palmjax.detect` are measured on the same images, drawn or read twice as large.
Palm frames are measured on single open palms at any rotation, with one, two and
three looks of `palmjax.inference.finder`. All of them, and the times, use the
mean of several passes over an image, as in use.
"""

import functools
import time

import jax
import numpy as np
from PIL import Image

from configs import gesture as gesture_config
from palmjax.data.boxes import boxes
from palmjax.evals.detection import operating_point, palm_frames
from palmjax.images import roi
from palmjax.inference import finder
from palmjax.networks import hand as hand_networks
from palmjax.networks import palm_frame as palm_frame_networks
from palmjax.recipes.gesture import scores as gesture_scores
from palmjax.recipes.shared import hand_images

_NAME = 'hands'  # Of the detector among the models of the recipe.
_LOOKS = (1, 2, 3)
TIMED = 20
_HARD = 1.0  # The difficulty at which palm frames are measured as well.
_LARGE = 224  # Side of images that the network alone is timed on as well.
# Streams of the key: images of any hands, of open palms, rotations of these.
_ANY, _PALMS, _ANGLES = range(3)


def measure(out, reader_folder, args):
  """What results.json holds.

  Args:
    out: path of the packed detector.
    reader_folder: path of the packed reader of palm frames.
    args: of the command line of `release.hand_weights`.

  Returns:
    {'drawn': AP and more, 'boxes': likewise with --boxes, each with
    'detect': `evals.detection.operating_point` of all looks; 'open palms' and
    'open palms, difficulty 1': see `measure_palm_frames`; 'ms per image': of
    the network with one pass and with all, and of each number of looks, one
    image at a time}.
  """
  network = hand_networks.load(out, passes=True)
  reader = palm_frame_networks.load(reader_folder)
  size = network.image_size
  keys = jax.random.split(jax.random.key(args.seed), 3)
  said = f'difficulty {args.difficulty:g}, seed {args.seed}'
  # What the first look shrinks, a closer one sees.
  side = 2 * size
  tests, larger = (
    {
      '': hand_images.draw(
        keys[_ANY], args.images, size=pixels, difficulty=args.difficulty
      )
    }
    for pixels in (size, side)
  )
  sets = {'': f'{args.images:,} drawn images, {size} px, {said}'}
  if args.boxes:
    annotations = boxes.read(
      args.boxes, form=args.form, split='valid', names=network.classes
    )
    for of, pixels in ((tests, size), (larger, side)):
      of['boxes'] = boxes.load(annotations, size=pixels).arrays
    count = len(tests['boxes']['image'])
    sets['boxes'] = f'{count:,} images, validation part of --boxes'
  config = gesture_config.get_config('weights')
  config.evaluation.score = finder.SCORE
  looks = {_NAME: network}
  scores = gesture_scores.score(
    config,
    hand_images.HandImages({}, tests, network.classes, (), ''),
    looks,
  )
  rates = gesture_scores.models(config, scores, looks)
  results = {
    name or 'drawn': {
      'set': sets[name],
      **rates[_NAME + name],
      'detect': measure_decisions(network, reader, larger[name]),
    }
    for name in tests
  }
  for name, difficulty in (
    (f'open palms, difficulty {_HARD:g}', _HARD),
    ('open palms', args.difficulty),
  ):
    palms = hand_images.draw(
      keys[_PALMS],
      args.palms,
      size=side,
      difficulty=difficulty,
      **hand_images.open_palms(keys[_ANGLES], args.palms),
    )
    results[name] = {
      'set': f'{args.palms:,} drawn open palms, any rotation, {side} px, '
      f'difficulty {difficulty:g}, seed {args.seed}',
      **measure_palm_frames(network, reader, palms),
    }
  results['ms per image'] = milliseconds(
    network, hand_networks.load(out), reader, palms['image'][0]
  )
  return results


def measure_decisions(network, reader, test):
  """What `palmjax.detect` decides: `operating_point.rates`.

  Args:
    network: `networks.hand.HandDetector`.
    reader: `networks.palm_frame.PalmFrameReader`.
    test: arrays of `boxes.Loaded` or of `hand_images.draw`.
  """
  truths, detections = [], []
  for image, true, classes, valid in zip(
    *(test[key] for key in ('image', 'boxes', 'classes', 'valid')), strict=True
  ):
    hands = _find(network, reader, image, max(_LOOKS))
    truths.append((true[valid], classes[valid]))
    detections.append(
      (
        np.array([hand.box for hand in hands]).reshape(-1, 4),
        np.array([network.classes.index(hand.gesture) for hand in hands], int),
      )
    )
  return operating_point.rates(truths, detections)


def measure_palm_frames(network, reader, palms):
  """How well each number of looks finds palm frames.

  Args:
    network: `networks.hand.HandDetector`.
    reader: `networks.palm_frame.PalmFrameReader`.
    palms: drawn images.

  Returns:
    {'palms': how many have a palm frame, 'looks=1': {'palm_frame@5%',
    'palm_frame@10%', 'median': of the error in palm widths, 'undetected': share
    of which no palm would be cut out, 'other hand': share of the others that
    are taken for left in place of right, or the other way round}, …}.
  """
  framed = palms['valid'] & palms['framed'] & palms['facing']
  measures = {'palms': int(framed.sum())}
  for looks in _LOOKS:
    errors, others = [], []
    for image, true, points, mask in zip(
      palms['image'], palms['boxes'], palms['points'], framed, strict=True
    ):
      # What is cut out in use.
      seen = [
        hand for hand in _find(network, reader, image, looks) if hand.shows_palm
      ]
      shown = np.array([hand.box for hand in seen]).reshape(-1, 4)
      errors.append(
        palm_frames.errors(
          (true[mask], points[mask]),
          (shown, np.array([hand.points for hand in seen]).reshape(-1, 3, 2)),
        )
      )
      others += [
        (seen[k].side == 'left') != left
        for k, left in zip(
          palm_frames.best_detections(true[mask], shown),
          np.asarray(roi.is_left(points[mask])),
          strict=True,
        )
        if k >= 0
      ]
    every = np.concatenate(errors)
    detected = every[np.isfinite(every)]
    measures[f'looks={looks}'] = {
      **palm_frames.rates(errors),
      'median': float(np.median(detected)) if len(detected) else None,
      'undetected': float(np.mean(~np.isfinite(every))) if len(every) else None,
      'other hand': float(np.mean(others)) if others else None,
    }
  return measures


def milliseconds(network, plain, reader, photo):
  """The fastest of several calls: {'one pass, 128 px', …, 'looks=1', …}.

  Args:
    network: `networks.hand.HandDetector`.
    plain: the same with one pass.
    reader: `networks.palm_frame.PalmFrameReader`.
    photo: uint8 [H, W, 3].
  """
  images = {
    side: np.asarray(Image.fromarray(photo).resize((side, side)))[None]
    for side in (network.image_size, _LARGE)
  }
  calls = {
    f'{name}, {side} px': functools.partial(one.detect, image)
    for name, one in (('one pass', plain), ('all passes', network))
    for side, image in images.items()
  }
  for looks in _LOOKS:
    calls[f'looks={looks}'] = functools.partial(
      _find, network, reader, photo, looks
    )
  return {name: 1e3 * _fastest(function) for name, function in calls.items()}


def _fastest(function):
  """Seconds of the fastest of several calls."""
  seconds = []
  for _ in range(TIMED):
    start = time.perf_counter()
    function()
    seconds.append(time.perf_counter() - start)
  return min(seconds)


def _find(network, reader, image, looks):
  return finder.find(
    network.detect,
    image,
    classes=network.classes,
    size=network.image_size,
    reader=reader,
    looks=looks,
  )
