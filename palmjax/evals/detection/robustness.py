"""How detection holds under attack: the worst attempt on each image.

An attempt is an attack at a radius; clean images are one, too. An attempt
within a radius is also one within every larger radius. An attacker knows which
one works on which image, so the AP50 under attack is that of a composed test:
each image has the detections of one attempt, chosen by greedy descent on AP50.
It falls as the radius grows. No single attack is reported as robustness.

Corruptions are what cameras and files do: noise, blur, JPEG, brightness and
contrast at five strengths (the idea of arXiv:1903.12261; own strengths).
"""

import io
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from PIL import Image

from palmjax.evals.detection import average_precision
from palmjax.ops import blur

# Strength → what changes, from weak to strong.
NOISE = (0.02, 0.04, 0.08, 0.12, 0.18)  # standard deviation, share of range
BLUR = (0.5, 1.0, 1.5, 2.0, 3.0)  # standard deviation, px at 96 px
JPEG = (60, 35, 20, 12, 7)  # quality
BRIGHTNESS = (0.05, 0.1, 0.2, 0.3, 0.4)  # added, share of range
CONTRAST = (0.7, 0.5, 0.35, 0.25, 0.15)  # factor of the distance from the mean
_BLUR_SIDE = 96


class Worst(NamedTuple):
  """The strongest attack within a radius.

  Attributes:
    attack: its name.
    radius: where it was made, at most the radius asked for.
  """

  attack: str
  radius: float


def worst(values):
  """The strongest single attack at each radius.

  Args:
    values: {(attack, radius): AP50 under it}.

  Returns:
    {radius: `Worst`}, radii rising.
  """
  strongest, best = {}, None
  for radius in sorted({radius for _, radius in values}):
    for (attack, at), value in values.items():
      if at == radius and (best is None or value < values[best]):
        best = (attack, at)
    strongest[radius] = Worst(*best)
  return strongest


