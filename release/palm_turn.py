"""Prints the field of `palmjax.inference.palm_turn`, and how its rule does.

python -m release.palm_turn [DIR] [--out=FILE]

The field is of drawn palms of three difficulties. The rule is tried on random
cohorts of other drawn palms, as they lie and turned; the lead is that of the
right turn's cosine over the others. With DIR also on palms cut out of
photographs of open hands, <identity>/5_<name>.jpg, one hand a person.
"""

import argparse
import json
import sys

import jax
import numpy as np

from palmjax import files
from palmjax.data.palms import palms
from palmjax.inference import orientation_code, palm_turn
from release import photographed_palms

_DIFFICULTIES = (0.4, 0.6, 0.8)
_SEED, _TEST_SEED = 41, 42
_PALMS, _SIZE = 192, 64
_COHORTS, _COHORT = 20, 40


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m release.palm_turn', description=__doc__.split('\n')[0]
  )
  parser.add_argument('photos', nargs='?', metavar='DIR')
  parser.add_argument('--out', metavar='FILE', help='also as JSON')
  parser.add_argument('--commit', default='', help='to name in the file')
  args = parser.parse_args(argv)
  print(json.dumps({'field': np.round(_field(), 3).tolist()}))
  table = {
    f'drawn, difficulty {difficulty:g}': _tried(_drawn(_TEST_SEED, difficulty))
    for difficulty in _DIFFICULTIES
  }
  if args.photos:
    table['cut from photographs'] = _tried(
      photographed_palms.read(args.photos, size=_SIZE)
    )
  content = {
    'command': 'python -m release.palm_turn' + (' DIR' if args.photos else ''),
    'measured_at': args.commit,
    'runs': f'{_COHORTS} cohorts of {_COHORT} palms each',
    'table': table,
  }
  print(files.to_json(content))
  if args.out:
    files.write_json(args.out, content)


def _field():
  """Unit norm, [4, 4, 2]."""
  total = sum(
    palm_turn.field(orientation_code.mean(_codes(_drawn(_SEED, difficulty))))
    for difficulty in _DIFFICULTIES
  )
  total = palm_turn.symmetric(total)
  return total / np.linalg.norm(total)


def _tried(images):
  """Cohorts, of `_COHORTS`, in which a turn was told, as columns of a table."""
  rng = np.random.default_rng(0)
  chosen = [
    rng.choice(len(images), _COHORT, replace=False) for _ in range(_COHORTS)
  ]
  row, leads = {}, []
  for right, turn in enumerate(palm_turn.TURNS):
    codes = _codes(np.rot90(images, turn // 90, axes=(1, 2)))
    fits = [
      palm_turn.fit(orientation_code.mean(codes[index])) for index in chosen
    ]
    if turn:
      row[f'turned by {turn}, found'] = sum(fit.turn == turn for fit in fits)
    else:
      row['upright, called turned'] = sum(fit.turn != 0 for fit in fits)
    leads += [
      fit.cosines[right] - max(np.delete(fit.cosines, right)) for fit in fits
    ]
  row['least lead'] = float(min(leads))
  return {name: {'mean': value} for name, value in row.items()}


def _codes(images):
  return orientation_code.templates(images, orientation_code.FINE)


def _drawn(seed, difficulty):
  parts = []
  for start in range(0, _PALMS, 64):
    identities = np.arange(start, start + 64)
    parts.append(
      palms.draw_batch(
        jax.random.key(seed),
        identities,
        np.zeros_like(identities),
        devices=identities // 2 % 64,
        size=_SIZE,
        difficulty=difficulty,
      )
    )
  return np.concatenate([np.asarray(part) for part in parts])


if __name__ == '__main__':
  sys.exit(main())
