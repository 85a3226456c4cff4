"""Orientation codes: templates, one pair, and many pairs by the full search."""

import functools
import time

import numpy as np

from launch.bench import timing
from palmjax.inference import orientation_code

_KINDS = orientation_code.FINE, orientation_code.WIDE6
MANY = 2000
# A call of so many compiles the programs that the many pairs take.
_PROBES, _GALLERY = 64, 128


def run(args):
  """Goals on 2 cores: 10 ms a pair; 15 s for 2,000 × 2,000, one direction.

  A template has at most 2.5 kB; codes of turned images are not counted.
  """
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2, 64, 64, 3), np.uint8)
  fine = orientation_code.FINE
  coded = orientation_code.probes(images, fine)
  yield timing.report_size(
    'template, one code', orientation_code.templates(images, fine)[0].nbytes
  )
  yield timing.report_size('the same with turned images', coded[0].nbytes)
  yield timing.report(
    'codes of a palm and of its turns',
    timing.best_of(
      functools.partial(orientation_code.probes, images[:1], fine),
      args.repeats,
    ),
    1,
  )
  probes = rng.integers(-127, 128, (MANY, *coded.shape[1:]), np.int8)
  gallery = rng.integers(-127, 128, (MANY, *coded.shape[2:]), np.int8)
  for kind in _KINDS:
    pair = timing.best_of(
      functools.partial(
        orientation_code.two_way_scores, coded[:1], coded[1:], kind
      ),
      args.repeats,
    )
    name = f'one pair, both directions, {kind.name}'
    yield timing.within(timing.report(name, pair, 1, 'pairs'), 0.01)
    first = _seconds(probes[:_PROBES], gallery[:_GALLERY], kind)
    many = first, _seconds(probes, gallery, kind)
    name = f'{MANY:,} × {MANY:,} palms, {kind.name}'
    yield timing.within(timing.report(name, many, MANY**2, 'pairs'), 15)


def _seconds(probes, gallery, kind):
  start = time.perf_counter()
  orientation_code.scores(probes, gallery, kind)
  return time.perf_counter() - start
