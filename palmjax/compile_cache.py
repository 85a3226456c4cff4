"""Compiled programs, kept between commands in the user's cache folder.

The folder is $XDG_CACHE_HOME/palmjax/<machine>, or ~/.cache/palmjax/<machine>.
JAX_COMPILATION_CACHE_DIR names another folder. A program is found again by what
it computes and by the version of JAX. A cache that cannot be used never stops a
command: the command compiles what it needs.
"""

import contextlib
import hashlib
import os
import pathlib
import platform
import shutil
import warnings
from stat import S_ISREG

import jax

# Bytes. JAX can bound its cache, but a process that is killed between two
# writes of JAX leaves an entry without its time, and JAX then adds no more.
_LARGEST = 2**30
# Bytes that must be free: JAX never replaces an entry that was cut off.
_FREE = 2**28


def add_argument(parser):
  """Adds --no-cache to a parser of `argparse`."""
  parser.add_argument(
    '--no-cache',
    action='store_true',
    help='compile everything anew: neither read nor keep compiled programs',
  )


def start(*, use=True):
  """Tells JAX where compiled programs are kept; call it before JAX compiles.

  Args:
    use: False: JAX neither reads nor keeps compiled programs.

  Returns:
    The folder as text, or None where nothing is kept.
  """
  if not use:
    jax.config.update('jax_enable_compilation_cache', False)
    return None
  # An entry that cannot be read or written only costs time.
  warnings.filterwarnings(
    'ignore', message='Error (reading|writing) persistent compilation cache'
  )
  if 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS' not in os.environ:
    # Small programs, too: without those that take less than 0.2 s to compile
    # the second `verify A B` took 3.9 CPU-seconds in place of 3.3.
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  if jax.config.jax_compilation_cache_dir:
    return jax.config.jax_compilation_cache_dir
  try:
    root = _user_folder()
    folder = root / _machine()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _trim(root)
    if shutil.disk_usage(folder).free < _FREE:
      return None
  except (OSError, RuntimeError):  # RuntimeError: nobody's home.
    return None
  if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
    return None
  jax.config.update('jax_compilation_cache_dir', str(folder))
  return str(folder)


def _user_folder():
  home = pathlib.Path(os.environ.get('XDG_CACHE_HOME', ''))
  if not home.is_absolute():  # The XDG standard ignores such a value.
    home = pathlib.Path.home() / '.cache'
  return home / 'palmjax'


def _machine():
  """Name of this kind of processor.

  A home folder may be shared by several machines, and a program for one
  processor can hold instructions that another processor lacks.
  """
  text = platform.processor()
  with contextlib.suppress(OSError):
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    features = [x for x in lines if x.lower().startswith(('flags', 'features'))]
    text = features[0] if features else text
  digest = hashlib.sha256(text.encode()).hexdigest()[:12]
  return f'{platform.machine()}-{digest}'


def _trim(root):
  """Removes the programs that were not used for longest, and empty ones."""
  entries = []
  for path in root.rglob('*'):
    with contextlib.suppress(OSError):  # Another command was faster.
      stat = path.stat()
      if not S_ISREG(stat.st_mode):
        continue
      # Some file systems keep no time of reading.
      entries.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
  total = sum(size for _, size, _ in entries)
  for _, size, path in sorted(entries):
    if total <= _LARGEST and size:
      continue
    with contextlib.suppress(OSError):  # Another command was faster.
      path.unlink()
      total -= size
