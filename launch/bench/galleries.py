"""A gallery of 1,000 palms: enrolled once, kept in a file, searched."""

import functools
import pathlib
import tempfile
import time

import numpy as np

from launch.bench import timing
from palmjax.inference import verifier

PALMS = 1000


def run(args):
  """The goal is an answer in 2 s on 2 cores, once the palms are enrolled.

  The shipped network compares 8 turns of each palm. The probe is coded and
  embedded each time.
  """
  rng = np.random.default_rng(0)
  judge = verifier.load()
  size = judge.image_size
  images = rng.integers(0, 256, (PALMS + 1, size, size, 3), np.uint8)
  probe, images = images[:1], images[1:]
  start = time.perf_counter()
  judge.enrol(images[:64])
  first = time.perf_counter() - start
  start = time.perf_counter()
  gallery = judge.enrol(images)
  seconds = time.perf_counter() - start
  yield timing.report(f'enrolling {PALMS:,} palms', (first, seconds), PALMS)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'gallery.npz'
    gallery.save(path)
    yield timing.report_size('their file', path.stat().st_size)
    load = functools.partial(judge.load_gallery, path)
    yield timing.report(
      f'reading the file of {PALMS:,} palms',
      timing.best_of(load, args.repeats),
      PALMS,
      'palms',
    )
  row = timing.report(
    f'one probe in a gallery of {PALMS:,}',
    timing.best_of(
      lambda: judge.scores(judge.enrol(probe), gallery), args.repeats
    ),
    PALMS,
    'palms',
  )
  yield timing.within(row, 2)
