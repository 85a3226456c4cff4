import os
import pathlib
import subprocess
import sys

import pytest

_CODE = """
import ctypes, platform, resource, threading
from palmjax.engine import allocator
took_effect = allocator.keep_freed_memory()
assert took_effect == (platform.libc_ver()[0] == 'glibc')
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.memset.restype = ctypes.c_void_p
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def use(size):
  block = libc.malloc(ctypes.c_size_t(size))
  libc.memset(block, 1, size)
  libc.free(block)

def count_faults():
  # The second size is above what an arena of a thread can hold.
  for size in (2**25, 100 * 2**20):
    use(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
      use(size)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    faults.append(after - before)

faults = []
if took_effect:
  # Where XLA allocates: not in the main thread.
  thread = threading.Thread(target=count_faults)
  thread.start()
  thread.join()
  # Fresh pages would fault 8,192 times a block.
  assert len(faults) == 2 and max(faults) < 1000, faults
print('done')
"""


def run(code, platforms):
  return subprocess.run(
    [sys.executable, '-c', code],
    cwd=pathlib.Path(__file__).parents[2],
    env=os.environ | {'JAX_PLATFORMS': platforms},
    capture_output=True,
    text=True,
  )


def test_blocks_that_a_thread_frees_are_used_again_without_new_pages():
  result = run(_CODE, 'cpu')
  assert result.stdout == 'done\n', result.stderr


@pytest.mark.parametrize('platforms', ['cuda', 'tpu,cpu'])
def test_nothing_changes_where_an_accelerator_is_used(platforms):
  code = (
    'from palmjax.engine import allocator; print(allocator.keep_freed_memory())'
  )
  result = run(code, platforms)
  assert result.stdout == 'False\n', result.stderr
