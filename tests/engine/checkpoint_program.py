"""Checkpoints where no file may be large: python checkpoint_program.py DIR SIZE

Prints the error of the save that failed, the steps that are left, the steps
after the next save, and 'restored'.
"""

import resource
import sys

import chex
import numpy as np

from palmjax.engine import checkpoint

directory, size = sys.argv[1], int(sys.argv[2])
large = {str(i): np.random.default_rng(i).random(9000) for i in range(20)}
with checkpoint.Checkpoints(directory) as checkpoints:
  checkpoints.save(9, large)
  checkpoints.wait()
  _, hard = old = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
  checkpoints.save(10, large)
  try:
    checkpoints.save(11, large)
  except OSError as error:
    print(error)
  resource.setrlimit(resource.RLIMIT_FSIZE, old)
  checkpoints.wait()
  print(checkpoints.steps())
  checkpoints.save(12, large)
print(checkpoints.steps())
chex.assert_trees_all_equal(checkpoints.restore(large), large)
print('restored')
