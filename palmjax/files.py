"""Files that are written wholly, or not at all."""

import contextlib
import json
import os
import pathlib


def write_file(path, content):
  """Writes a file wholly, or not at all.

  Args:
    path: of the file.
    content: str, bytes, or a function that writes into an open binary file.

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
        file.write(content.encode() if isinstance(content, str) else content)
      file.flush()
      os.fsync(file.fileno())
    partial.replace(path)
  except OSError as error:
    with contextlib.suppress(OSError):
      partial.unlink()
    raise OSError(
      f'cannot write {path}: {error.strerror or error}; make room there and '
      'run the same command again, what was saved is kept'
    ) from error


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
