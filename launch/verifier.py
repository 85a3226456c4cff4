"""Measures how palms are verified; writes the tables of docs/results.md.

python -m launch.verifier --out=docs/results

Errors: drawn palms of 600 identities × 4 images at three difficulties are
compared by every part, by their fusion with a cohort of 200 other palms, by the
fusion without a cohort, by correlation, and by what was tried and left out
(`launch.verifier_trials`). Differences are those of the fused score with a
cohort to each other one; both see the same resamples.

Generator seeds are others than those of the choices: weights and whitening were
chosen on seeds 51 and 61 (`launch.verifier_choice`), the kind of fusion on 11
to 14. What share of strangers passes a threshold: `launch.verifier_rates`.
"""

import argparse
import pathlib
import sys

import jax
import numpy as np

from launch import verifier_trials
from palmjax import files
from palmjax.data.palms import as_read
from palmjax.evals import bootstrap
from palmjax.evals.recognition import verification
from palmjax.inference import (
  cohort,
  correlation,
  parts,
  uncalibrated,
  verifier,
)

_SIZE = 64
# Of palms that errors are measured on, and of others.
_SEEDS = {0.4: (71, 91), 0.6: (72, 92), 0.8: (73, 93)}
IDENTITIES = 600
IMAGES, COHORT = 4, 200  # Of an identity; palms of the cohort.
# At which FNMR is read.
FMRS = (1e-3, 1e-4)


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.verifier', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--out', default='docs/results', metavar='DIR')
  parser.add_argument('--commit', default='', help='to name in the files')
  args = parser.parse_args(argv)
  judge = verifier.load()
  before = verifier.load(score='network')
  errors, differences = {}, {}
  for difficulty, seeds in _SEEDS.items():
    images = draw(seeds[0], difficulty, IDENTITIES, IMAGES)
    test = judge.templates(images)
    others = judge.templates(draw(seeds[1], difficulty, COHORT, 1))
    name = f'difficulty {difficulty:g}'
    scores, camera = _scores(test, others, images)
    for score, columns in measure_errors(scores, camera, before).items():
      errors.setdefault(score, {}).update(
        {f'{name}: {column}': value for column, value in columns.items()}
      )
    for score, value in measure_differences(scores).items():
      differences.setdefault(score, {})[f'eer, {difficulty:g}'] = value
    measured = {'errors': errors, 'differences': differences}
    print(files.to_json(measured), flush=True)
  for name, table in tables(errors, differences).items():
    content = {
      'command': 'python -m launch.verifier',
      'measured_at': args.commit,
      'runs': 'one run; 95 % intervals over identities in this file',
      'table': table,
    }
    files.write_json(pathlib.Path(args.out) / f'verifier_{name}.json', content)
    print(files.to_json(content), flush=True)


def tables(errors, differences):
  """The three tables of docs/results.md.

  Args:
    errors: {score: {'difficulty D: COLUMN': value}}.
    differences: {row: {column: value}}.

  Returns:
    {'errors': of all pairs, 'differences', 'thresholds': errors at the
    threshold that comes with a score}, each {row: {column: {'mean', …}}}.
  """
  by_pairs, by_threshold = {}, {}
  measured = ('eer', *map(verification.fnmr_name, FMRS))
  for score, columns in errors.items():
    for name, value in columns.items():
      difficulty, _, column = name.partition(': ')
      if column.endswith('at its threshold'):
        row = by_threshold.setdefault(f'{score}, {difficulty}', {})
        row[column.partition(' ')[0]] = value
      elif column in measured:
        place = difficulty.replace('difficulty ', '')
        by_pairs.setdefault(score, {})[f'{column}, {place}'] = value
  return {
    'errors': by_pairs,
    'differences': differences,
    'thresholds': by_threshold,
  }


def draw(seed, difficulty, identities, samples):
  """Drawn palms uint8 [identities · samples, 64, 64, 3], cut as `verify` does.

  Args:
    seed: of the generator.
    difficulty: in [0, 1].
    identities, samples: how many, and images of each.
  """
  images, _, _ = as_read.draw(
    seed,
    identities=identities,
    samples=samples,
    size=2 * _SIZE,
    square=_SIZE,
    difficulty=difficulty,
  )
  return images


