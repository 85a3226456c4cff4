"""Memory of the process, for XLA on CPU: freed pages are kept, holes are not.

XLA allocates its temporaries anew for every call. Above 128 KB glibc asks the
kernel for fresh pages each time and hands them back after, and the page faults
cost more than the arithmetic: one operation with 64 MB of temporaries went
from 47 to 12 ms. Keeping the pages costs the peak's memory between the calls.

Compilation leaves holes: 16,000 free blocks above 16 KB, 860 MB in all, after
the training step of a detector. glibc walks lists of them, sorted by size, for
most blocks of a step. Without them it took 36 ms in place of 59 (2 cores).
"""

import ctypes
import importlib.metadata
import mmap
import platform
import re

import jax

# <malloc.h>
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
# Bytes of glibc before a block, and of which the size of a block is a multiple.
_HEADER = 16
_HOLE = re.compile(r'<size from="(\d+)" to="\d+" total="\d+" count="(\d+)"/>')
_kept = False


def keep_freed_memory():
  """Makes glibc's malloc keep freed memory; call before JAX's backend starts.

  Call it before imports that start threads, too: each thread has made an arena,
  and XLA's threads would share these.

  Returns:
    Whether it took effect: False on other C libraries, where threads have made
    arenas, and where JAX will use an accelerator, whose temporaries are not in
    the host's memory.
  """
  if platform.libc_ver()[0] != 'glibc' or not _will_use_cpu():
    return False
  mallopt = ctypes.CDLL(None).mallopt
  settings = (
    # XLA's temporaries are made in its threads. Each would have an arena of its
    # own, which holds no block above 64 MB: those would stay fresh pages.
    (_ARENA_MAX, 1),
    (_MMAP_MAX, 0),
    (_TRIM_THRESHOLD, 2**31 - 1),
    (_TOP_PAD, 2**26),
  )
  taken = [mallopt(name, value) == 1 for name, value in settings]
  global _kept
  _kept = all(taken) and _report(_libc()).count('<heap ') == 1
  return _kept


def retire_holes(smallest=mmap.PAGESIZE):
  """Takes the holes that compilation left out of use; call after a compilation.

  A hole is allocated and never freed. The kernel gets its whole pages back, so
  this costs addresses, and next to no memory. Takes 0.1 to 0.4 s.

  Args:
    smallest: bytes of the holes that are taken; smaller ones stay in use.

  Returns:
    Bytes that were taken; 0 unless `keep_freed_memory` took effect.
  """
  if not _kept:
    return 0
  libc = _libc()
  taken = 0
  # What is left of a larger hole is a smaller one, which the next pass takes.
  for _ in range(3):
    # Lists from the largest sizes down. A hole is as large as the smallest size
    # of its list, or larger.
    for size, count in reversed(_holes(libc)):
      if size < smallest:
        break
      for _ in range(count):
        block = libc.malloc(size - _HEADER)
        if block is None:
          return taken
        length = libc.malloc_usable_size(block)
        first = -(-block // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (block + length) // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last:
          libc.madvise(first, last - first, mmap.MADV_DONTNEED)
        taken += length
  return taken


def _holes(libc):
  """[(smallest size, number)] of the lists of free blocks, by size."""
  sizes = _HOLE.findall(_report(libc))
  return [(int(size), int(count)) for size, count in sizes]


def _report(libc):
  """What `malloc_info` says of the arenas, of which there is one: XML."""
  text, length = ctypes.c_void_p(), ctypes.c_size_t()
  stream = libc.open_memstream(ctypes.byref(text), ctypes.byref(length))
  libc.malloc_info(0, stream)
  libc.fclose(stream)
  report = ctypes.string_at(text.value, length.value).decode()
  libc.free(text)
  return report


def _libc():
  """The C library, with the types of what is called here."""
  libc = ctypes.CDLL(None)
  pointer, size = ctypes.c_void_p, ctypes.c_size_t
  for name, result, arguments in (
    ('malloc', pointer, [size]),
    ('malloc_usable_size', size, [pointer]),
    ('madvise', ctypes.c_int, [pointer, size, ctypes.c_int]),
    ('open_memstream', pointer, [pointer, pointer]),
    ('malloc_info', ctypes.c_int, [ctypes.c_int, pointer]),
    ('fclose', ctypes.c_int, [pointer]),
    ('free', None, [pointer]),
  ):
    function = getattr(libc, name)
    function.restype, function.argtypes = result, arguments
  return libc


def _will_use_cpu():
  """Whether JAX's first platform is the CPU; asking JAX would start it."""
  if platforms := jax.config.jax_platforms:
    return platforms.split(',')[0] == 'cpu'
  # Unless told otherwise JAX takes an accelerator that it has a plugin for.
  return not importlib.metadata.entry_points(group='jax_plugins')
