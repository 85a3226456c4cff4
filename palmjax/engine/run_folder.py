"""The folder of a run: for one run at a time, and for one configuration."""

import contextlib
import json
import os
import pathlib
import uuid

from palmjax import files
from palmjax.engine import processes, records

_LOCK = '.lock'
# Keys of a config that change no result: a resumed run may have others.
_FREE = ('profile',)
# By workdir: the open lock file, and the folders that were made for it, inner
# ones first. The kernel drops a lock with its process, so a killed run leaves
# none behind.
_taken = {}


def take(workdir, config):
  """Locks `workdir` for this run; refuses a workdir of another config.

  Process 0 takes the lock, and the others make sure that they see the folder.

  Args:
    workdir: path; made if it is not there.
    config: JSON values.

  Raises:
    ValueError: another run works there, or another config did; the processes
      of this run were given other configs, or do not see one folder.
    OSError: the folder cannot be made or written; says what to do.
  """
  workdir = pathlib.Path(workdir).resolve()
  made = [path for path in (workdir, *workdir.parents) if not path.exists()]
  files.make_folder(workdir)
  processes.require_same(json.loads(files.to_json(config)), 'configuration')
  _require_shared(workdir)
  if not processes.is_first():
    return
  if workdir not in _taken:
    _taken[workdir] = _lock(workdir), made
  path = workdir / 'config.json'
  if path.exists():
    there = records.read(path)
    if there.get('recipe') != config.get('recipe'):
      raise ValueError(
        f'workdir {workdir} holds a run of the recipe {there.get("recipe")}: '
        'use another workdir'
      )
    here = json.loads(files.to_json(config))
    records.require_same(
      *({k: v for k, v in c.items() if k not in _FREE} for c in (there, here)),
      f'workdir {workdir}',
      'use another workdir or the old config',
    )


def drop_unused(workdir):
  """Removes a workdir of `take` in which nothing was begun.

  Only a workdir that holds the lock and nothing else is touched. The lock goes,
  and so do the folders that were made for it.
  """
  workdir = pathlib.Path(workdir).resolve()
  # Somebody may have removed it; a folder above may hold another run by now.
  with contextlib.suppress(OSError):
    if workdir in _taken and os.listdir(workdir) == [_LOCK]:
      lock, made = _taken.pop(workdir)
      with lock:
        (workdir / _LOCK).unlink()
        for folder in made:
          folder.rmdir()


def keep_config(workdir, config):
  """Writes config.json; then `take` refuses any other config.

  Called once the config has proved sound: a mistake must not lock its workdir.
  """
  path = pathlib.Path(workdir) / 'config.json'
  if processes.is_first() and not path.exists():
    files.write_json(path, config)


def _require_shared(workdir):
  """Refuses a folder that is another one in each process."""
  if not processes.several():
    return
  name = processes.value_of_first(f'.seen-{uuid.uuid4().hex}')
  mark = workdir / name
  if processes.is_first():
    files.write_file(mark, '')
  processes.wait('mark')
  seen = mark.exists()
  processes.wait('seen')
  if processes.is_first():
    mark.unlink()
  folder = processes.value_of_first(str(workdir))
  if not seen:
    raise ValueError(
      f'process {processes.index()} does not see the {folder} of process 0: '
      'give a workdir on a drive or a mounted bucket that all processes share'
    )


def _lock(workdir):
  try:
    return files.lock(workdir / _LOCK, wait=False)
  except BlockingIOError as error:
    raise ValueError(
      f'another process is at work in {workdir}: wait for it, or use another '
      f'workdir'
    ) from error
