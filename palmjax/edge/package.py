"""Packages of a student: signed, and named by their content.

A package is one uncompressed tar file. Equal content gives equal bytes.

  manifest.json    format, kind, version, false match rate, {file: digest, size}
  signature        Ed25519, 64 bytes over the bytes of manifest.json
  student/…        the export (`networks.export`), with all exits
  palms.npz        impostors uint8 [W, S, S, 3], rehearsed uint8 [R, S, S, 3]:
                   one image of each palm

The digest of a package is the SHA-256 of its manifest, which holds those of all
other files. A device trusts one public key. Thresholds are set on the impostors
in whatever embedding space the device has. Updates rehearse other palms: those
that are trained on are pushed apart, and would set thresholds too low.
"""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import tarfile

import numpy as np
from cryptography import exceptions
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from palmjax import files, json_values
from palmjax.networks import export as exports
from palmjax.networks import weights_file

FORMAT, KIND = 1, 'student'
MOST_BYTES = 64 * 2**20

_MANIFEST, _SIGNATURE, _PALMS = (
  'manifest.json',
  'signature',
  'palms.npz',
)
_STUDENT = 'student/'
_PARTS = (*(_STUDENT + name for name in exports.FILES), _PALMS)
_RULES = {
  'format': json_values.whole(1),
  'kind': json_values.TEXT,
  'version': json_values.whole(1),
  'fmr': json_values.between(0, 1),
  'files': json_values.Rule(
    lambda value: isinstance(value, dict) and sorted(value) == sorted(_PARTS),
    f'give digests of {", ".join(_PARTS)}',
  ),
}


