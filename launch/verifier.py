"""Measures how palms are verified; writes the tables of docs/results.md.

python -m launch.verifier --out=docs/results [--photos=DIR]

Errors: drawn palms of 200 identities × 4 images at three difficulties are
compared by every part, by their fusion with a cohort of 200 other identities,
by the fusion without a cohort, and by correlation. Both orders of a pair count,
as their mean.

Rates: what share of strangers passes the threshold for a rate, with 20 random
cohorts of 40 and of 200 palms each, and without a cohort. --photos adds palms
of real skin: photographs of open hands as DIR/<identity>/5_<name>.jpg, one a
person. Seeds are others than those that the fusion was chosen on (11 to 14).
"""

import argparse
import pathlib
import sys

import jax
import numpy as np

from palmjax import files
from palmjax.data.palms import as_read
from palmjax.evals.recognition import verification
from palmjax.inference import (
  cohort,
  correlation,
  finder,
  palm_files,
  parts,
  uncalibrated,
  verifier,
)

_SIZE = 64
_SEEDS = {0.4: 21, 0.6: 22, 0.8: 23}
_IDENTITIES, _IMAGES = 200, 4
_COHORTS = 20
_FMRS = (1e-2, 1e-3)


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.verifier', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--out', default='docs/results', metavar='DIR')
  parser.add_argument('--commit', default='', help='to name in the files')
  parser.add_argument('--photos', metavar='DIR', help='hands, 5_*.jpg')
  args = parser.parse_args(argv)
  judge = verifier.load()
  before = verifier.load(score='network')
  errors, rates = {}, {}
  for difficulty, seed in _SEEDS.items():
    drawn, _, _ = as_read.draw(
      seed,
      identities=2 * _IDENTITIES,
      samples=_IMAGES,
      size=2 * _SIZE,
      square=_SIZE,
      difficulty=difficulty,
    )
    found = judge.templates(drawn)
    test = found.take(slice(_IDENTITIES * _IMAGES))
    others = found.take(slice(_IDENTITIES * _IMAGES, None, _IMAGES))
    name = f'difficulty {difficulty:g}'
    rows = _errors(test, others, drawn[: _IDENTITIES * _IMAGES], before)
    for score, columns in rows.items():
      errors.setdefault(score, {}).update(
        {f'{name}: {column}': value for column, value in columns.items()}
      )
    rates |= _rates(
      f'drawn, {name}',
      found.take(slice(None, None, _IMAGES)),
      (40, 200),
      before,
    )
    print(files.to_json({'errors': errors, 'rates': rates}), flush=True)
  if args.photos:
    found = judge.templates(_photographs(args.photos))
    rates |= _rates('cut from photographs', found, (40,), before)
  for name, table in tables(errors, rates).items():
    content = {
      'command': _command(args),
      'measured_at': args.commit,
      'runs': 'one run; 95 % intervals over identities in this file',
      'table': table,
    }
    files.write_json(pathlib.Path(args.out) / f'verifier_{name}.json', content)
    print(files.to_json(content), flush=True)


def tables(errors, rates):
  """The three tables of docs/results.md.

  Args:
    errors: {score: {'difficulty D: COLUMN': value}}.
    rates: {row: {column: value}}.

  Returns:
    {'errors': of all pairs, 'thresholds': errors at the threshold that comes
    with a score, 'rates'}, each {row: {column: {'mean', …}}}.
  """
  by_pairs, by_threshold = {}, {}
  for score, columns in errors.items():
    for name, value in columns.items():
      difficulty, _, column = name.partition(': ')
      if column.endswith('at its threshold'):
        row = by_threshold.setdefault(f'{score}, {difficulty}', {})
        row[column.partition(' ')[0]] = value
      elif column in ('eer', 'fnmr@fmr=1e-3'):
        place = difficulty.replace('difficulty ', '')
        by_pairs.setdefault(score, {})[f'{column}, {place}'] = value
  return {'errors': by_pairs, 'thresholds': by_threshold, 'rates': rates}


