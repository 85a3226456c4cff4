"""Memory of the process, for XLA on CPU: freed pages are kept, holes are not.

XLA allocates its temporaries anew for every call. Above 128 KB glibc asks the
kernel for fresh pages each time and hands them back after, and the page faults
cost more than the arithmetic: one operation with 64 MB of temporaries went
from 47 to 12 ms. Keeping the pages costs the peak's memory between the calls.

Compilation leaves holes: 16,000 free blocks above 16 KB, 860 MB in all, after
the training step of a detector. glibc walks lists of them, sorted by size, for
most blocks of a step. Without them it took 50 ms in place of 70 (2 cores).
"""

import ctypes
import importlib.metadata
import mmap
import platform
import re

import jax

# <malloc.h>
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
# Sizes of blocks are multiples of 16 bytes, with a header of at most 16. glibc
# prints them with flags in the last bits.
_HEADER = 16
_LARGEST = 2**19
_PASSES = 20
_HOLE = re.compile(r'<size from="(\d+)" to="\d+" total="\d+" count="(\d+)"/>')
_kept = False


def keep_freed_memory():
  """Makes glibc's malloc keep freed memory; call before JAX's backend starts.

  Call it before anything starts threads: a thread that has allocated has an
  arena, and XLA's threads would then share these arenas.

  Returns:
    Whether it took full effect. False where another C library is used or JAX
    will use an accelerator, whose temporaries are not in the host's memory:
    nothing is changed. False, too, where threads have arenas: the settings
    hold, but no holes are retired.
  """
  global _kept
  if _kept:
    return True
  if platform.libc_ver()[0] != 'glibc' or not _will_use_cpu():
    return False
  mallopt = ctypes.CDLL(None).mallopt
  settings = (
    # XLA's temporaries are made in its threads. Each would have an arena of its
    # own, which holds no block above 64 MB: those would stay fresh pages.
    (_ARENA_MAX, 1),
    (_MMAP_MAX, 0),
    # Never. Above 2 GB each step of a ResNet-18 gave 1.2 GB of pages back, and
    # took 1,120 ms in place of 930.
    (_TRIM_THRESHOLD, -1),
    (_TOP_PAD, 2**26),
  )
  taken = [mallopt(name, value) == 1 for name, value in settings]
  _kept = all(taken) and _report(_libc()).count('<heap ') == 1
  return _kept


def retire_holes():
  """Takes the holes that compilation left out of use; call after a compilation.

  A hole is allocated and never freed. The kernel gets its whole pages back. So
  this costs addresses for good, and about a tenth of the holes' size in memory.
  Takes 0.1 to 0.5 s. Blocks of half a MB and more are few, and stay in use.

  Returns:
    Bytes that were taken; 0 unless `keep_freed_memory` took full effect.
  """
  if not _kept:
    return 0
  libc = _libc()
  taken = 0
  # What is left of a larger hole is a smaller one, for the next pass.
  for _ in range(_PASSES):
    before = taken
    # Lists from the largest sizes down. A hole is as large as the smallest size
    # of its list, or larger.
    for size, count in reversed(_holes(libc)):
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
    if taken == before:
      break
  return taken


def _holes(libc):
  """[(smallest size, number)] of the lists of free blocks, by size."""
  lists = [(int(x) & -_HEADER, int(n)) for x, n in _HOLE.findall(_report(libc))]
  return [(x, n) for x, n in lists if mmap.PAGESIZE <= x < _LARGEST]


def _report(libc):
  """What `malloc_info` says of the arenas, of which there is one: XML."""
  text, length = ctypes.c_void_p(), ctypes.c_size_t()
  stream = libc.open_memstream(ctypes.byref(text), ctypes.byref(length))
  if not stream:
    return ''  # Memory is short.
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
