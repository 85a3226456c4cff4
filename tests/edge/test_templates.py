"""Cancellable templates: the same decisions, and nothing to link."""

import numpy as np
import pytest

from palmjax.edge import templates
from palmjax.evals.recognition import linkability


def units(seed, count=300, size=64):
  values = np.random.default_rng(seed).normal(size=(count, size))
  return values / np.linalg.norm(values, axis=1, keepdims=True)


def captures(embeddings, seed):
  noisy = embeddings + units(seed, *embeddings.shape) * 0.4
  return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)


def test_cosines_stay():
  one, two = units(0), units(1)
  protected = [templates.protect(x, b'key') for x in (one, two)]
  np.testing.assert_allclose(
    protected[0] @ protected[1].T, one @ two.T, atol=1e-6
  )
  q = templates.rotation(b'key', 64)
  np.testing.assert_allclose(q @ q.T, np.eye(64), atol=1e-12)


def test_equal_keys_give_equal_templates():
  one = units(0)
  np.testing.assert_array_equal(
    templates.protect(one, b'key'), templates.protect(one, b'key')
  )


def test_templates_of_two_keys_cannot_be_linked():
  people = units(0)
  first = templates.protect(people, b'one')
  second = templates.protect(captures(people, 2), b'two')
  scores = first @ second.T
  mated = np.diag(scores)
  others = scores[~np.eye(len(scores), dtype=bool)]
  # Histograms of 300 scores in 10 bins differ by chance.
  assert linkability.d_sys(mated, others, bins=10) < 0.2
  # Under one key everybody can tell.
  same = first @ templates.protect(captures(people, 2), b'one').T
  others = same[~np.eye(len(same), dtype=bool)]
  assert linkability.d_sys(np.diag(same), others, bins=10) > 0.95


def test_d_sys_by_hand():
  # p = (1/2, 1/2, 0), q = (0, 1/2, 1/2): D = 1 in the first bin, else 0.
  mated, others = [0.0, 0.5], [0.5, 1.0]
  assert linkability.d_sys(mated, others, bins=3) == pytest.approx(0.5)
  assert linkability.d_sys([0.0], [1.0], bins=2) == pytest.approx(1.0)
  assert linkability.d_sys([0.0, 1.0], [0.0, 1.0], bins=2) == 0.0
  # p = (3/4, 1/4), q = (1/4, 3/4): (3/4 − 1/4) / 1 · 3/4.
  assert linkability.d_sys([0, 0, 0, 1], [0, 1, 1, 1], bins=2) == pytest.approx(
    0.375
  )


@pytest.mark.parametrize('mated, others', [([], [1.0]), ([np.nan], [1.0])])
def test_scores_that_say_nothing_are_refused(mated, others):
  with pytest.raises(ValueError, match=r'needed|finite'):
    linkability.d_sys(mated, others)
