import pathlib
import subprocess
import sys

_CODE = """
import ctypes, platform, resource
from palmjax.engine import allocator
took_effect = allocator.keep_freed_memory()
assert took_effect == (platform.libc_ver()[0] == 'glibc')
if took_effect:
  libc = ctypes.CDLL(None)
  libc.malloc.restype = libc.memset.restype = ctypes.c_void_p
  libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
  libc.free.argtypes = [ctypes.c_void_p]
  def use():
    block = libc.malloc(ctypes.c_size_t(2**25))
    libc.memset(block, 1, 2**25)
    libc.free(block)
  use()
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  for _ in range(10):
    use()
  faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
  # Fresh pages would fault 8,192 times a block.
  assert faults < 1000, faults
print('done')
"""


def test_blocks_that_are_freed_are_used_again_without_new_pages():
  result = subprocess.run(
    [sys.executable, '-c', _CODE],
    cwd=pathlib.Path(__file__).parents[2],
    capture_output=True,
    text=True,
  )
  assert result.stdout == 'done\n', result.stderr
