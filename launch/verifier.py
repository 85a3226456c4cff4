"""Measures how palms are verified; writes the tables of docs/results.md.

python -m launch.verifier --out=docs/results

Errors: four sets of drawn palms at each of three difficulties, 600 identities ×
4 images in each, are compared by every part, by their fusion with a cohort of
200 other palms, by the fusion without a cohort, by correlation, and by what was
tried and left out (`launch.verifier_trials`). Palms of two sets are not
compared. Rates are means of the four sets, and each set is resampled by itself.
Differences are those of the fused score with a cohort to each other one; both
see the same resamples.

Generator seeds are others than those of the choices: weights and whitening were
chosen on seeds 51 and 61 (`launch.verifier_choice`), the kind of fusion on 11
to 14. What share of strangers passes a threshold: `launch.verifier_rates`.
"""

import argparse
import sys

import jax
import numpy as np

from launch import verifier_errors, verifier_trials
from palmjax import files
from palmjax.data.palms import as_read
from palmjax.evals.recognition import verification
from palmjax.inference import (
  cohort,
  correlation,
  parts,
  uncalibrated,
  verifier,
)

_SIZE = 64
# Of the first set that errors are measured on, and of its cohort. The next sets
# have the next seeds.
_SEEDS = {0.4: (121, 151), 0.6: (131, 161), 0.8: (141, 171)}
SETS, IDENTITIES = 4, 600  # Of a difficulty; of a set.
IMAGES, COHORT = 4, 200  # Of an identity; palms of the cohort.
LABELS = np.repeat(np.arange(IDENTITIES), IMAGES)
# Columns of the table of differences, at each difficulty.
_DIFFERENCES = ('eer', verification.fnmr_name(1e-4))


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.verifier', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--out', default='docs/results', metavar='DIR')
  parser.add_argument('--commit', default='', help='to name in the files')
  args = parser.parse_args(argv)
  out = files.make_folder(args.out)  # Before the work, which takes long.
  judge = verifier.load()
  before = verifier.load(score='network')
  errors, differences = {}, {}
  for difficulty in _SEEDS:
    sets, decisions = [], []
    for number in range(SETS):
      scores, camera = scores_of_set(judge, difficulty, number)
      sets.append(verifier_errors.resample(scores, LABELS, number))
      decisions.append(
        verifier_errors.decisions(scores, LABELS, camera, before)
      )
      print(f'difficulty {difficulty:g}: set {number + 1}', flush=True)
    name = f'difficulty {difficulty:g}'
    for measured in (
      verifier_errors.errors(sets),
      verifier_errors.mean_decisions(decisions),
    ):
      for score, columns in measured.items():
        errors.setdefault(score, {}).update(
          {f'{name}: {column}': value for column, value in columns.items()}
        )
    for row, columns in verifier_errors.differences(sets).items():
      differences.setdefault(row, {}).update(
        {
          f'{column}, {difficulty:g}': value
          for column, value in columns.items()
        }
      )
    measured = {'errors': errors, 'differences': differences}
    print(files.to_json(measured), flush=True)
  for name, table in tables(errors, differences).items():
    content = {
      'command': 'python -m launch.verifier',
      'measured_at': args.commit,
      'runs': f'one run, means of {SETS} sets of {IDENTITIES} identities; '
      '95 % intervals over identities in this file',
      'table': table,
    }
    files.write_json(out / f'verifier_{name}.json', content)
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
  measured = ('eer', *map(verification.fnmr_name, verifier_errors.FMRS))
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
    'differences': {
      row: {
        column: value
        for column, value in columns.items()
        if column.startswith(_DIFFERENCES)
      }
      for row, columns in differences.items()
    },
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


def scores_of_set(judge, difficulty, number):
  """Scores of one set of palms, N = IDENTITIES · IMAGES.

  Args:
    judge: `verifier.Verifier`, makes the templates.
    difficulty: of `_SEEDS`.
    number: of the set, from 0 on.

  Returns:
    ({score: [N, N]} of test palms, the `cohort.Cohort` of other palms).
  """
  seed, of_cohort = (first + number for first in _SEEDS[difficulty])
  images = draw(seed, difficulty, IDENTITIES, IMAGES)
  test = judge.templates(images)
  others = judge.templates(draw(of_cohort, difficulty, COHORT, 1))
  return _scores(test, others, images)


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


if __name__ == '__main__':
  sys.exit(main())
