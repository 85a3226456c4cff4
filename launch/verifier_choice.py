"""Chooses constants of the fused score, on drawn palms that no table shows.

python -m launch.verifier_choice [--out=docs/results]

1,000 identities × 4 images at difficulty 0.8 are compared with each whitening
of the embeddings and each weight of the network. Means, whitening and standards
come from three cohorts of 200 other palms each, and errors are means of the
three. The seeds are others than those of `launch.verifier`, which reports what
was chosen here.
"""

import argparse
import pathlib
import sys

import numpy as np

from launch import verifier, verifier_trials
from palmjax import files
from palmjax.evals.recognition import error_rates, verification
from palmjax.inference import parts
from palmjax.inference import verifier as verifiers

_DIFFICULTY = 0.8
_SEED, _COHORT_SEED = 51, 61
_IDENTITIES, _COHORTS = 1000, 3
_SHRINKAGES = (0.7, 0.9, 0.98, 1.0)
# Of the network, where each code has 1.
_WEIGHTS = (1.0, 2.0, 4.0)
_FMR = 1e-4


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.verifier_choice',
    description=__doc__.split('\n')[0],
  )
  parser.add_argument('--out', default='docs/results', metavar='DIR')
  parser.add_argument('--commit', default='', help='to name in the file')
  args = parser.parse_args(argv)
  table = choose(_IDENTITIES)
  content = {
    'command': 'python -m launch.verifier_choice',
    'measured_at': args.commit,
    'runs': f'one run; means of {_COHORTS} cohorts',
    'table': table,
  }
  files.write_json(pathlib.Path(args.out) / 'verifier_choice.json', content)
  print(files.to_json(content))


def choose(identities):
  """Errors of each choice.

  Args:
    identities: tested, `verifier.IMAGES` images each.

  Returns:
    {row: {'eer', 'fnmr@fmr=1e-4': {'mean'}}}.
  """
  judge = verifiers.load()
  images = verifier.draw(_SEED, _DIFFICULTY, identities, verifier.IMAGES)
  test = judge.templates(images)
  labels = np.repeat(np.arange(identities), verifier.IMAGES)
  others = judge.templates(
    verifier.draw(_COHORT_SEED, _DIFFICULTY, _COHORTS * verifier.COHORT, 1)
  )
  rows = {}
  for number in range(_COHORTS):
    part = slice(number * verifier.COHORT, (number + 1) * verifier.COHORT)
    for name, errors in _with_cohort(test, labels, others.take(part)).items():
      rows.setdefault(name, []).append(errors)
  return {
    name: {
      column: {'mean': float(np.mean([one[column] for one in errors]))}
      for column in errors[0]
    }
    for name, errors in rows.items()
  }


def _with_cohort(test, labels, cohort):
  means = parts.means(cohort)
  pairs = parts.compare(test, test, means)
  among = parts.compare(cohort, cohort, means)
  upper = np.triu_indices(len(cohort.network), 1)
  none = parts.no_means(test.network.shape[1])
  alone = parts.network_scores(test.network, test.network, none)
  errors = {'network alone': _errors(alone, labels)}
  for shrinkage in _SHRINKAGES:
    white, impostors = (
      verifier_trials.whitened(
        scores,
        side.network,
        side.network,
        (means, cohort.network),
        shrinkage,
      )
      for scores, side in ((pairs, test), (among, cohort))
    )
    standard = parts.standard(impostors[:, *upper], len(cohort.network))
    for weight in _WEIGHTS:
      name = f'fused, shrinkage {shrinkage:g}, network {weight:g}'
      errors[name] = _errors(
        parts.fuse(white, _weighted(standard, (1.0, 1.0, weight))), labels
      )
  return errors


def _weighted(standard, weights):
  """`parts.Standard` with other weights of the parts."""
  old, new = (np.array(x) / np.mean(x) for x in (parts.WEIGHTS, weights))
  return standard._replace(
    mean=standard.mean - standard.std * np.log(new / old)
  )


def _errors(matrix, labels):
  scores = verification.matrix_scores(matrix, labels)
  least = error_rates.threshold_at_fmr(scores.impostor, _FMR).threshold
  return {
    'eer': error_rates.eer(scores.genuine, scores.impostor),
    verification.fnmr_name(_FMR): float(np.mean(scores.genuine < least)),
  }


if __name__ == '__main__':
  sys.exit(main())
