"""Data sealed at rest: AES-256-GCM with a key that lies elsewhere.

  sealed = nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)

The nonce is random, of the system's source. Under one key 2³² values keep the
chance of a nonce that comes twice below 2⁻³² (NIST SP 800-38D, 8.3). At a
thousand values an hour that is five centuries; a fresh key begins anew. What a
record is for (its purpose and its id) is authenticated, so that no sealed value
can stand in for another.
"""

import os
import secrets
import subprocess

from cryptography import exceptions
from cryptography.hazmat.primitives.ciphers import aead

from palmjax import files

KEY_BYTES = 32
_NONCE = 12


class SealError(ValueError):
  """A sealed value cannot be opened; one line says why."""


class Sealer:
  """Seals and opens bytes with one key."""

  def __init__(self, key):
    """Takes the key.

    Args:
      key: 32 bytes.

    Raises:
      ValueError: a key of another length.
    """
    if len(key) != KEY_BYTES:
      raise ValueError(
        f'a sealing key has {KEY_BYTES} bytes, this one {len(key)}: take the '
        'right file'
      )
    self._cipher = aead.AESGCM(key)

  def seal(self, content, purpose):
    """Sealed bytes.

    Args:
      content: bytes.
      purpose: text that names the record, needed to open it.
    """
    nonce = secrets.token_bytes(_NONCE)
    return nonce + self._cipher.encrypt(nonce, content, purpose.encode())

  def open(self, sealed, purpose):
    """The bytes that were sealed for a purpose.

    Raises:
      SealError: another key, another purpose, or bytes that were changed.
    """
    nonce, encrypted = sealed[:_NONCE], sealed[_NONCE:]
    try:
      return self._cipher.decrypt(nonce, encrypted, purpose.encode())
    except (exceptions.InvalidTag, ValueError) as error:
      raise SealError(
        'sealed data cannot be opened: the key is another one, or the data was '
        'changed'
      ) from error


def key_of_file(path, *, make=False):
  """The key in a file.

  Args:
    path: of the file.
    make: whether a file that is not there is made, for its owner alone.

  Returns:
    32 bytes.

  Raises:
    ValueError, OSError: no such file, or no key; one line.
  """
  if make and not os.path.exists(path):
    # Of two programs that start at once one makes the key.
    with files.lock(f'{path}.lock', wait=True):
      if not os.path.exists(path):
        write_secret(path, secrets.token_bytes(KEY_BYTES).hex().encode())
  try:
    with open(path, 'rb') as file:
      content = file.read(4096)
  except OSError as error:
    raise files.cannot('read the key', path, error) from error
  return _parse(content, path)


def key_of_command(command):
  """The key that a command prints, e.g. of a key store.

  Args:
    command: list of words; no shell reads them.

  Raises:
    ValueError: the command fails or prints no key.
  """
  try:
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
  except (OSError, subprocess.SubprocessError) as error:
    raise ValueError(f'the command of the key failed: {error}') from error
  return _parse(done.stdout, command[0])


def key_of_environment(name):
  """The key in an environment variable, hexadecimal."""
  return _parse(os.environ.get(name, '').encode(), name)


def write_secret(path, content):
  """Writes a file that its owner alone may read, whole or not at all.

  What is sealed with a key is lost without it, so the file survives a power cut
  from now on.

  Raises:
    OSError: one line; what was there stays.
  """
  partial = f'{path}.tmp'
  try:
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, 'wb') as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    os.replace(partial, path)
    folder = os.open(os.path.dirname(path) or '.', os.O_RDONLY)
    try:
      os.fsync(folder)
    finally:
      os.close(folder)
  except OSError as error:
    raise files.cannot('write', path, error) from error


def _parse(content, where):
  try:
    key = bytes.fromhex(content.decode('ascii').strip())
  except ValueError as error:
    raise ValueError(f'{where}: a key has 64 hexadecimal digits') from error
  if len(key) != KEY_BYTES:
    raise ValueError(f'{where}: a key has 64 hexadecimal digits')
  return key
