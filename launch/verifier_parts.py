"""Compares the scores that `verify` could use: each part and every fusion.

python -m launch.verifier_parts [--out=docs/results]

Drawn palms of 300 identities × 4 images, of two generator seeds at each of
three difficulties, and at difficulty 0.6 with a light, a skin and a camera of
their own. With a cohort means, whitening and standards come from 200 other
palms of the same camera. Without one nothing is taken off, and standards come
from 200 palms of another camera (difficulty 0.5). Errors are means of both
seeds. The weights are those of `parts.WEIGHTS`, and 0 for a part that is left
out. The seeds are others than those of `launch.verifier`.
"""

import argparse
import itertools
import sys

import jax
import numpy as np

from launch import verifier, verifier_choice
from palmjax import files
from palmjax.data.palms import drift
from palmjax.inference import cohort, parts
from palmjax.inference import verifier as verifiers

_IDENTITIES = 300
_SEEDS = ((52, 62), (53, 63))  # Of palms that are tested, and of the cohort.
_ELSEWHERE, _DIFFICULTY_ELSEWHERE = 64, 0.5
# {column: (difficulty, how light, skin and camera differ)}.
_SETS = {
  '0.4': (0.4, drift.Drift()),
  '0.6': (0.6, drift.Drift()),
  '0.8': (0.8, drift.Drift()),
  'drift': (0.6, drift.Drift(light=0.5, dryness=0.5, camera=0.5)),
}
SUBSETS = tuple(
  subset
  for size in range(1, len(parts.NAMES) + 1)
  for subset in itertools.combinations(parts.NAMES, size)
)


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.verifier_parts',
    description=__doc__.split('\n')[0],
  )
  parser.add_argument('--out', default='docs/results', metavar='DIR')
  parser.add_argument('--commit', default='', help='to name in the file')
  args = parser.parse_args(argv)
  out = files.make_folder(args.out)  # Before the work, which takes long.
  content = {
    'command': 'python -m launch.verifier_parts',
    'measured_at': args.commit,
    'runs': f'one run; means of {len(_SEEDS)} generator seeds',
    'table': measure(_IDENTITIES),
  }
  files.write_json(out / 'verifier_parts.json', content)
  print(files.to_json(content))


def measure(identities):
  """Errors of each subset of the parts, with and without a cohort.

  Args:
    identities: tested in each set, `verifier.IMAGES` images each.

  Returns:
    {'SUBSET, cohort' or 'SUBSET, no cohort': {'eer, SET', 'fnmr@fmr=1e-4, SET':
    {'mean'}}}.
  """
  judge = verifiers.load()
  labels = np.repeat(np.arange(identities), verifier.IMAGES)
  elsewhere = judge.templates(
    verifier.draw(_ELSEWHERE, _DIFFICULTY_ELSEWHERE, verifier.COHORT, 1)
  )
  nothing = parts.no_means(elsewhere.network.shape[1])
  raw = parts.compare(elsewhere, elsewhere, nothing)
  elsewhere = standard_of(raw)
  rows = {}
  for column, (difficulty, knobs) in _SETS.items():
    for seed, of_cohort in _SEEDS:
      test, others = (
        judge.templates(_draw(number, difficulty, knobs, *count))
        for number, count in (
          (seed, (identities, verifier.IMAGES)),
          (of_cohort, (verifier.COHORT, 1)),
        )
      )
      crossed = cohort.cross_fitted(others, np.random.default_rng(seed))
      for how, standard, means in (
        ('cohort', standard_of(crossed), parts.means(others)),
        ('no cohort', elsewhere, nothing),
      ):
        scores = parts.compare(test, test, means)
        for subset in SUBSETS:
          name = f'{" + ".join(subset)}, {how}'
          fused = fuse(scores, standard, subset)
          errors = verifier_choice.errors(fused, labels)
          print(column, seed, name, errors, flush=True)
          for error, value in errors.items():
            row = rows.setdefault(name, {})
            row.setdefault(f'{error}, {column}', []).append(value)
  return {
    name: {column: {'mean': float(np.mean(x))} for column, x in row.items()}
    for name, row in rows.items()
  }


def standard_of(scores):
  """`parts.Standard` of all pairs of different palms, scores [3, N, N]."""
  count = scores.shape[1]
  return parts.standard(scores[:, *np.triu_indices(count, 1)], count)


def fuse(scores, standard, subset):
  """Scores [P, G], fused of a subset of the parts.

  Args:
    scores: float32 [3, P, G].
    standard: `parts.Standard` of the three parts.
    subset: of `parts.NAMES`.

  Returns:
    float64 [P, G].
  """
  kept = [parts.NAMES.index(name) for name in subset]
  weights = np.array(parts.WEIGHTS)[kept]
  whole = verifier_choice.weighted(standard, parts.WEIGHTS, np.ones(3))
  part = parts.Standard(whole.mean[kept], whole.std[kept])
  return parts.fuse(
    scores[kept], verifier_choice.weighted(part, np.ones(len(kept)), weights)
  )


def _draw(seed, difficulty, knobs, identities, samples):
  images = verifier.draw(seed, difficulty, identities, samples)
  return np.asarray(drift.apply(images, knobs, jax.random.key(seed)))


if __name__ == '__main__':
  sys.exit(main())
