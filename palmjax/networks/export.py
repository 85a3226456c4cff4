"""Trained networks as folders: weights, architecture, pre-processing.

  weights.npz       variables, flattened: 'params/block_0/kernel', …
  model.json        format version, digests of all, architecture, sizes
  preprocess.json   what images must go through (`images.preprocess`)

The bytes depend on the content alone: entries sorted, no time stamps, numbers
of one fixed layout. The digests tie the files together, so that weights of one
run beside the description of another are found, and numbers changed by hand.
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

from palmjax import files

FORMAT = 1

_WEIGHTS, _MODEL, _PREPROCESS = 'weights.npz', 'model.json', 'preprocess.json'
# Where model.json holds the digest of each of the others.
_DIGEST = {_WEIGHTS: 'weights_sha256', _PREPROCESS: 'preprocess_sha256'}
# And of the architecture that it tells itself.
_MODEL_DIGEST = 'model_sha256'
# Palm networks are called as their backbones.
_KINDS = {
  'detector': 'hand detector',
  'frame_reader': 'reader of palm frames',
  'generator': 'generator',
}
# The earliest time a zip file can hold.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True, eq=False)
class Export:
  """A network that left training.

  Attributes:
    variables: nested dict of NumPy arrays, {'params': …, …}.
    model: the architecture's name and sizes, plain values.
    preprocess: plain values of the pre-processing it was trained with.
    digests: as `digests` of its folder, from the bytes that were read.
  """

  variables: dict[str, Any]
  model: dict[str, Any]
  preprocess: dict[str, Any]
  digests: dict[str, str]

  @property
  def kind(self):
    """'palm network', 'hand detector', 'reader of palm frames', 'generator'."""
    return _KINDS.get(self.model.get('name'), 'palm network')


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
  contents = {_WEIGHTS: _pack(variables), _PREPROCESS: _json(preprocess)}
  description = {
    'format': FORMAT,
    **_digests(contents),
    _MODEL_DIGEST: _digest(_json(model)),
    'model': model,
  }
  os.makedirs(directory, exist_ok=True)
  for name, content in contents.items():
    files.write_file(os.path.join(directory, name), content)
  files.write_file(os.path.join(directory, _MODEL), _json(description))


def load(directory):
  """Reads an export.

  Args:
    directory: folder that `save` wrote.

  Returns:
    `Export`.

  Raises:
    FileNotFoundError: the folder or a file of it is missing.
    ValueError: damaged, edited or mixed files, or another format version; one
      line, naming the first.
  """
  description = _parse(_read(directory, _MODEL), directory, _MODEL)
  version = description.get('format')
  if version != FORMAT:
    raise ValueError(
      f'{os.path.join(directory, _MODEL)} has format {version}, this version '
      f'of palmjax reads {FORMAT}; export the network again'
    )
  contents = {name: _read(directory, name) for name in _DIGEST}
  digests = _digests(contents)
  for name, key in _DIGEST.items():
    if key not in description:
      raise ValueError(
        f'{os.path.join(directory, _MODEL)} has no {key!r}, so {name} may be '
        'of another network; export the network again'
      )
    if digests[key] != description[key]:
      raise ValueError(
        f'{os.path.join(directory, name)} is damaged, edited or belongs to '
        f'another {_MODEL}; copy the whole folder again'
      )
  model = description.get('model')
  if _digest(_json(model)) != description.get(_MODEL_DIGEST):
    raise ValueError(
      f'{os.path.join(directory, _MODEL)} is damaged or edited; export the '
      'network again'
    )
  return Export(
    _unpack(contents[_WEIGHTS], os.path.join(directory, _WEIGHTS)),
    model,
    _parse(contents[_PREPROCESS], directory, _PREPROCESS),
    digests,
  )


def require_kind(found, kind, directory):
  """Raises ValueError where an `Export` holds another kind of network."""
  if found.kind != kind:
    raise ValueError(
      f'{directory} holds a {found.kind}; give the export of a {kind}'
    )


def digests(directory):
  """What tells an export from all others.

  Args:
    directory: export folder.

  Returns:
    {'weights_sha256', 'preprocess_sha256'}, of the files as they are now.

  Raises:
    FileNotFoundError: one of them is missing.
  """
  return _digests({name: _read(directory, name) for name in _DIGEST})


def recorded_digests(directory):
  """`digests` as model.json records them, without reading the weights.

  Args:
    directory: export folder.

  Returns:
    As `digests`; {} where there is no model.json.

  Raises:
    ValueError: it is damaged.
  """
  try:
    description = _parse(_read(directory, _MODEL), directory, _MODEL)
  except FileNotFoundError:
    return {}
  return {key: description.get(key) for key in _DIGEST.values()}


def start_digests(directory):
  """What tells the export that a training starts from; {} where there is none.

  Args:
    directory: export folder, or ''.

  Raises:
    FileNotFoundError: there is no export.
  """
  return digests(directory) if directory else {}


def flatten(variables):
  """A nested dict of arrays as {'a/b/c': array}.

  Raises:
    ValueError: a name that is no string, or holds a slash.
  """
  flat = {}
  for path, leaf in flax.traverse_util.flatten_dict(variables).items():
    if not all(isinstance(name, str) and '/' not in name for name in path):
      raise ValueError(f'variables named {path}: names are strings without /')
    flat['/'.join(path)] = leaf
  return flat


def _digests(contents):
  """Of the content of each file, by the keys of `model.json`."""
  return {key: _digest(contents[name]) for name, key in _DIGEST.items()}


def _digest(content):
  return hashlib.sha256(content).hexdigest()


def _pack(variables):
  """The bytes of weights.npz."""
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_STORED) as archive:
    for name, leaf in sorted(flatten(variables).items()):
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


def _json(values):
  return (json.dumps(values, indent=2, sort_keys=True) + '\n').encode()


def _parse(content, directory, name):
  """The JSON object that a file holds."""
  try:
    values = json.loads(content)
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
