"""What the tests of all builders share."""

import zlib

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def put(tmp_path):
  """Writes tiny images, each of a grey that its path tells; returns DIR."""

  def put(*paths):
    for path in paths:
      target = tmp_path / path
      target.parent.mkdir(parents=True, exist_ok=True)
      grey = np.full((6, 8), zlib.crc32(path.encode()) % 256, np.uint8)
      Image.fromarray(grey).save(target)
    return tmp_path

  return put
