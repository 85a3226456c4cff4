"""Facts about a run for run.json: time, memory, versions, machine."""

import importlib.metadata
import platform
import resource

import jax

from palmjax import files
from palmjax.engine import costs, feed, stopwatch
from palmjax.report import html

# Identities or images. Fewer say that a run works, not how well.
_FEW = 30
_PACKAGES = ('jax', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


def write(workdir, *, skipped, **more):
  """Writes run.json into the workdir.

  Args:
    workdir: folder of the run.
    skipped: names of the images that could not be read.
    **more: further entries, plain values.

  Returns:
    What was written: 'seconds' by stage, 'cost' by stage and step, 'input
    wait' by stage (share of the time of its iterations), 'skipped images',
    'versions', 'machine', and `more`.
  """
  facts = {
    'seconds': stopwatch.read(workdir),
    'cost': costs.read(workdir),
    'input wait': feed.shares(workdir),
    'skipped images': list(skipped),
    'versions': {
      'python': platform.python_version(),
      **{name: importlib.metadata.version(name) for name in _PACKAGES},
    },
    'machine': {
      'devices': ', '.join(sorted({d.device_kind for d in jax.devices()})),
      'device_count': jax.device_count(),
      # Of the last process of the run; Linux counts in KB.
      'peak_memory_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
      // 1024,
    },
    **more,
  }
  files.write_json(workdir / 'run.json', facts)
  return facts


def caution(count, noun):
  """Returns a sentence if a test is too small to judge by, or ''.

  Args:
    count: of what was tested.
    noun: what that is, plural.
  """
  if count >= _FEW:
    return ''
  return f' Only {count} {noun} were tested: too few to judge by.'


def announce(workdir, headline):
  """Prints a line about a finished run: its result, and the report's path.

  Args:
    workdir: folder of the run.
    headline: of the report.
  """
  print(f'Done. {headline} Report: {workdir / "report.html"}', flush=True)


def endings(ended):
  """Why the training of each model ended, as a part of a report.

  Args:
    ended: {name: reason}, of metrics.json.

  Returns:
    `html.Values`.
  """
  return html.Values(
    'Why trainings ended',
    ended,
    'cap: it ran all its steps; converged: a held-out measure no longer '
    'improved; threshold: the training loss was low enough.',
  )


def minutes(seconds):
  """Formats seconds as '7 min 5 s'."""
  return f'{int(seconds) // 60} min {int(seconds) % 60} s'
