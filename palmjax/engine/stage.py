"""Stages: a recipe is a straight list of calls of `run`.

A stage reads its arguments and the sections of the config that it names, writes
only its own directory, and ends with export/ and then DONE.json. A finished
stage that was made of the same config, inputs and key is not run again; an
unfinished one goes on from its ckpt/. Its key is fold_in(root, crc32(name)), so
skipping one changes nothing later.

Where several processes run a recipe, all run the body of a stage. What process
0 exports counts: the others export into a folder of their own, which goes, and
read the export of process 0 in the stages that follow.
"""

import copy
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import zlib
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging

from palmjax import files
from palmjax.engine import processes, records, stopwatch


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
  """Name, folders and random key that the body of a stage gets.

  Attributes:
    workdir: of the run: the log of all stages is there.
    name: of the stage and of its directory in `workdir`.
    export: existing empty directory for its results.
    key: random key of the stage.
    profile: iterations of its training that are traced, see `loop.fit`.
  """

  workdir: pathlib.Path
  name: str
  export: pathlib.Path
  key: jax.Array
  profile: range = range(0)


@dataclasses.dataclass(frozen=True)
class Result:
  """Result of a finished stage: export folder, metrics, fingerprint.

  Attributes:
    name: of the stage.
    path: its export directory.
    metrics: what its body returned, as JSON gives it back.
    fingerprint: SHA-256 over the files of the export, hexadecimal.
  """

  name: str
  path: pathlib.Path
  metrics: dict[str, Any]
  fingerprint: str


def run(
  name,
  body,
  *,
  workdir,
  key,
  config,
  sections,
  facts,
  inputs,
  profile=range(0),
):
  """Runs or resumes a stage; returns the stored `Result` if it is done.

  Args:
    name: of the stage and of its directory in `workdir`.
    body: (`Stage`, config, **exports) → metrics: writes its results into
      `Stage.export`, returns JSON values. Its config is a `ConfigDict` of the
      `sections` alone; exports are the directories of the `inputs` by name.
    workdir: path.
    key: root key of the recipe.
    config: dict of JSON values, the config of the recipe.
    sections: keys of `config` that the stage depends on.
    facts: dict of JSON values that it depends on beside these.
    inputs: dict name → `Result` of the stages that it reads.
    profile: of the `Stage`; it changes no result.

  Returns:
    `Result`.

  Raises:
    ValueError: the directory holds work of another config, other inputs or
      another key, or an export that was changed; metrics that JSON cannot hold;
      processes that were given other values, or see another directory.
  """
  directory = pathlib.Path(workdir).absolute() / name
  export = directory / 'export'
  done = directory / 'DONE.json'
  begun = directory / 'stage.json'
  values = {name: config[name] for name in sections}
  record = {
    'config': {**facts, **values},
    'inputs': {name: result.fingerprint for name, result in inputs.items()},
    'key': jax.random.key_data(key).tolist(),
  }
  record = json.loads(files.to_json(record))
  processes.require_same(record, f"configuration of stage '{name}'")
  if processes.is_first():
    for path in (begun, done):
      if path.exists():
        records.require_same(
          {k: v for k, v in records.read(path).items() if k in record},
          record,
          f"stage '{name}' in {directory}",
          f'use another workdir or delete {directory}',
        )
  if processes.value_of_first(done.exists()):
    logging.info('%s: finished before', name)
  else:
    logging.info('%s: %s', name, _start(directory, begun))

    def work(export):
      return body(
        Stage(directory.parent, name, export, stage_key(key, name), profile),
        ml_collections.ConfigDict(copy.deepcopy(values)),
        **{name: result.path for name, result in inputs.items()},
      )

    if processes.is_first():
      _make(directory, record, work)
    else:
      with tempfile.TemporaryDirectory() as scratch:
        work(pathlib.Path(scratch))
  processes.wait(f'stage {name}')
  finished = records.read(done)
  if fingerprint_of(export) != finished['fingerprint']:
    raise ValueError(
      f"the export of stage '{name}' was changed after it was made: delete "
      f'{directory} and run again'
    )
  return Result(name, export, finished['metrics'], finished['fingerprint'])


def _start(directory, begun):
  """How an unfinished stage starts, in words."""
  if not processes.value_of_first(begun.exists()):
    return 'begins'
  ckpt = directory / 'ckpt'
  names = [path.name for path in ckpt.iterdir()] if ckpt.is_dir() else []
  step = max((int(name) for name in names if name.isdecimal()), default=None)
  if step is None:
    return 'begun before, without a checkpoint: begins again'
  return f'goes on from step {step}'


def _make(directory, record, work):
  """Writes stage.json, then what `work` exports, then DONE.json."""
  files.make_folder(directory)
  files.write_json(directory / 'stage.json', record)
  with stopwatch.running(directory):
    partial, export = directory / 'export.tmp', directory / 'export'
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    metrics = work(partial)
    fingerprint = fingerprint_of(partial)
    result = files.to_json(
      {**record, 'metrics': metrics, 'fingerprint': fingerprint}
    )
    _sync(partial)
    shutil.rmtree(export, ignore_errors=True)
    partial.rename(export)
    files.write_file(directory / 'DONE.json', result + '\n')


def stage_key(key, name):
  """Derives the random key of stage `name` from the recipe's root key."""
  return jax.random.fold_in(key, np.uint32(zlib.crc32(name.encode())))


def endings(results):
  """Returns {name: why the training ended} from {name: `Result`}."""
  return {name: result.metrics['ended'] for name, result in results.items()}


def fingerprint_of(directory):
  """Returns the SHA-256 over the files below `directory`, hexadecimal."""
  total = hashlib.sha256()
  for path in _files(directory):
    name = path.relative_to(directory).as_posix()
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    total.update(f'{name}\0{content}\n'.encode())
  return total.hexdigest()


def _files(directory):
  return sorted(path for path in directory.rglob('*') if path.is_file())


def _sync(directory):
  for path in _files(directory):
    with path.open('rb') as file:
      os.fsync(file.fileno())