def _photographs(folder):
  find, images = finder.load(), []
  for path in sorted(pathlib.Path(folder).glob('*/5_*.jpg')):
    try:
      images.append(palm_files.read_photo(find, path, size=_SIZE).image)
    except ValueError as error:
      print(error, file=sys.stderr)
  return images


def _errors(test, others, images, before):
  """Rates of all pairs by each score, with intervals over identities."""
  labels = np.repeat(np.arange(_IDENTITIES), _IMAGES)
  camera = cohort.fit(others, dataset='')
  centred = parts.compare(test, test, camera.means)
  raw = parts.compare(test, test, parts.no_means(test.network.shape[1]))
  scores = {
    **{
      f'{name} alone, cohort': centred[k] for k, name in enumerate(parts.NAMES)
    },
    'network alone': raw[2],
    'correlation': np.asarray(
      jax.jit(correlation.all_similarities)(correlation.templates_of(images))
    ),
    'fused, no cohort': parts.fuse(raw[:2], uncalibrated.STANDARD),
    'fused, cohort': parts.fuse(centred, camera.standard),
  }
  found = {
    name: {
      column: {
        'mean': value['value'],
        'low': value['low'],
        'high': value['high'],
      }
      for column, value in verification.fnmr_rates(
        verification.matrix_scores((matrix + matrix.T) / 2, labels), fmrs=_FMRS
      ).items()
      if value['value'] is not None
    }
    for name, matrix in scores.items()
  }
  # What users got: errors at the threshold that comes with each score.
  same = labels[:, None] == labels
  strangers, genuine = ~same, same & ~np.eye(len(labels), dtype=bool)
  for name, threshold in (
    ('network alone', before.threshold(1e-3)),
    ('fused, no cohort', uncalibrated.threshold(1e-3)),
    ('fused, cohort', camera.threshold(1e-3)),
  ):
    found[name] |= {
      'FMR at its threshold': {
        'mean': float(np.mean(scores[name][strangers] >= threshold))
      },
      'FNMR at its threshold': {
        'mean': float(np.mean(scores[name][genuine] < threshold))
      },
    }
  return found


def _rates(name, all_palms, sizes, before):
  """FMR found at thresholds for a rate; each palm is there once."""
  rng = np.random.default_rng(0)
  count = len(all_palms.network)
  apart = ~np.eye(count, dtype=bool)
  raw = parts.compare(
    all_palms, all_palms, parts.no_means(all_palms.network.shape[1])
  )
  found = {
    f'{name}; network alone': {
      f'FMR for {fmr:g}': {
        'mean': float(np.mean(raw[2][apart] >= before.threshold(fmr)))
      }
      for fmr in _FMRS
    },
    f'{name}; no cohort': {
      f'FMR for {fmr:g}': {
        'mean': float(
          np.mean(
            parts.fuse(raw[:2], uncalibrated.STANDARD)[apart]
            >= uncalibrated.threshold(fmr)
          )
        )
      }
      for fmr in _FMRS
    },
  }
  for size in sizes:
    each = {fmr: [] for fmr in _FMRS}
    for seed in range(_COHORTS):
      order = rng.permutation(count)
      camera = cohort.fit(all_palms.take(order[:size]), dataset='', seed=seed)
      rest = all_palms.take(order[size : size + _IDENTITIES])
      scores = parts.fuse(
        parts.compare(rest, rest, camera.means), camera.standard
      )[~np.eye(len(rest.network), dtype=bool)]
      for fmr in _FMRS:
        each[fmr].append(float(np.mean(scores >= camera.threshold(fmr))))
    row = found[f'{name}; {_COHORTS} cohorts of {size}'] = {}
    for fmr, values in each.items():
      row[f'FMR for {fmr:g}'] = {
        'mean': float(np.mean(values)),
        'std': float(np.std(values)),
      }
      row[f'least for {fmr:g}'] = {'mean': min(values)}
      row[f'most for {fmr:g}'] = {'mean': max(values)}
  return found


def _command(args):
  photos = ' --photos=DIR' if args.photos else ''
  return f'python -m launch.verifier{photos}'


if __name__ == '__main__':
  sys.exit(main())
