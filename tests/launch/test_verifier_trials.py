"""Scores that were tried, against loops in NumPy."""

import numpy as np
import pytest

from launch import verifier_trials


@pytest.mark.parametrize('shrinkage', [0.3, 1.0])
def test_whitened_embeddings_equal_the_definition(shrinkage):
  rng = np.random.default_rng(0)
  cohort = rng.normal(size=(5, 8)) * np.arange(1, 9) + 2.0
  embeddings = rng.normal(size=(3, 8))
  covariance = np.cov(cohort, rowvar=False, bias=True)
  covariance = (1 - shrinkage) * covariance + shrinkage * np.eye(8) * (
    np.trace(covariance) / 8
  )
  values, axes = np.linalg.eigh(covariance)
  root = axes @ np.diag(values**-0.5) @ axes.T
  want = (embeddings - cohort.mean(0)) @ root
  want /= np.linalg.norm(want, axis=1, keepdims=True)
  got = verifier_trials.whitened(embeddings, cohort, shrinkage)
  np.testing.assert_allclose(got, want, atol=1e-9)


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
