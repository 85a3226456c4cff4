import os
import pathlib
import platform
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


_HEAP = """
import ctypes, platform, re
from palmjax.engine import allocator
took_effect = allocator.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
# Addresses only: nothing is written.
block = libc.malloc(3 * 2**30)
assert block
libc.free(block)
maps = open('/proc/self/maps').read()
(first, last), = re.findall(r'([0-9a-f]+)-([0-9a-f]+) .*\\[heap\\]', maps)
print(int(last, 16) - int(first, 16) > 3 * 2**30 if took_effect else 'no glibc')
"""


def test_the_heap_is_never_given_back():
  """With the largest limit that `mallopt` takes, 2 GB, it would be."""
  if platform.libc_ver()[0] != 'glibc':
    pytest.skip('memory is kept with glibc alone')
  result = run(_HEAP, 'cpu')
  assert result.stdout == 'True\n', result.stderr


@pytest.mark.parametrize('platforms', ['cuda', 'tpu,cpu'])
def test_nothing_changes_where_an_accelerator_is_used(platforms):
  code = (
    'from palmjax.engine import allocator; print(allocator.keep_freed_memory())'
  )
  result = run(code, platforms)
  assert result.stdout == 'False\n', result.stderr


_HOLES = """
import ctypes, platform, random
from palmjax.engine import allocator
took_effect = allocator.keep_freed_memory()
assert took_effect == (platform.libc_ver()[0] == 'glibc')
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
# Every second block is freed: holes of many sizes that cannot grow together.
draw = random.Random(0)
sizes = [draw.randrange(16_000, 400_000) for _ in range(2_000)]
blocks = [libc.malloc(size) for size in sizes]
for block, size in zip(blocks, sizes):
  ctypes.memset(block, 7, size)
for block in blocks[::2]:
  libc.free(block)
resident = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096
before, holes = resident(), sum(sizes[::2])
taken = allocator.retire_holes()
if took_effect:
  assert taken > 0.95 * holes, (taken, holes)
  # Whole pages go back to the kernel.
  assert resident() < before - 0.8 * holes, (before, resident())
  # What is in use keeps its bytes.
  for block, size in zip(blocks[1::2], sizes[1::2]):
    assert ctypes.string_at(block, size) == bytes([7]) * size
  assert allocator.retire_holes() < taken / 100
print('done')
"""


def test_holes_are_taken_and_what_is_in_use_stays():
  result = run(_HOLES, 'cpu')
  assert result.stdout == 'done\n', result.stderr


def test_no_holes_are_taken_where_freed_memory_is_not_kept():
  code = 'from palmjax.engine import allocator; print(allocator.retire_holes())'
  result = run(code, 'cpu')
  assert result.stdout == '0\n', result.stderr


_ARENAS = """
import platform, threading
from palmjax.engine import allocator
allocated, asked = threading.Barrier({count} + 1), threading.Event()
def thread():
  block = bytes(10**6)
  allocated.wait()
  asked.wait()
for _ in range({count}):
  threading.Thread(target=thread, daemon=True).start()
allocated.wait()
print(allocator.keep_freed_memory() == (platform.libc_ver()[0] == 'glibc'))
asked.set()
"""


@pytest.mark.parametrize('count, took_effect', [(0, True), (4, False)])
def test_it_says_so_where_threads_have_arenas_already(count, took_effect):
  if platform.libc_ver()[0] != 'glibc':
    pytest.skip('arenas are those of glibc')
  result = run(_ARENAS.format(count=count), 'cpu')
  assert result.stdout == f'{took_effect}\n', result.stderr


def test_it_stays_in_effect_when_processes_have_joined():
  code = """
import socket
from palmjax.engine import allocator
first = allocator.keep_freed_memory()
with socket.socket() as free:
  free.bind(('localhost', 0))
  port = free.getsockname()[1]
import jax
jax.distributed.initialize(f'localhost:{port}', 1, 0)
print(first, allocator.keep_freed_memory())
"""
  result = run(code, 'cpu')
  kept = platform.libc_ver()[0] == 'glibc'
  assert result.stdout == f'{kept} {kept}\n', result.stderr


def test_commands_set_it_before_they_import_what_starts_threads():
  code = """
import launch.bench.__main__, palmjax.main
from palmjax.engine import allocator
print(allocator.keep_freed_memory())
"""
  result = run(code, 'cpu')
  kept = platform.libc_ver()[0] == 'glibc'
  assert result.stdout == f'{kept}\n', result.stderr
