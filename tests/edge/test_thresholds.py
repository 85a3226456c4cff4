"""At the threshold of a student few strangers pass."""

import numpy as np
import pytest

from palmjax.edge import thresholds

FMR = 1e-2


def units(seed, count):
  values = np.random.default_rng(seed).normal(size=(count, 32))
  return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_strangers_pass_less_often_than_the_rate():
  strangers = units(100, 1500)
  cosines = (strangers @ strangers.T)[np.triu_indices(1500, 1)]
  rates = [
    np.mean(cosines >= thresholds.cosine(units(seed, 100), FMR))
    for seed in range(10)
  ]
  assert np.mean(rates) < FMR
  assert np.sum(np.array(rates) <= FMR) >= 8
  # Not at any price.
  assert np.mean(rates) > 0.6 * FMR


def test_few_impostors_set_no_low_rate():
  with pytest.raises(ValueError, match=r'rate of 1e-4 needs 300,000'):
    thresholds.cosine(units(0, 100), 1e-4)


def test_no_threshold_lies_above_the_largest_cosine():
  assert thresholds.cosine(np.ones((100, 1)), FMR) == 1.0
