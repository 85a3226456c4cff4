"""Prints the numbers of `palmjax.inference.uncalibrated`.

python -m release.uncalibrated DIR

DIR holds photographs of open hands as <identity>/<image>, one hand a person.
Their palms are cut out, and all pairs of two people are compared by the codes
alone, with nothing taken off. Thresholds are the strict ones of
`inference.cohort_thresholds`. Drawn palms score lower and are printed beside
them.
"""

import argparse
import json
import sys

import numpy as np

from palmjax.data.palms import as_read
from palmjax.inference import cohort, cohort_thresholds, parts
from release import photographed_palms

_SIZE = 64
_SEED = 0
_FMRS = (1e-1, 1e-2, 1e-3, 1e-4)
_DRAWN = 128


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m release.uncalibrated', description=__doc__.split('\n')[0]
  )
  parser.add_argument('photos', metavar='DIR', help='<identity>/<image>')
  parser.add_argument(
    '--glob', default=photographed_palms.SIGN_5, help='photographs in it'
  )
  args = parser.parse_args(argv)
  images = photographed_palms.read(args.photos, size=_SIZE, pattern=args.glob)
  if len(images) < cohort.LEAST:
    sys.exit(
      f'uncalibrated: {args.photos}: {len(images)} palms found; '
      f'{cohort.LEAST} needed'
    )
  scores, rows, columns = _scores(images)
  standard = parts.Standard(scores.mean(axis=1), scores.std(axis=1))
  fused = parts.fuse(scores, standard)
  thresholds = cohort_thresholds.strict(
    fused, rows, columns, _FMRS, np.random.default_rng(_SEED)
  )
  content = {
    'palms': len(images),
    'mean': standard.mean.tolist(),
    'std': standard.std.tolist(),
    'thresholds': dict(zip(map(str, _FMRS), thresholds, strict=True)),
    'fmr on them': [float(np.mean(fused >= t)) for t in thresholds],
  }
  for difficulty in (0.2, 0.4, 0.6, 0.8):
    scores, _, _ = _scores(_drawn(difficulty))
    fused = parts.fuse(scores, standard)
    content[f'fmr on drawn palms, difficulty {difficulty}'] = [
      float(np.mean(fused >= t)) for t in thresholds
    ]
  print(json.dumps(content, indent=2))


def _drawn(difficulty):
  images, _, _ = as_read.draw(
    _SEED,
    identities=_DRAWN,
    samples=1,
    size=2 * _SIZE,
    square=_SIZE,
    difficulty=difficulty,
  )
  return images


def _scores(images):
  """(scores of the codes [2, I], palms of each pair [I], [I])."""
  templates = parts.templates(parts.no_network, images)
  scores = parts.compare(templates, templates, parts.no_means(1))[:2]
  rows, columns = np.nonzero(~np.eye(len(images), dtype=bool))
  return scores[:, rows, columns].astype(np.float64), rows, columns


if __name__ == '__main__':
  sys.exit(main())
