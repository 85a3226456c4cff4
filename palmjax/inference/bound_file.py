"""Files of templates, bound to a network and to their own content.

A file holds arrays, and `about`: JSON as bytes, with a format, the digests of
the network, and a digest of all that the file holds. Scores of another network
mean something else, so its files are refused. The digest finds damage and
edits. It is no signature: who can write the file can write a digest, too.

Equal content gives equal bytes.
"""

import hashlib
import json
import os
import zipfile
import zlib

import numpy as np

from palmjax import file_names, files
from palmjax.networks import weights_file

NOTE = (
  'Templates of palms, made by palmjax. They hold no images, but they are '
  'biometric data: palms can be recognised by them. Keep them as such.'
)
_UNNAMED = 'cohort'  # The kind of files that do not tell theirs.
# Digests in `of` that change with any other weights or architecture …
_NETWORK = ('model_sha256', 'weights_sha256')
# … and one that may change alone.
_PREPROCESS = 'preprocess_sha256'
# What reading damaged zip files raised when bytes were flipped.
_DAMAGE = (
  AttributeError, EOFError, KeyError, MemoryError, OverflowError, RuntimeError,
  TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def save(path, arrays, about):
  """Writes a file, whole or not at all.

  Args:
    path: file.
    arrays: nested dict of arrays.
    about: plain values, among them `format`, and `of`: what tells the scores.

  Raises:
    OSError: it cannot be written.
  """
  about = {**about, 'digest': _digest(arrays, about)}
  files.write_file(path, weights_file.pack({**arrays, 'about': _bytes(about)}))


def load(path, *, of, kind, versions, again):
  """Reads a file.

  Args:
    path: file.
    of: `of` of what will use it.
    kind: what it must be, a word: `kind` of `about`; 'cohort' where that has
      none.
    versions: the formats that are read.
    again: how to make it, starting with 'make it again by'.

  Returns:
    (arrays, about).

  Raises:
    ValueError, OSError: there is no such file, or it is damaged, edited, of
      another kind, format or network; one line.
  """
  shown_path = file_names.printable(path)
  try:
    with open(path, 'rb') as file:
      content = file.read()
  except FileNotFoundError:
    raise FileNotFoundError(
      f'{shown_path} is missing: {again.replace(" again", "")}'
    ) from None
  try:
    arrays = weights_file.unpack(content, shown_path)
    about = json.loads(arrays.pop('about').tobytes())
    digest = about.pop('digest')
    its_format = about.get('format')
  except _DAMAGE as error:
    raise ValueError(
      f'{shown_path} is no {kind}, or damaged: {again}'
    ) from error
  its_kind = about.get('kind', _UNNAMED)
  if its_kind != kind:
    # Not to be made again there: it would be written over.
    raise ValueError(
      f'{shown_path} is a {its_kind} and no {kind}: give it as '
      f'--{its_kind}={shown_path}, and another file as --{kind}'
    )
  if its_format not in versions:
    raise ValueError(
      f'{shown_path} has format {its_format}, this version of palmjax reads '
      f'{" and ".join(map(str, versions))}: {again}'
    )
  if digest != _digest(arrays, about):
    raise ValueError(f'{shown_path} is damaged or edited: {again}')
  if about['of'] != of:
    raise ValueError(
      f'{shown_path} was made with {difference(about["of"], of)}: {again}'
      ', with the network and the options that you verify with'
    )
  if not all(np.isfinite(array).all() for _, array in _flat(arrays)):
    raise ValueError(f'{shown_path} holds NaN or infinity: {again}')
  return arrays, about


def difference(one, other):
  """Names what differs between two `of`: 'another network and other turns'.

  Of another network the pre-processing is not named: it belongs to it.
  """
  keys = {key for key in {*one, *other} if one.get(key) != other.get(key)}
  settings = ' and '.join(sorted(keys - {*_NETWORK, _PREPROCESS}))
  words = [f'other {settings}'] if settings else []
  if not keys.isdisjoint(_NETWORK):
    words.insert(0, 'another network')
  elif _PREPROCESS in keys:
    words.insert(0, 'another pre-processing')
  return ' and '.join(words)


def place(path, name):
  """Where a file may be made again: `path`, or `name` if it may be another's.

  Args:
    path: that was given.
    name: of a file as it is usually called, with the same ending.
  """
  ending = os.path.splitext(name)[1]
  free = os.fspath(path).endswith(ending) or not os.path.exists(path)
  return path if free else name


def _digest(arrays, about):
  """SHA-256 of the arrays by name, and of what is said of them."""
  digest = hashlib.sha256(_bytes(about).tobytes())
  for name, array in _flat(arrays):
    digest.update(f'{name} {array.dtype.str} {array.shape}'.encode())
    digest.update(np.ascontiguousarray(array).tobytes())
  return digest.hexdigest()


def _flat(arrays):
  return sorted(weights_file.flatten(arrays).items())


def _bytes(values):
  text = json.dumps(values, sort_keys=True, ensure_ascii=False)
  return np.frombuffer(text.encode(), np.uint8)
