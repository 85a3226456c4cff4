"""Genuine pairs and their false non-match rates."""

import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.inference import cohort, known_palms, parts
from tests.inference import drawn_palms

PALMS, IMAGES = 10, 3
IDENTITIES = np.repeat(np.arange(PALMS), IMAGES)


@pytest.fixture(scope='module')
def templates():
  """Noise that images of one palm share half of."""
  rng = np.random.default_rng(0)

  def codes():
    size = 2 * parts.orientation_code.SIZE**2
    palms = rng.normal(size=(PALMS, 1, size))
    noise = palms + rng.normal(size=(PALMS, IMAGES, size))
    code = np.clip(30 * noise, -127, 127).astype(np.int8)
    code = code.reshape(-1, 1, 32, 32, 2)
    return np.repeat(code, 5, axis=1)

  vectors = rng.normal(size=(PALMS * IMAGES, 8)).astype(np.float32)
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  return parts.Templates(codes(), codes(), vectors)


def genuine(templates):
  strangers = cohort.cross_fitted(
    templates.take(np.arange(0, len(IDENTITIES), IMAGES)),
    np.random.default_rng(0),
  )
  return known_palms.genuine(templates, IDENTITIES, strangers)


@pytest.fixture(scope='module')
def pairs(templates):
  return genuine(templates)


def test_all_pairs_of_one_palm(pairs):
  assert pairs.parts.shape == (3, PALMS * IMAGES)
  assert pairs.fused.shape == pairs.identity.shape == (PALMS * IMAGES,)
  matched = set(zip(pairs.rows.tolist(), pairs.columns.tolist(), strict=True))
  assert matched == {
    (i, j)
    for i in range(len(IDENTITIES))
    for j in range(i + 1, len(IDENTITIES))
    if IDENTITIES[i] == IDENTITIES[j]
  }
  np.testing.assert_array_equal(pairs.identity, IDENTITIES[pairs.rows])
  assert (np.diff(pairs.identity) >= 0).all()
  assert pairs.parts[:2].min() > 0.3  # About a half.


def test_a_palm_is_not_in_the_mean_that_is_taken_off(templates, pairs):
  """Another first image changes no pair of the other two."""
  for who in range(PALMS):
    first = who * IMAGES
    changed = parts.Templates(*(part.copy() for part in templates))
    changed.fine[first] //= -2
    changed.network[first] *= -1
    again = genuine(changed)
    same = (pairs.identity == who) & (pairs.rows != first)
    assert same.sum() == 1
    np.testing.assert_array_equal(again.parts[:, same], pairs.parts[:, same])
    # But it is in the means of others.
    other = pairs.identity != who
    assert (again.parts[:, other] != pairs.parts[:, other]).any()
    if who == 1:
      return


def test_genuine_pairs_are_whitened_as_strongly_as_those_of_strangers(
  monkeypatch,
):
  """By 40 palms, though only 32 are outside a fold."""
  strengths = []
  means = parts.means

  def noted(templates, strength=None):
    strengths.append((len(templates.network), strength))
    return means(templates, strength)

  monkeypatch.setattr(parts, 'means', noted)
  drawn_palms.compare_cheaply(monkeypatch)
  rng = np.random.default_rng(1)
  palms = drawn_palms.random_templates(rng, 80)
  strangers = rng.normal(size=(3, 40, 40))
  known_palms.genuine(palms, np.repeat(np.arange(40), 2), strangers)
  assert strengths == [(32, 40)] * 5


def test_one_image_a_palm_makes_no_pair(templates):
  some = templates.take(np.arange(0, len(IDENTITIES), IMAGES))
  scores = cohort.cross_fitted(some, np.random.default_rng(0))
  scored = known_palms.genuine(some, np.arange(PALMS), scores)
  assert scored.parts.shape == (3, 0)
  assert scored.fused.size == scored.rows.size == 0


def test_fnmr_counts_pairs_below_the_threshold():
  identity = np.repeat(np.arange(40), 3)
  scores = np.ones(120)
  scores[[0, 1, 5]] = 0.0
  rate = known_palms.fnmr(scores, identity, 0.5)
  assert (rate['missed'], rate['pairs']) == (3, 120)
  assert rate['value'] == 3 / 120
  weights = bootstrap.draw(40, bootstrap.DEFAULT)
  rates = (2 * weights[:, 0] + weights[:, 1]) / 120
  # Student's t is wider than the normal: beyond the plain percentile.
  assert rate['high'] >= np.quantile(rates, 0.975)
  assert rate['high'] < 0.1
  assert rate['low'] <= np.quantile(rates, 0.025) == 0
  # A score at the threshold is accepted.
  assert known_palms.fnmr(scores, identity, 1.0)['missed'] == 3


def test_few_misses_reach_no_less_far_than_none():
  identity = np.arange(60)
  scores = np.ones(60)
  none = known_palms.fnmr(scores, identity, 0.5)
  scores[0] = 0.0
  one = known_palms.fnmr(scores, identity, 0.5)
  assert none['high'] == pytest.approx(1 - 0.05 ** (1 / 60))
  assert one['high'] >= none['high']
