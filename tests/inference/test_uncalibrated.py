"""Thresholds for a camera of which nothing is known."""

import numpy as np
import pytest

from palmjax.inference import parts, uncalibrated
from tests.inference import drawn_palms


def test_thresholds_rise_as_rates_fall():
  rates, thresholds = zip(*uncalibrated.THRESHOLDS, strict=True)
  assert list(rates) == sorted(rates, reverse=True)
  assert list(thresholds) == sorted(thresholds)
  for rate, threshold in uncalibrated.THRESHOLDS:
    assert uncalibrated.threshold(rate) == threshold


@pytest.mark.parametrize('rate', [1e-5, 0.05])
def test_other_rates(rate):
  with pytest.raises(ValueError, match=r'without a cohort .* for 1e-1, 1e-2'):
    uncalibrated.threshold(rate)


def test_standards_are_of_the_codes_alone():
  mean, std = uncalibrated.STANDARD
  assert len(mean) == len(std) == len(parts.CODES)


@pytest.mark.parametrize(
  'seed, difficulty', [(1, 0.6), pytest.param(5, 0.8, marks=pytest.mark.slow)]
)
def test_strangers_among_drawn_palms_stay_below(seed, difficulty):
  palms = drawn_palms.templates(seed, difficulty)
  scores = parts.compare(palms, palms, parts.no_means(64))[:2]
  fused = parts.fuse(scores, uncalibrated.STANDARD)
  strangers = fused[~np.eye(drawn_palms.COUNT, dtype=bool)]
  for rate in (1e-1, 1e-2):
    assert np.mean(strangers >= uncalibrated.threshold(rate)) <= 2 * rate
  # A palm and itself is beyond all thresholds.
  assert np.diag(fused).min() > uncalibrated.threshold(1e-4)