def _scores(test, others, images):
  """({score: [N, N]} of test palms, the `cohort.Cohort` of other palms)."""
  camera = cohort.fit(others, dataset='')
  centred = parts.compare(test, test, camera.means)
  raw = parts.compare(test, test, parts.no_means(test.network.shape[1]))
  fused = parts.fuse(centred, camera.standard)
  scores = {
    **{
      f'{name} alone, cohort': centred[k] for k, name in enumerate(parts.NAMES)
    },
    'network alone': raw[2],
    'correlation': np.asarray(
      jax.jit(correlation.all_similarities)(correlation.templates_of(images))
    ),
    'fused, no cohort': parts.fuse(raw[:2], uncalibrated.STANDARD),
    'fused, cohort': fused,
  }
  means = camera.means, others.network
  for shrinkage in verifier_trials.SHRINKAGE:
    white = verifier_trials.whitened(
      centred, test.network, test.network, means, shrinkage
    )
    pairs = cohort.cross_fitted(others, np.random.default_rng(0), shrinkage)
    pairs = pairs[:, *np.triu_indices(len(others.network), 1)]
    name = f'shrinkage {shrinkage:g}'
    scores[f'tried: network alone, cohort, {name}'] = white[2]
    scores[f'tried: fused, cohort, {name}'] = parts.fuse(
      white, parts.standard(pairs, len(others.network))
    )
  to_cohort = parts.fuse(
    parts.compare(test, others, camera.means), camera.standard
  )
  scores['tried: fused, cohort, s-norm'] = verifier_trials.s_normed(
    fused, to_cohort, to_cohort
  )
  return scores, camera


def _pairs(scores):
  labels = np.repeat(np.arange(IDENTITIES), IMAGES)
  return {
    name: verification.matrix_scores((matrix + matrix.T) / 2, labels)
    for name, matrix in scores.items()
  }


def measure_differences(scores):
  """Differences of EERs: that of 'fused, cohort' less that of each other score.

  Intervals are over identities; both scores see the same resamples.

  Args:
    scores: {score: [N, N]} of test palms by identity; N = IDENTITIES · IMAGES.

  Returns:
    {'fused, cohort, less SCORE': {'mean', 'low', 'high'}}; below 0 the fused
    score is better.
  """
  pairs = _pairs(scores)
  fused, differences = pairs.pop('fused, cohort'), {}
  for name, others in pairs.items():
    values, resamples = bootstrap.resample(
      [fused, others], (), bootstrap.DEFAULT
    )
    value = values[0, 0] - values[1, 0]
    low, high = bootstrap.difference_bounds(
      resamples[0, :, 0] - resamples[1, :, 0],
      value,
      bootstrap.DEFAULT.confidence,
      num_independent=IDENTITIES,
    )
    differences[f'fused, cohort, less {name}'] = {
      'mean': float(value),
      'low': float(low),
      'high': float(high),
    }
  return differences


def measure_errors(scores, camera, before):
  """Error rates of each score, of all pairs and at the threshold it comes with.

  Args:
    scores: as of `measure_differences`.
    camera: `cohort.Cohort`, has the threshold of 'fused, cohort'.
    before: `verifier.Verifier` of the network alone, has that of 'network
      alone'.

  Returns:
    {score: {'eer', 'fnmr@fmr=…': {'mean', 'low', 'high'}}}, rates that the rule
    of 30 allows. The three scores with a threshold also have 'FMR at its
    threshold' and 'FNMR at its threshold', each {'mean'}.
  """
  errors = {
    name: {
      column: {
        'mean': value['value'],
        'low': value['low'],
        'high': value['high'],
      }
      for column, value in verification.fnmr_rates(pairs, fmrs=FMRS).items()
      if value['value'] is not None
    }
    for name, pairs in _pairs(scores).items()
  }
  # What users got: errors at the threshold that comes with each score.
  labels = np.repeat(np.arange(IDENTITIES), IMAGES)
  same = labels[:, None] == labels
  strangers, genuine = ~same, same & ~np.eye(len(labels), dtype=bool)
  for name, threshold in (
    ('network alone', before.threshold(1e-3)),
    ('fused, no cohort', uncalibrated.threshold(1e-3)),
    ('fused, cohort', camera.threshold(1e-3)),
  ):
    errors[name] |= {
      'FMR at its threshold': {
        'mean': float(np.mean(scores[name][strangers] >= threshold))
      },
      'FNMR at its threshold': {
        'mean': float(np.mean(scores[name][genuine] < threshold))
      },
    }
  return errors


if __name__ == '__main__':
  sys.exit(main())
