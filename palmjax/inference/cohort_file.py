"""Cohorts as files: cohort.npz. Equal cohorts give equal bytes.

  templates   codes and embeddings of the palms: biometric data, but no images
  means, standard, thresholds
  about       JSON, as bytes: format, a note on what the file holds, what the
              palms are, the digests of the network, and one of all arrays

The file is bound to the network and to how it is used: scores of another one
have other thresholds. Its own digest finds damage and edits. It is no
signature: who can write the file can write a digest, too.
"""

import hashlib
import json
import os
import zipfile
import zlib

import numpy as np

from palmjax import file_names, files
from palmjax.inference import cohort as cohorts
from palmjax.inference import parts
from palmjax.networks import weights_file

FORMAT = 1
NAME = 'cohort.npz'

_NOTE = (
  'Templates of palms, made by palmjax. They hold no images, but they are '
  'biometric data: palms can be recognised by them. Keep them as such.'
)
_GROUPS = {
  'templates': parts.Templates,
  'means': parts.Means,
  'standard': parts.Standard,
}
# What reading damaged zip files raised when bytes were flipped.
_DAMAGE = (
  AttributeError, EOFError, KeyError, MemoryError, OverflowError, RuntimeError,
  TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def save(path, cohort, *, of):
  """Writes a cohort.

  Args:
    path: file.
    cohort: `cohorts.Cohort`.
    of: plain values that tell the scores, from `Verifier.identity`.

  Raises:
    OSError: it cannot be written.
  """
  arrays = {
    group: {
      name: np.asarray(part)
      for name, part in getattr(cohort, group)._asdict().items()
    }
    for group in _GROUPS
  }
  arrays['thresholds'] = np.asarray(cohort.thresholds, np.float64)
  about = {
    'format': FORMAT,
    'note': _NOTE,
    'palms': cohort.palms,
    'measured': cohort.measured,
    'set': cohort.dataset,
    'of': of,
  }
  about['digest'] = _digest(arrays, about)
  packed = weights_file.pack({**arrays, 'about': _bytes(about)})
  files.write_file(path, packed)


def load(path, *, of):
  """Reads a cohort.

  Args:
    path: file, or a folder with cohort.npz in it.
    of: as for `save`; of the verifier that will use it.

  Returns:
    `cohorts.Cohort`.

  Raises:
    ValueError, OSError: there is no such file, or it is damaged, edited, of
      another format, or of another network; one line.
  """
  path = os.path.join(path, NAME) if os.path.isdir(path) else path
  told = file_names.printable(path)
  again = f'make it again by python -m palmjax.calibrate DIR --out={told}'
  try:
    with open(path, 'rb') as file:
      content = file.read()
  except FileNotFoundError:
    raise FileNotFoundError(
      f'{told} is missing: {again.replace(" again", "")}'
    ) from None
  try:
    arrays = weights_file.unpack(content, told)
    about = json.loads(arrays.pop('about').tobytes())
    digest = about.pop('digest')
    version = about.get('format')
  except _DAMAGE as error:
    raise ValueError(f'{told} is no cohort, or damaged: {again}') from error
  if version != FORMAT:
    raise ValueError(
      f'{told} has format {version}, this version of palmjax reads {FORMAT}: '
      f'{again}'
    )
  if digest != _digest(arrays, about):
    raise ValueError(f'{told} is damaged or edited: {again}')
  if about['of'] != of:
    odd = sorted(
      key for key in {*of, *about['of']} if about['of'].get(key) != of.get(key)
    )
    raise ValueError(
      f'{told} was made with other {" and ".join(odd)}: {again}, with the '
      'network and the options that you verify with'
    )
  if not all(np.isfinite(array).all() for _, array in _flat(arrays)):
    raise ValueError(f'{told} holds NaN or infinity: {again}')
  return cohorts.Cohort(
    **{group: cls(**arrays[group]) for group, cls in _GROUPS.items()},
    thresholds=tuple(map(tuple, arrays['thresholds'].tolist())),
    measured=about['measured'],
    palms=about['palms'],
    dataset=about['set'],
  )


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
