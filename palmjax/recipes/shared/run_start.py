"""The start of a run: its folder, its devices and its key."""

import pathlib

import jax

from palmjax.engine import mesh as meshes
from palmjax.engine import run_folder


def take(config, workdir, check):
  """Takes the folder of a run and checks its config, before anything is read.

  Args:
    config: of a recipe, with `num_devices` and `seed`.
    workdir: folder of the run; it is made.
    check: (config, mesh), raises ValueError where a setting cannot work.

  Returns:
    (the folder as a path, devices, the key that all keys of the run come from).

  Raises:
    ValueError, OSError: a setting, or a folder of another run; one line.
  """
  workdir = pathlib.Path(workdir)
  run_folder.take(workdir, config.to_dict())
  mesh = meshes.make(config.num_devices or None)
  check(config, mesh)
  return workdir, mesh, jax.random.key(config.seed)
