"""The trainings that a shipped hand detector is made of."""

import json
import pathlib

import jax
import numpy as np

from configs import gesture as gesture_config
from release import record

ARM = 'student_alone'


def mean(variables):
  """The mean of networks of one kind, leaf by leaf.

  Args:
    variables: list of trees of float arrays.

  Returns:
    A tree with the types of the first.
  """
  return jax.tree.map(
    lambda *leaves: np.mean(leaves, axis=0, dtype=np.float64).astype(
      leaves[0].dtype
    ),
    *variables,
  )


def commands(runs):
  """The commands of trainings, with placeholders for paths.

  Args:
    runs: paths of the workdirs.

  Returns:
    list of commands of `release.made_by`; one more where the trainings went on
    from another one.

  Raises:
    ValueError: the config has other keys than configs/gesture.py has now, the
      training before it went on from a third one, or several trainings did not
      go on from the same one.
  """
  before = start(runs[0])
  for run in runs[1:]:
    if before is None or start(run) != before:
      raise ValueError(
        f'{run} and {runs[0]} went on from different weights: a mean is taken '
        'of trainings that went on from the same ones'
      )
  trainings = [
    _command(run, name) for run, name in zip(runs, names(runs), strict=True)
  ]
  if before is None:
    return trainings
  if start(before) is not None:
    raise ValueError(
      f'{runs[0]} went on from {before}, which went on from another: train in '
      'one or two steps'
    )
  return [_command(before, 'start'), *trainings]


def names(runs):
  """Names of the workdirs in the commands: 'run', or 'run0', 'run1', …."""
  if len(runs) == 1:
    return ['run']
  return [f'run{k}' for k in range(len(runs))]


def prefixes(runs):
  """Prefixes of the names of the files that are kept of each run."""
  return [''] if len(runs) == 1 else [f'{name}_' for name in names(runs)]


def start(run):
  """Path of the workdir that a run went on from, or None."""
  path = json.loads((run / 'config.json').read_text())['train']['start']
  # WORKDIR/<stage>/export.
  return pathlib.Path(path).parents[1] if path else None


def _command(run, workdir):
  return record.training(
    run,
    path='configs/gesture.py:weights',
    usual=gesture_config.get_config('weights'),
    names={
      'data.dir': '{boxes}',
      'train.start': f'{{workdir}}/start/{ARM}/export',
    },
    workdir=workdir,
  )
