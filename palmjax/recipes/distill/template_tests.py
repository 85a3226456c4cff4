"""Can templates of a device be linked under other keys? (ISO/IEC 30136)

Images of all palms of the test are embedded, and `edge.templates` turns the
embeddings under keys. D_sys says how well a pair of templates tells whether it
is of one palm: 0 not at all, 1 for sure.
"""

import itertools

import numpy as np

from palmjax.edge import templates
from palmjax.evals.recognition import linkability

TWO_KEYS = 'templates, two keys'
ONE_KEY = 'templates, one key'
BY_CHANCE = 'templates, palms by chance'
_KEYS = 3


def measure(network, part, rng):
  """D_sys of templates, of two images of a palm each.

  Args:
    network: `PalmNetwork` that embeds.
    part: `palm_images.Part`.
    rng: `np.random.Generator` of keys.

  Returns:
    {row: {'d_sys': {'value'}}}: means over keys. `BY_CHANCE` is what finite
    counts give where nothing can be linked: two keys, and palms named at
    random.
  """
  embeddings = network.embed(part.images)
  turned = [templates.protect(embeddings, rng.bytes(32)) for _ in range(_KEYS)]
  chance = rng.permutation(part.labels)
  others = list(itertools.combinations(turned, 2))
  pairs = {
    TWO_KEYS: [_linked(*two, part.labels) for two in others],
    ONE_KEY: [_linked(one, one, part.labels) for one in turned],
    BY_CHANCE: [_linked(*two, chance) for two in others],
  }
  return {
    name: {'d_sys': {'value': float(np.mean(values))}}
    for name, values in pairs.items()
  }


def _linked(first, second, labels):
  scores = first @ second.T
  mated = labels[:, None] == labels
  other_image = ~np.eye(len(labels), dtype=bool)
  return linkability.d_sys(scores[mated & other_image], scores[~mated])
