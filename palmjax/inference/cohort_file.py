"""Cohorts as files: cohort.npz.

  templates   codes and embeddings of the palms: biometric data, but no images
  means, standards, thresholds
  about.json  format, a note on what the file holds, what the palms are, the
              digests of the network, and one of all arrays

The file is bound to the network and to how it is used: scores of another one
have other thresholds. Its own digest finds damage and edits. It is no
signature: who can write the file can write a digest, too.
"""

import hashlib
import io
import json
import os
import zipfile

import numpy as np

from palmjax import files
from palmjax.inference import cohort as cohorts
from palmjax.inference import parts

FORMAT = 1
NAME = 'cohort.npz'

_NOTE = (
  'Templates of palms, made by palmjax. They hold no images, but they are '
  'biometric data: palms can be recognised by them. Keep them as such.'
)
_ABOUT = 'about.json'
_ARRAYS = ('templates', 'means')


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
    f'{group}.{name}': part
    for group in _ARRAYS
    for name, part in getattr(cohort, group)._asdict().items()
  }
  arrays |= {
    f'standard.{name}': np.asarray(part, np.float64)
    for name, part in cohort.standard._asdict().items()
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
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays, **{_ABOUT: _bytes(about)})
  files.write_file(path, buffer.getvalue())


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
  try:
    with np.load(path, allow_pickle=False) as archive:
      arrays = {name: archive[name] for name in archive.files}
    about = json.loads(arrays.pop(_ABOUT).tobytes())
    digest = about.pop('digest')
  except FileNotFoundError:
    raise FileNotFoundError(
      f'{path} is missing: make it by python -m palmjax.calibrate DIR '
      f'--out={path}'
    ) from None
  except (
    KeyError, TypeError, AttributeError, ValueError, EOFError,
    zipfile.BadZipFile,
  ) as error:  # fmt: skip
    raise ValueError(f'{path} is no cohort, or damaged: {error!r}') from error
  if about.get('format') != FORMAT:
    raise ValueError(
      f'{path} has format {about.get("format")}, this version of palmjax reads '
      f'{FORMAT}; calibrate again'
    )
  if digest != _digest(arrays, about):
    raise ValueError(f'{path} is damaged or edited; calibrate again')
  if about['of'] != of:
    odd = sorted(
      key for key in of if about['of'].get(key, None) != of.get(key, None)
    )
    raise ValueError(
      f'{path} was made with another {" and ".join(odd) or "network"}; '
      'calibrate again with the network and the options that you verify with'
    )
  found = {
    group: cls(*(arrays[f'{group}.{name}'] for name in cls._fields))
    for group, cls in (
      ('templates', parts.Templates),
      ('means', parts.Means),
      ('standard', parts.Standard),
    )
  }
  if not all(np.isfinite(array).all() for array in arrays.values()):
    raise ValueError(f'{path} holds numbers that are none; calibrate again')
  return cohorts.Cohort(
    **found,
    thresholds=tuple(map(tuple, arrays['thresholds'].tolist())),
    measured=about['measured'],
    palms=about['palms'],
    dataset=about['set'],
  )


def _digest(arrays, about):
  """SHA-256 of the arrays by name, and of what is said of them."""
  digest = hashlib.sha256(_bytes(about).tobytes())
  for name, array in sorted(arrays.items()):
    digest.update(f'{name} {array.dtype.str} {array.shape}'.encode())
    digest.update(np.ascontiguousarray(array).tobytes())
  return digest.hexdigest()


def _bytes(values):
  text = json.dumps(values, sort_keys=True, ensure_ascii=False)
  return np.frombuffer(text.encode(), np.uint8)
