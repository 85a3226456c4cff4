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


_HOLES = """
import ctypes, platform, resource
from palmjax.engine import allocator
took_effect = allocator.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
# Every second block is freed: holes of many sizes that cannot grow together.
blocks = [libc.malloc(20_000 + 16 * i) for i in range(4_000)]
for block in blocks:
  ctypes.memset(block, 7, 20_000)
for block in blocks[::2]:
  libc.free(block)
resident = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096
before = resident()
taken = allocator.retire_holes()
if took_effect:
  assert taken > 2_000 * 20_000, taken
  # Whole pages go back to the kernel.
  assert resident() < before - 2_000 * 12_000, (before, resident())
  # What is in use keeps its bytes.
  for block in blocks[1::2]:
    assert ctypes.string_at(block, 20_000) == bytes([7]) * 20_000
  assert allocator.retire_holes() < taken / 10
print('done')
"""


def test_holes_are_taken_and_what_is_in_use_stays():
  result = run(_HOLES, 'cpu')
  assert result.stdout == 'done\n', result.stderr


def test_no_holes_are_taken_where_freed_memory_is_not_kept():
  code = 'from palmjax.engine import allocator; print(allocator.retire_holes())'
  result = run(code, 'cpu')
  assert result.stdout == '0\n', result.stderr


def test_it_says_so_where_threads_have_arenas_already():
  code = """
import threading
threads = [threading.Thread(target=lambda: [bytes(10**6)]) for _ in range(4)]
for thread in threads:
  thread.start()
from palmjax.engine import allocator
print(allocator.keep_freed_memory(), allocator.retire_holes())
"""
  result = run(code, 'cpu')
  assert result.stdout in ('False 0\n',), result.stderr