class PackageError(ValueError):
  """A package is not to be trusted, or cannot be read; one line says why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Package:
  """A package whose signature and digests were checked.

  Attributes:
    digest: SHA-256 of the manifest, hexadecimal.
    version: rises with every student that a server ships.
    fmr: false match rate that thresholds are to be set for.
    files: {name: bytes} of the export.
    impostors: uint8 [W, S, S, 3].
    rehearsed: uint8 [R, S, S, 3].
  """

  digest: str
  version: int
  fmr: float
  files: dict[str, bytes]
  impostors: np.ndarray
  rehearsed: np.ndarray


def build(student, impostors, rehearsed, *, version, fmr, private_key):
  """Packs an export; equal arguments give equal bytes.

  Args:
    student: export folder.
    impostors: uint8 [W, S, S, 3], W at least 2.
    rehearsed: uint8 [R, S, S, 3] of other palms, R at least 2.
    version: at least 1.
    fmr: in (0, 1).
    private_key: `Ed25519PrivateKey`.

  Returns:
    bytes of the package.

  Raises:
    ValueError, OSError: the export is damaged or incomplete.
  """
  exports.load(student)  # Refuses what no device could load.
  contents = {
    _STUDENT + name: (pathlib.Path(student) / name).read_bytes()
    for name in exports.FILES
  }
  contents[_PALMS] = weights_file.pack(
    {'impostors': np.asarray(impostors), 'rehearsed': np.asarray(rehearsed)}
  )
  manifest = {
    'format': FORMAT,
    'kind': KIND,
    'version': version,
    'fmr': fmr,
    'files': {name: _described(content) for name, content in contents.items()},
  }
  text = json.dumps(manifest, sort_keys=True, indent=1).encode()
  signature = private_key.sign(text)
  return _tar({_MANIFEST: text, _SIGNATURE: signature, **contents})


def read(data, *, public_key):
  """Checks a package and reads it.

  Args:
    data: bytes.
    public_key: of `public_text`, of the server that may sign.

  Returns:
    `Package`.

  Raises:
    PackageError: unsigned, tampered with, of another key or format, or with
      members that do not belong there.
  """
  contents = _untar(data)
  for name in (_MANIFEST, _SIGNATURE):
    if name not in contents:
      raise PackageError(f'the package has no {name}; ask the server for it')
  text = contents.pop(_MANIFEST)
  try:
    _public(public_key).verify(contents.pop(_SIGNATURE), text)
  except exceptions.InvalidSignature as error:
    raise PackageError(
      'the package is not signed by the server that this device joined'
    ) from error
  manifest = _checked(text)
  if sorted(contents) != sorted(_PARTS):
    raise PackageError('the package lacks a file that its manifest names')
  for name, content in contents.items():
    if manifest['files'][name] != _described(content):
      raise PackageError(f'{name} of the package was changed')
  return Package(
    digest=_digest(text),
    version=manifest['version'],
    fmr=manifest['fmr'],
    files={
      name.removeprefix(_STUDENT): content
      for name, content in contents.items()
      if name.startswith(_STUDENT)
    },
    **_images(contents[_PALMS]),
  )


def unpack(package, directory):
  """Writes the export of a `Package`, for `networks.palm.load`.

  Args:
    package: `Package`.
    directory: folder, made if need be; what is in it under these names is
      replaced.
  """
  os.makedirs(directory, exist_ok=True)
  for name, content in package.files.items():
    files.write_file(os.path.join(directory, name), content)


def digest_of(data):
  """Digest of a package that this program built, hexadecimal."""
  return _digest(_untar(data)[_MANIFEST])


def load_private(content):
  """A private key from its 32 bytes.

  Raises:
    ValueError: not 32 bytes.
  """
  return ed25519.Ed25519PrivateKey.from_private_bytes(content)


def public_text(key):
  """The public key of a private one: 64 hexadecimal digits."""
  return (
    key.public_key()
    .public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    .hex()
  )


def _public(text):
  try:
    return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
  except ValueError as error:
    raise PackageError(
      f'{text!r} is no public key: it has 64 hexadecimal digits'
    ) from error


def _checked(text):
  """The manifest, of the right form."""
  try:
    manifest = json.loads(text)
    if not isinstance(manifest, dict):
      raise ValueError('it is no table')
    json_values.check(manifest, _RULES)
  except ValueError as error:
    raise PackageError(f'manifest.json of the package: {error}') from error
  if manifest['format'] != FORMAT or manifest['kind'] != KIND:
    raise PackageError(
      f'the package is a {manifest["kind"]} of format {manifest["format"]}; '
      f'this version of palmjax reads a {KIND} of format {FORMAT}'
    )
  return manifest


def _images(content):
  try:
    palms = weights_file.unpack(content, _PALMS)
  except ValueError as error:
    raise PackageError(f'palms of the package: {error}') from error
  if sorted(palms) != ['impostors', 'rehearsed']:
    raise PackageError(f'palms of the package: {sorted(palms)}')
  for name, images in palms.items():
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) < 2:
      raise PackageError(
        f'{name} of the package: {images.dtype} {images.shape}; they must be '
        'two or more images'
      )
  return palms


def _tar(contents):
  buffer = io.BytesIO()
  with tarfile.open(
    fileobj=buffer, mode='w', format=tarfile.USTAR_FORMAT
  ) as tar:
    for name in sorted(contents):
      # Owner, times and modes are those of a fresh TarInfo: always the same.
      member = tarfile.TarInfo(name)
      member.size = len(contents[name])
      tar.addfile(member, io.BytesIO(contents[name]))
  return buffer.getvalue()


def _untar(data):
  """{name: bytes}; nothing is written, so no path can lead anywhere."""
  if len(data) > MOST_BYTES:
    raise PackageError(
      f'the package has {len(data)} bytes; at most {MOST_BYTES} are read'
    )
  known, contents = {_MANIFEST, _SIGNATURE, *_PARTS}, {}
  try:
    with tarfile.open(fileobj=io.BytesIO(data), mode='r:') as tar:
      for member in tar:
        # A sparse file may claim any size, whatever the package holds.
        plain = member.isreg() and not member.issparse()
        if member.name not in known or not plain:
          raise PackageError(f'{member.name!r} does not belong into a package')
        if member.name in contents:
          raise PackageError(f'{member.name} is twice in the package')
        contents[member.name] = tar.extractfile(member).read()
        if len(contents[member.name]) != member.size:
          raise PackageError(f'{member.name} of the package is cut off')
  except (tarfile.TarError, EOFError) as error:
    raise PackageError(f'the package cannot be read: {error}') from error
  return contents


def _described(content):
  return {'sha256': _digest(content), 'size': len(content)}


def _digest(content):
  return hashlib.sha256(content).hexdigest()
