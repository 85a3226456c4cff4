"""Templates of one key are linked, those of two keys are not."""

import types

import numpy as np

from palmjax.recipes.distill import template_tests
from tests.recipes.distill import pixel_palms


def units(labels, noise):
  rng = np.random.default_rng(0)
  palms = rng.normal(size=(labels.max() + 1, 64))
  values = palms[labels] + noise * rng.normal(size=(len(labels), 64))
  return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_a_key_links_and_two_do_not():
  part = pixel_palms.part()
  network = types.SimpleNamespace(
    embed=lambda images: units(part.labels, noise=0.3)
  )
  rows = template_tests.measure(network, part, np.random.default_rng(1))
  one, two, chance = (
    rows[name]['d_sys']['value']
    for name in (
      template_tests.ONE_KEY,
      template_tests.TWO_KEYS,
      template_tests.BY_CHANCE,
    )
  )
  assert one > 0.95
  # 16 palms: under one pair of keys theirs are far or near by chance.
  assert chance < two < 0.5
