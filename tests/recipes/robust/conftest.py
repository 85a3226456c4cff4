"""A test of eight images for the tests of attacks."""

import numpy as np
import pytest


@pytest.fixture
def test():
  """Boxes, classes and validity: one box an image, the same in each."""
  boxes = np.tile(np.float32([2, 2, 10, 10]), (8, 1, 1))
  return {
    'boxes': boxes,
    'classes': np.zeros((8, 1), np.int32),
    'valid': np.ones((8, 1), bool),
  }
