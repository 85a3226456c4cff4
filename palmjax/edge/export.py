"""Trained networks as folders: weights, architecture, pre-processing.

  weights.npz       variables, flattened: 'params/block_0/kernel', …
  model.json        format version, digest of weights.npz, architecture, sizes
  preprocess.json   what images must go through (`data.preprocess`)

The bytes depend on the content alone: entries sorted, no time stamps, numbers
of one fixed layout. The digest ties the files together, so that weights of one
run beside the description of another are found.
"""

import dataclasses
import hashlib
import io
import json
import os
import zipfile
from typing import Any

import flax.traverse_util
import numpy as np

from palmjax.engine import checkpoint

FORMAT = 1

_WEIGHTS, _MODEL, _PREPROCESS = 'weights.npz', 'model.json', 'preprocess.json'
# The earliest time a zip file can hold.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True, eq=False)
class Export:
  """A network that left training.

  Attributes:
    variables: nested dict of NumPy arrays, {'params': …, …}.
    model: the architecture's name and sizes, plain values.
    preprocess: plain values of the pre-processing it was trained with.
  """

  variables: dict[str, Any]
  model: dict[str, Any]
  preprocess: dict[str, Any]


def save(directory, *, variables, model, preprocess):
  """Writes an export; equal arguments give equal bytes.

  Each file appears whole or not at all. `model.json` is written last and
  `load` refuses the folder before it is there and fits.

  Args:
    directory: folder, made if need be; an export in it is replaced.
    variables: nested dict of arrays of NumPy's own number types (bfloat16 is
      not one: parameters are float32).
    model: dict of plain values (JSON), e.g. {'name': …, 'embedding_size': …}.
    preprocess: dict of plain values (JSON), e.g. `Preprocess.to_json()`.

  Raises:
    ValueError: a leaf that is no array of numbers, or a name with '/'.
  """
  weights = _pack(variables)
  description = {
    'format': FORMAT,
    'weights_sha256': hashlib.sha256(weights).hexdigest(),
    'model': model,
  }
  os.makedirs(directory, exist_ok=True)
  checkpoint.write_file(os.path.join(directory, _WEIGHTS), weights)
  checkpoint.write_file(os.path.join(directory, _PREPROCESS), _json(preprocess))
  checkpoint.write_file(os.path.join(directory, _MODEL), _json(description))


def load(directory, *, template=None):
  """Reads an export.

  Args:
    directory: folder that `save` wrote.
    template: pytree of the variables that the network expects (arrays or
      `jax.ShapeDtypeStruct`, as `jax.eval_shape` gives); None checks nothing.

  Returns:
    `Export`.

  Raises:
    FileNotFoundError: the folder or a file of it is missing.
    ValueError: damaged or mixed files, another format version, or variables
      that do not fit the template; one line, naming the first.
  """
  description = _read_json(directory, _MODEL)
  version = description.get('format')
  if version != FORMAT:
    raise ValueError(
      f'{os.path.join(directory, _MODEL)} has format {version}, this version '
      f'of palmjax reads {FORMAT}; export the network again'
    )
  preprocess = _read_json(directory, _PREPROCESS)
  weights = _read(directory, _WEIGHTS)
  if hashlib.sha256(weights).hexdigest() != description.get('weights_sha256'):
    raise ValueError(
      f'{os.path.join(directory, _WEIGHTS)} is damaged or belongs to another '
      f'{_MODEL}; copy the whole folder again'
    )
  variables = _unpack(weights, os.path.join(directory, _WEIGHTS))
  if template is not None:
    _check_template(variables, template, directory)
  return Export(variables, description['model'], preprocess)


def check_preprocess(export, other):
  """Refuses input or a gallery made with another pre-processing.

  Args:
    export: `Export`.
    other: dict of plain values, what the input was made with.

  Raises:
    ValueError: names the first key that differs, and both values.
  """
  # Through JSON, so that a tuple equals the list it is stored as.
  mine, theirs = (json.loads(_json(d)) for d in (export.preprocess, other))
  for key in sorted(mine.keys() | theirs.keys()):
    if key not in mine or key not in theirs or mine[key] != theirs[key]:
      raise ValueError(
        f'pre-processing differs in {key!r}: the network was trained with '
        f'{mine.get(key, "no such key")}, this input was made with '
        f'{theirs.get(key, "no such key")}; make it again with the '
        f"network's {_PREPROCESS}"
      )


def _flatten(variables):
  """{'a/b/c': array} of a nested dict."""
  flat = {}
  for path, leaf in flax.traverse_util.flatten_dict(variables).items():
    if not all(isinstance(name, str) and '/' not in name for name in path):
      raise ValueError(f'variables named {path}: names are strings without /')
    flat['/'.join(path)] = leaf
  return flat


def _pack(variables):
  """The bytes of weights.npz."""
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_STORED) as archive:
    for name, leaf in sorted(_flatten(variables).items()):
      array = np.asarray(leaf)
      if array.dtype.kind not in 'biuf':
        raise ValueError(f'{name} holds {array.dtype}; exports hold numbers')
      # One byte order and C layout, whatever the array had.
      array = np.ascontiguousarray(array, array.dtype.newbyteorder('<'))
      entry = zipfile.ZipInfo(f'{name}.npy', _NO_TIME)
      entry.create_system = 3  # Else it tells the operating system.
      content = io.BytesIO()
      np.lib.format.write_array(
        # `reshape`: ascontiguousarray made vectors of scalars.
        content,
        array.reshape(np.shape(leaf)),
        version=(1, 0),
        allow_pickle=False,
      )
      archive.writestr(entry, content.getvalue())
  return buffer.getvalue()


def _unpack(weights, path):
  """Nested dict of arrays in buffers of their own."""
  try:
    with np.load(io.BytesIO(weights), allow_pickle=False) as archive:
      flat = {tuple(name.split('/')): archive[name] for name in archive.files}
  except (ValueError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(f'{path} is damaged: {error}') from error
  return flax.traverse_util.unflatten_dict(flat)


def _check_template(variables, template, directory):
  found, expected = _flatten(variables), _flatten(template)
  for name in sorted(found.keys() | expected.keys()):
    sides = [
      f'{side[name].dtype}{list(side[name].shape)}' if name in side else 'none'
      for side in (found, expected)
    ]
    if sides[0] != sides[1]:
      raise ValueError(
        f'{directory} does not fit the network: {name} is {sides[0]} in the '
        f'export and {sides[1]} in the network; build the network from its '
        f'{_MODEL}'
      )


def _json(values):
  return (json.dumps(values, indent=2, sort_keys=True) + '\n').encode()


def _read_json(directory, name):
  try:
    values = json.loads(_read(directory, name))
  except ValueError as error:
    raise ValueError(
      f'{os.path.join(directory, name)} is damaged ({error}); copy the whole '
      'folder again'
    ) from error
  if not isinstance(values, dict):
    raise ValueError(f'{os.path.join(directory, name)} is no JSON object')
  return values


def _read(directory, name):
  path = os.path.join(directory, name)
  try:
    with open(path, 'rb') as file:
      return file.read()
  except FileNotFoundError:
    raise FileNotFoundError(
      f'{path} is missing; give a folder that holds {_WEIGHTS}, {_MODEL} and '
      f'{_PREPROCESS}'
    ) from None
