"""Chooses constants of the fused score, on drawn palms that no table shows.

python -m launch.verifier_choice [--out=docs/results]

1,000 identities × 4 images at difficulty 0.8 are compared with each whitening
of the embeddings and each weight of the network. Means, whitening and standards
come from three cohorts of 200 other palms each, and errors are means of the
three. The seeds are others than those of `launch.verifier`, which reports what
was chosen here.
"""

import argparse
import sys

import numpy as np

from launch import verifier, verifier_trials
from palmjax import files
from palmjax.evals.recognition import error_rates, verification
from palmjax.inference import cohort, parts
from palmjax.inference import verifier as verifiers

_DIFFICULTY = 0.8
_SEED, _COHORT_SEED = 51, 61
_IDENTITIES, _COHORTS = 1000, 3
_SHRINKAGES = (0.7, 0.9, 0.98, 1.0)
# Of the network, where each code has 1.
_WEIGHTS = (1.0, 2.0, 4.0)
FMR = 1e-4


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.verifier_choice',
    description=__doc__.split('\n')[0],
  )
  parser.add_argument('--out', default='docs/results', metavar='DIR')
  parser.add_argument('--commit', default='', help='to name in the file')
  args = parser.parse_args(argv)
  out = files.make_folder(args.out)  # Before the work, which takes long.
  table = choose(_IDENTITIES)
  content = {
    'command': 'python -m launch.verifier_choice',
    'measured_at': args.commit,
    'runs': f'one run; means of {_COHORTS} cohorts',
    'table': table,
  }
  files.write_json(out / 'verifier_choice.json', content)
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
    for name, rates in _with_cohort(test, labels, others.take(part)).items():
      rows.setdefault(name, []).append(rates)
  return {
    name: {
      column: {'mean': float(np.mean([one[column] for one in rates]))}
      for column in rates[0]
    }
    for name, rates in rows.items()
  }


def _with_cohort(test, labels, others):
  means = parts.means(others)
  pairs = parts.compare(test, test, means)
  upper = np.triu_indices(len(others.network), 1)
  none = parts.no_means(test.network.shape[1])
  alone = parts.network_scores(test.network, test.network, none)
  rates = {'network alone': errors(alone, labels)}
  for shrinkage in _SHRINKAGES:
    white = verifier_trials.whitened(
      pairs, test.network, test.network, (means, others.network), shrinkage
    )
    impostors = cohort.cross_fitted(
      others, np.random.default_rng(0), shrinkage
    )[:, *upper]
    standard = parts.standard(impostors, len(others.network))
    for weight in _WEIGHTS:
      name = f'fused, shrinkage {shrinkage:g}, network {weight:g}'
      other = weighted(standard, parts.WEIGHTS, (1.0, 1.0, weight))
      rates[name] = errors(parts.fuse(white, other), labels)
  return rates


def weighted(standard, old, new):
  """A `parts.Standard` with other weights of its parts.

  Args:
    standard: of K parts.
    old: its weights, K numbers up to a factor.
    new: those that it is to have.

  Returns:
    `parts.Standard`.
  """
  old, new = (np.array(x) / np.mean(x) for x in (old, new))
  return standard._replace(
    mean=standard.mean - standard.std * np.log(new / old)
  )


def errors(matrix, labels):
  """Errors of the scores of all pairs.

  Args:
    matrix: float [N, N], symmetric.
    labels: int [N].

  Returns:
    {'eer', 'fnmr@fmr=1e-4'}.
  """
  scores = verification.matrix_scores(matrix, labels)
  least = error_rates.threshold_at_fmr(scores.impostor, FMR).threshold
  return {
    'eer': error_rates.eer(scores.genuine, scores.impostor),
    verification.fnmr_name(FMR): float(np.mean(scores.genuine < least)),
  }


if __name__ == '__main__':
  sys.exit(main())
