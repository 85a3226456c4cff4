"""The start of a run: its folder, its devices and its key."""

import pathlib
import re

import jax

from palmjax.engine import mesh as meshes
from palmjax.engine import run_folder


def take(config, workdir, check):
  """Takes the folder of a run and checks its config, before anything is read.

  Args:
    config: of a recipe, with `num_devices`, `profile` and `seed`.
    workdir: folder of the run; it is made.
    check: (config, mesh), raises ValueError where a setting cannot work.

  Returns:
    (the folder as a path, devices, the key that all keys of the run come from).

  Raises:
    ValueError, OSError: a setting, or a folder of another run; one line.
  """
  profile(config)
  workdir = pathlib.Path(workdir)
  run_folder.take(workdir, config.to_dict())
  mesh = meshes.make(config.num_devices or None)
  check(config, mesh)
  return workdir, mesh, jax.random.key(config.seed)


def profile(config):
  """The iterations of every training that a config wants traced.

  Args:
    config: of a recipe, with `profile`: 'START:STOP', or ''.

  Returns:
    `range`, as of `engine.loop.fit`.

  Raises:
    ValueError: other text, or no iteration in it.
  """
  text = config.profile
  if not text:
    return range(0)
  ends = re.fullmatch(r'(\d+):(\d+)', text, re.ASCII)
  iterations = range(*map(int, ends.groups())) if ends else range(0)
  if not iterations:
    raise ValueError(
      f"--config.profile={text}: give START:STOP, e.g. 10:13, or '' for none"
    )
  return iterations
