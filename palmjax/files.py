"""Files written whole or not at all, folders, locks, and words for errors."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib

_RESUME = 'run the same command again'
_ADVICE = {
  errno.ENOSPC: f'make room there and {_RESUME}',
  errno.EDQUOT: f'make room there and {_RESUME}',
  errno.EFBIG: f'allow larger files there and {_RESUME}',
  errno.EACCES: 'choose a folder in which you may write, or change its rights',
  errno.EPERM: 'choose a folder in which you may write, or change its rights',
  errno.EROFS: 'choose a folder on a disk that is not read-only',
  errno.ENAMETOOLONG: 'choose a shorter name',
  errno.ENOTDIR: 'a part of this path is a file; choose another path',
  errno.EEXIST: 'a file has this name; choose another name',
  errno.EISDIR: 'a folder has this name; choose another name',
  errno.ENOENT: 'a folder of this path is missing; make it or choose another',
  errno.ELOOP: 'links of this path lead in a circle; choose another path',
}


def cannot(action, path, error):
  """The OSError of a path in one line that says what to do.

  Args:
    action: 'write', 'make the folder', …
    path: what could not be written.
    error: the OSError.

  Returns:
    OSError with the same errno; the path stands in the text alone.
  """
  advice = _ADVICE.get(error.errno, _RESUME)
  readable_error = OSError(
    f'cannot {action} {path}: {error.strerror or error}; {advice}'
  )
  readable_error.errno = error.errno
  return readable_error


def make_folder(path):
  """Makes a folder and those above it, where they are not there.

  Returns:
    The path.

  Raises:
    OSError: one line with the path and what to do.
  """
  path = pathlib.Path(path)
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise cannot('make the folder', path, error) from error
  return path


def lock(path, *, wait):
  """Takes a lock file for this process; the kernel drops it with the process.

  Args:
    path: of the lock file, which is made and stays.
    wait: whether to wait for a process that holds it.

  Returns:
    The open file; closing it gives the lock back.

  Raises:
    BlockingIOError: another process holds it, and `wait` is False.
    OSError: one line with the path and what to do.
  """
  try:
    file = pathlib.Path(path).open('w')  # noqa: SIM115
  except OSError as error:
    raise cannot('write', path, error) from error
  try:
    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
  except BlockingIOError:
    file.close()
    raise
  except OSError as error:
    # Network file systems without locks: better unguarded than not at all.
    if error.errno not in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK):
      file.close()
      raise cannot('lock', path, error) from error
  return file


def write_file(path, content):
  """Writes a file wholly, or not at all.

  Args:
    path: of the file.
    content: str, bytes, or a function that writes into an open binary file. A
      str may hold names that are not UTF-8: they are written with escapes.

  Raises:
    OSError: one line with the path and what to do; what was there stays.
  """
  path = pathlib.Path(path)
  partial = path.with_name(path.name + '.tmp')
  try:
    with partial.open('wb') as file:
      if callable(content):
        content(file)
      else:
        if isinstance(content, str):
          content = content.encode('utf-8', 'backslashreplace')
        file.write(content)
      file.flush()
      os.fsync(file.fileno())
    partial.replace(path)
  except OSError as error:
    with contextlib.suppress(OSError):
      partial.unlink()
    raise cannot('write', path, error) from error


def to_json(value):
  """`value` as text: sorted keys, arrays and their scalars as numbers, no NaN.

  Raises:
    ValueError: NaN, infinity, or something that JSON cannot hold.
  """
  try:
    return json.dumps(
      value, sort_keys=True, indent=2, allow_nan=False, default=_plain
    )
  except TypeError as error:
    raise ValueError(f'not a JSON value: {error}') from error


def _plain(value):
  if hasattr(value, '__array__'):
    return value.tolist()
  raise TypeError(f'{value!r} of type {type(value).__name__}')


def write_json(path, value):
  """`write_file` of `to_json(value)`: same value, same bytes."""
  write_file(path, to_json(value) + '\n')
