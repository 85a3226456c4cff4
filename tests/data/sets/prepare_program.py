"""Prepares a set where TensorFlow cannot be imported, and loads it.

python prepare_program.py ARGUMENT… --data_dir=DIR, arguments of
`palmjax.prepare`. Palms are drawn by a stand-in. The last line it prints is the
exit code, the number of images, and the modules of TensorFlow.
"""

import json
import sys

import numpy as np

from palmjax import prepare
from palmjax.data.palms import palms
from palmjax.data.sets import prepared


def draw_batch(key, identities, samples, *, size, **numbers):
  del key, samples, numbers
  return np.zeros((len(identities), size, size, 3), np.uint8)


palms.draw_batch = draw_batch
*arguments, data_dir = sys.argv[1:]
code = prepare.main([*arguments, data_dir])
data = prepared.load(data_dir.removeprefix('--data_dir='), size=16)
loaded = [name for name in sys.modules if name.split('.')[0] == 'tensorflow']
print(json.dumps([code, len(data.ids), loaded]))
