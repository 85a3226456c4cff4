"""Scores that were tried, against loops in NumPy."""

import numpy as np
import pytest

from launch import verifier_trials
from palmjax.inference import parts


@pytest.mark.parametrize('shrinkage', [0.3, 1.0])
def test_the_network_is_whitened_and_the_codes_stay(shrinkage):
  rng = np.random.default_rng(0)
  cohort = rng.normal(size=(80, 8)) * np.arange(1, 9) + 2.0
  probes, gallery = rng.normal(size=(3, 8)), rng.normal(size=(2, 8))
  scores = rng.normal(size=(3, 3, 2))
  covariance = np.cov(cohort, rowvar=False, bias=True)
  covariance = (1 - shrinkage) * covariance + shrinkage * np.eye(8) * (
    np.trace(covariance) / 8
  )
  values, axes = np.linalg.eigh(covariance)
  root = axes @ np.diag(values**-0.5) @ axes.T
  units = []
  for side in (probes, gallery):
    white = (side - cohort.mean(0)) @ root
    units.append(white / np.linalg.norm(white, axis=1, keepdims=True))
  means = parts.no_means(8)._replace(network=cohort.mean(axis=0))
  white = verifier_trials.whitened(
    scores, probes, gallery, (means, cohort), shrinkage
  )
  np.testing.assert_array_equal(white[:2], scores[:2])
  np.testing.assert_allclose(white[2], units[0] @ units[1].T, atol=1e-6)


def test_s_norm_is_the_mean_of_both_sides():
  rng = np.random.default_rng(1)
  scores, probes, gallery = (
    rng.normal(size=s) for s in ((2, 3), (2, 9), (3, 9))
  )
  got = verifier_trials.s_normed(scores, probes, gallery)
  for i in range(2):
    for j in range(3):
      sides = [
        (scores[i, j] - side.mean()) / side.std()
        for side in (probes[i], gallery[j])
      ]
      assert got[i, j] == pytest.approx(sum(sides) / 2)
  exchanged = verifier_trials.s_normed(scores.T, gallery, probes)
  np.testing.assert_allclose(exchanged.T, got)