def recombine(stacked, choice):
  """The matches of a test of which each image has one attempt.

  Args:
    stacked: `box_matching.Matches` of N·A images; image i under attempt a is
      number i·A + a.
    choice: int [N] in 0..A-1.

  Returns:
    `box_matching.Matches` of N images, as if matched anew.
  """
  choice = np.asarray(choice)
  _, total, _ = stacked.truths.shape
  at = np.arange(len(choice)) * (total // len(choice)) + choice
  return _only(stacked, at)


def compose(stacked, start, attempts, *, passes=5):
  """Chooses an attempt for each image, so that AP50 of the test is low.

  Image after image takes the attempt that lowers AP50 most, the others being
  what they are, until a pass changes nothing. A local minimum: no single swap
  lowers AP50.

  Args:
    stacked: as of `recombine`, with a true box in some image.
    start: int [N], the attempts to begin with.
    attempts: those to choose from, numbers in 0..A-1.
    passes: the most passes over the images.

  Returns:
    int [N].
  """
  choice, attempts = np.array(start), np.asarray(attempts)
  _, total, _ = stacked.truths.shape
  each = total // len(choice)
  lowest = _ap50(recombine(stacked, choice))
  if not lowest:
    return choice
  # Only these images are ever looked at.
  rows = np.arange(len(choice))[:, None] * each + np.union1d(attempts, choice)
  rows = rows.ravel()
  part = _only(_all_areas(stacked), rows)
  for _ in range(passes):
    changed = False
    for i in range(len(choice)):
      others = np.delete(np.arange(len(choice)) * each + choice, i)
      numbers = np.concatenate([others, i * each + attempts])
      trial = _only(part, np.searchsorted(rows, np.sort(numbers)))
      weights = _trials(np.sort(numbers), others, i * each + attempts)
      values = average_precision.ap50(trial, weights)
      best = int(np.argmin(values))
      # Sums of shares: what differs by rounding is no gain.
      if values[best] < lowest - 1e-9:
        choice[i], lowest, changed = attempts[best], values[best], True
    if not changed:
      break
  return choice


def compose_within(stacked, attempts, radii):
  """`compose` for rising radii, each from the best that is known before.

  Args:
    stacked: as of `recombine`, with a true box in some image.
    attempts: A pairs (attack, radius).
    radii: rising.

  Returns:
    {radius: int [N]}: AP50 never rises with the radius, and no single attempt
    within it has a lower one.
  """
  stacked = _all_areas(stacked)
  _, total, _ = stacked.truths.shape
  count = total // len(attempts)
  alone = [
    _ap50(recombine(stacked, np.full(count, a))) for a in range(len(attempts))
  ]
  choices, before = {}, None
  for radius in radii:
    within = [a for a, (_, at) in enumerate(attempts) if at <= radius]
    start = np.full(count, min(within, key=lambda a: alone[a]))
    if before is not None and _ap50(recombine(stacked, before)) < _ap50(
      recombine(stacked, start)
    ):
      start = before
    choices[radius] = before = compose(stacked, start, within)
  return choices


def _only(matches, images):
  """Matches of some images alone, numbered anew in the order given."""
  _, total, _ = matches.truths.shape
  places = np.full(total, -1)
  places[images] = np.arange(len(images))
  image = places[matches.image]
  kept = image >= 0
  return matches._replace(
    image=image[kept],
    label=matches.label[kept],
    rank=matches.rank[kept],
    hit=matches.hit[:, :, kept],
    ignored=matches.ignored[:, :, kept],
    truths=matches.truths[:, images],
  )


def _all_areas(matches):
  """Without the area ranges, which AP50 does not read: the first is of all."""
  return matches._replace(
    hit=matches.hit[:1], ignored=matches.ignored[:1], truths=matches.truths[:1]
  )


def _trials(images, others, attempts):
  """Weights [A, I]: all `others`, and one attempt of the image in turn."""
  weights = np.zeros((len(attempts), len(images)), np.int64)
  weights[:, np.searchsorted(images, others)] = 1
  weights[np.arange(len(attempts)), np.searchsorted(images, attempts)] = 1
  return weights


def _ap50(matches):
  _, count, _ = matches.truths.shape
  return float(average_precision.ap50(matches, np.ones((1, count), int))[0])


def corruptions():
  """{name: strengths}, in the order of `corrupt`."""
  return {
    'noise': NOISE,
    'blur': BLUR,
    'jpeg': JPEG,
    'brightness': BRIGHTNESS,
    'contrast': CONTRAST,
  }


def corrupt(images, name, strength, *, seed=0):
  """Images after a corruption.

  Args:
    images: uint8 [N, S, S, 3].
    name: of `corruptions`.
    strength: one of its values.
    seed: of the noise.

  Returns:
    uint8 [N, S, S, 3].

  Raises:
    ValueError: another name.
  """
  match name:
    case 'noise':
      rng = np.random.default_rng(seed)
      changed = images + 255 * strength * rng.standard_normal(images.shape)
    case 'blur':
      sigma = strength * images.shape[1] / _BLUR_SIDE
      changed = np.asarray(
        blur.gaussian(
          jnp.asarray(images, jnp.float32),
          jnp.float32(sigma),
          border='symmetric',
        )
      )
    case 'jpeg':
      return np.stack([_jpeg(image, strength) for image in images])
    case 'brightness':
      changed = images + 255.0 * strength
    case 'contrast':
      mean = images.mean(axis=(1, 2, 3), keepdims=True)
      changed = mean + strength * (images - mean)
    case _:
      raise ValueError(
        f'corruption {name}: choose one of {", ".join(corruptions())}'
      )
  return np.clip(np.round(changed), 0, 255).astype(np.uint8)


def _jpeg(image, quality):
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'JPEG', quality=quality)
  return np.asarray(Image.open(file).convert('RGB'))
