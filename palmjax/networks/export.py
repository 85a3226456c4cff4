"""Trained networks as folders: weights, architecture, pre-processing.

  weights.npz       variables, flattened: 'params/block_0/kernel', …
  model.json        format version, digests of all, architecture, sizes
  preprocess.json   what images must go through (`images.preprocess`)

The bytes depend on the content alone: entries sorted, no time stamps, numbers
of one fixed layout. The digests tie the files together, so that weights of one
run beside the description of another are found, and numbers changed by hand.

model.json is the pointer to the rest. A new export is written beside the old
one, as weights.npz.new and preprocess.json.new. Then model.json is replaced.
Its digests now point to the new files, and `load` reads them under either name.
At last they get their own names. Whatever kills this, the folder holds the old
export or the new one, whole, and other files in it (calibration.json) stay.
"""

import dataclasses
import glob
import hashlib
import json
import os
from typing import Any

from palmjax import files
from palmjax.networks import weights_file

FORMAT = 1

_WEIGHTS, _MODEL, _PREPROCESS = 'weights.npz', 'model.json', 'preprocess.json'
FILES = _WEIGHTS, _MODEL, _PREPROCESS
# Where model.json holds the digest of each of the others.
_DIGEST = {_WEIGHTS: 'weights_sha256', _PREPROCESS: 'preprocess_sha256'}
# And of the architecture that it tells itself.
_MODEL_DIGEST = 'model_sha256'
# Of a file that model.json may not point to yet.
_NEW = '.new'
_NAMED = 4  # Exports below a folder that holds none.
# Palm networks are called as their backbones.
_KINDS = {
  'detector': 'hand detector',
  'frame_reader': 'reader of palm frames',
  'generator': 'generator',
}


@dataclasses.dataclass(frozen=True, eq=False)
class Export:
  """A trained network as read from an export folder.

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
    """Kind of network: 'palm network', 'hand detector', 'generator', …"""
    return _KINDS.get(self.model.get('name'), 'palm network')


def save(directory, *, variables, model, preprocess):
  """Writes an export; equal arguments give equal bytes.

  A kill leaves the export that was there, or the new one, whole.

  Args:
    directory: folder, made if need be; an export in it is replaced, and other
      files stay.
    variables: nested dict of arrays of NumPy's own number types (bfloat16 is
      not one: parameters are float32).
    model: dict of plain values (JSON), e.g. {'name': …, 'embedding_size': …}.
    preprocess: dict of plain values (JSON), e.g. `Preprocess.to_json()`.

  Raises:
    ValueError: a leaf that is no array of numbers, or a name with '/'.
  """
  contents = {
    _WEIGHTS: weights_file.pack(variables),
    _PREPROCESS: _json(preprocess),
  }
  description = {
    'format': FORMAT,
    **_digests(contents),
    _MODEL_DIGEST: _digest(_json(model)),
    'model': model,
  }
  os.makedirs(directory, exist_ok=True)
  # Else the files of a save that was killed would be written over.
  _settle(directory)
  for name, content in contents.items():
    files.write_file(os.path.join(directory, name + _NEW), content)
  files.write_file(os.path.join(directory, _MODEL), _json(description))
  _settle(directory)


def load(directory):
  """Reads an export folder: an `Export`.

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
  contents = _contents(directory, description)
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
    weights_file.unpack(contents[_WEIGHTS], os.path.join(directory, _WEIGHTS)),
    model,
    _parse(contents[_PREPROCESS], directory, _PREPROCESS),
    digests,
  )


def require_kind(export, kind, directory):
  """Raises ValueError where an `Export` holds another kind of network."""
  if export.kind != kind:
    raise ValueError(
      f'{directory} holds a {export.kind}; give the export of a {kind}'
    )


def digests(directory):
  """SHA-256 digests of the files of an export.

  Args:
    directory: export folder.

  Returns:
    {'weights_sha256', 'preprocess_sha256'}, of the files as they are now.

  Raises:
    FileNotFoundError: one of them is missing.
  """
  return _digests(_contents(directory, _description(directory)))


def recorded_digests(directory):
  """`digests` as model.json records them, without reading the weights.

  Args:
    directory: export folder.

  Returns:
    As `digests`; {} where there is no model.json.

  Raises:
    ValueError: it is damaged.
  """
  description = _description(directory)
  return {key: description.get(key) for key in _DIGEST.values() if description}


def start_digests(directory):
  """Digests of the export that a training starts from; {} if none.

  Args:
    directory: export folder, or ''.

  Raises:
    FileNotFoundError: there is no export.
  """
  return digests(directory) if directory else {}


def _description(directory):
  """What model.json holds; {} where there is none."""
  try:
    return _parse(_read(directory, _MODEL), directory, _MODEL)
  except FileNotFoundError:
    return {}


def _contents(directory, description):
  """The files that model.json points to, {name: bytes}.

  A file under its own name that model.json does not point to is read all the
  same, where no other is there: `load` refuses it.
  """
  return {
    name: (_pointed_to(directory, name, description) or _read(directory, name))
    for name in _DIGEST
  }


def _pointed_to(directory, name, description):
  """The content of a file that is not under its own name yet, or None."""
  try:
    content = _read(directory, name + _NEW)
  except FileNotFoundError:
    return None
  return content if _digest(content) == description.get(_DIGEST[name]) else None


def _settle(directory):
  """Gives the files that model.json points to their own names."""
  description = _description(directory)
  for name in _DIGEST:
    if _pointed_to(directory, name, description) is not None:
      path = os.path.join(directory, name)
      try:
        os.replace(path + _NEW, path)
      except OSError as error:
        raise files.cannot('write', path, error) from error


def _digests(contents):
  """Of the content of each file, by the keys of `model.json`."""
  return {key: _digest(contents[name]) for name, key in _DIGEST.items()}


def _digest(content):
  return hashlib.sha256(content).hexdigest()


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
    raise FileNotFoundError(_missing(os.fspath(directory), path)) from None


def _missing(directory, path):
  """What to do about a file that is missing."""
  if not os.path.isdir(directory):
    return f'{directory}: there is no such folder; give that of an export'
  # The folder of a run, or of one of its stages?
  pattern = os.path.join(glob.escape(directory), '{}', _MODEL)
  below = [
    os.path.dirname(model)
    for levels in ('*', '*/*')
    for model in sorted(glob.glob(pattern.format(levels)))
  ]
  if below:
    return f'{path} is missing; did you mean {" or ".join(below[:_NAMED])}?'
  return (
    f'{path} is missing; give a folder that holds {_WEIGHTS}, {_MODEL} and '
    f'{_PREPROCESS}'
  )
