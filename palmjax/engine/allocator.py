"""Keeps freed memory in the process, for XLA on CPU.

XLA allocates its temporaries anew for every call. Above 128 KB glibc asks the
kernel for fresh pages each time and hands them back after, and the page faults
cost more than the arithmetic: one operation with 64 MB of temporaries went
from 47 to 12 ms. Keeping the pages costs the peak's memory between the calls.
"""

import ctypes
import importlib.metadata
import platform

import jax

# <malloc.h>
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory():
  """Makes glibc's malloc keep freed memory; call before JAX's backend starts.

  Returns:
    Whether it took effect: False on other C libraries and where JAX will use an
    accelerator, whose temporaries are not in the host's memory.
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
  return all(taken)


def _will_use_cpu():
  """Whether JAX's first platform is the CPU; asking JAX would start it."""
  if platforms := jax.config.jax_platforms:
    return platforms.split(',')[0] == 'cpu'
  # Unless told otherwise JAX takes an accelerator that it has a plugin for.
  return not importlib.metadata.entry_points(group='jax_plugins')
