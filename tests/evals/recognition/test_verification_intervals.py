"""Intervals of verification rates: what resampling leaves out and covers."""

import numpy as np
import pytest
from scipy import stats

from palmjax.evals import bootstrap
from palmjax.evals.recognition import verification


def unit(x):
  return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def embed(generator, images, *, noise=1.5, dims=16):
  """Embeddings of identities with `images[k]` images each, shuffled."""
  labels = np.repeat(np.arange(len(images)), images)
  centres = generator.normal(size=(len(images), dims))
  spread = noise * generator.normal(size=(len(labels), dims))
  order = generator.permutation(len(labels))
  return unit(centres[labels] + spread)[order], labels[order]


def simulate(generator, num_identities, num_images, *, effect):
  """Scores with identity effects; genuine N(2.4, 1), impostor N(0, 1).

  `effect` is the share of a genuine score's variance that its identity makes,
  and the share of an impostor score's that its two identities make.
  """
  images = np.full(num_identities, num_images)
  same = num_images * (num_images - 1) // 2
  genuine_identity = np.repeat(np.arange(num_identities), same)
  pairs = np.stack(np.triu_indices(num_identities, 1))
  impostor_identity = np.repeat(pairs, num_images**2, axis=1)
  easy = generator.normal(size=num_identities) * np.sqrt(effect)
  alike = generator.normal(size=num_identities) * np.sqrt(effect / 2)
  rest = np.sqrt(1 - effect)
  num_impostor = impostor_identity.shape[1]
  return verification.PairScores(
    genuine=2.4
    + easy[genuine_identity]
    + rest * generator.normal(size=len(genuine_identity)),
    impostor=alike[impostor_identity].sum(0)
    + rest * generator.normal(size=num_impostor),
    genuine_identity=genuine_identity,
    impostor_identity=impostor_identity,
    images=images,
    within=np.zeros((num_identities, 0), int),
  )


def test_draws_without_pairs_are_left_out():
  # Only one identity has a genuine pair: about a third of the draws lack it.
  embeddings, labels = embed(np.random.default_rng(7), [4, 1, 1])
  rates = verification.evaluate(
    embeddings, labels, fars=(), resampling=bootstrap.Resampling(draws=200)
  )
  assert rates['eer'] == {
    'value': rates['eer']['value'],
    'low': 0.0,
    'high': 1.0,
  }


def test_draws_without_pairs_across_sessions_are_left_out():
  """Two of six identities have a genuine pair, two only one session."""
  labels = np.repeat(np.arange(6), 2)
  sessions = np.array([0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0])
  generator = np.random.default_rng(7)
  embeddings = unit(generator.normal(size=(12, 4)))
  scores = verification.pair_scores(embeddings, labels, sessions=sessions)
  resampling = bootstrap.Resampling(draws=400, seed=5)
  weights = bootstrap.draw(6, resampling)
  first, second = scores.impostor_identity
  usable = [
    bool(w[scores.genuine_identity].sum() and (w[first] * w[second]).sum())
    for w in weights
  ]
  assert 0 < sum(usable) < 400
  kept = bootstrap.draw_with_pairs(
    scores.images, resampling, within=scores.within
  )
  np.testing.assert_array_equal(kept, weights[usable])
  _, (resamples,) = bootstrap.resample([scores], (0.5,), resampling)
  assert resamples.shape == (sum(usable), 2)
  # Too few people to tell an interval, although six have two images.
  rate = verification.rates(
    scores, fars=(), resampling=bootstrap.Resampling(draws=400)
  )['eer']
  assert (rate['low'], rate['high']) == (0.0, 1.0)


def test_pairs_that_are_missing_are_told():
  embeddings, labels = embed(np.random.default_rng(8), [4] * 6)
  sessions = np.arange(24) % 2
  scores = verification.pair_scores(embeddings, labels, sessions=sessions)
  wrong = scores._replace(within=scores.within[:, :0])
  with pytest.raises(ValueError, match='the scores of all pairs that count'):
    verification.rates(wrong, resampling=bootstrap.Resampling(draws=2))
  with pytest.raises(ValueError, match='same labelled images'):
    verification.eer_ratio(scores, wrong)


def test_bootstrap_is_deterministic():
  embeddings, labels = embed(np.random.default_rng(8), [4] * 12)

  def run(seed):
    return verification.evaluate(
      embeddings,
      labels,
      fars=(0.1,),
      resampling=bootstrap.Resampling(draws=100, seed=seed),
    )

  assert run(3) == run(3)
  assert run(3) != run(4)


def test_no_error_seen_reaches_to_the_rule_of_3():
  # 8 identities on 8 axes, two equal images each: nothing overlaps.
  labels = np.repeat(np.arange(8), 2)
  rates = verification.evaluate(
    np.eye(8)[labels],
    labels,
    fars=(0.5,),
    resampling=bootstrap.Resampling(draws=50),
  )
  bound = 1 - 0.05 ** (1 / 8)  # 0.95 of the time no error in 8 at this rate.
  assert rates['eer'] == pytest.approx({'value': 0, 'low': 0, 'high': bound})
  assert rates['tar@far=5e-1'] == pytest.approx(
    {'value': 1, 'low': 1 - bound, 'high': 1}
  )


@pytest.mark.slow
def test_interval_covers_the_true_rate():
  """Nominal 95 % holds where people differ; resampled pairs fall short."""
  # Equal variances 1 and means 2.4 apart: EER = Φ(-1.2), and at FMR = 10 %
  # TAR = Φ(2.4 - z(0.9)).
  true = {
    'eer': stats.norm.cdf(-1.2),
    'tar@far=1e-1': stats.norm.cdf(2.4 - stats.norm.ppf(0.9)),
  }
  generator = np.random.default_rng(9)
  trials = 200
  covered = dict.fromkeys(true, 0)
  covered_by_pairs = 0
  for trial in range(trials):
    scores = simulate(generator, 30, 5, effect=0.5)
    rates = verification.rates(
      scores,
      fars=(0.1,),
      resampling=bootstrap.Resampling(draws=200, seed=trial),
    )
    for name, rate in true.items():
      covered[name] += rates[name]['low'] <= rate <= rates[name]['high']
    # Pairs taken for independent: the plain error of a share of G.
    value = rates['eer']['value']
    error = 1.96 * np.sqrt(value * (1 - value) / len(scores.genuine))
    covered_by_pairs += abs(value - true['eer']) <= error
  for name in true:
    assert 0.90 * trials <= covered[name] <= 0.98 * trials, covered
  assert covered_by_pairs < 0.85 * trials


def test_expanded_tail_matches_student():
  # Quantiles of Student's t from a printed table.
  for n, student in ((5, 2.7764), (10, 2.2622), (100, 1.9842)):
    assert bootstrap.expanded_tail(0.95, n) == pytest.approx(
      stats.norm.cdf(-student * np.sqrt(n / (n - 1))), rel=1e-3
    )
  assert bootstrap.expanded_tail(0.95, 10**6) == pytest.approx(0.025, rel=1e-4)


def test_eer_ratio_is_paired():
  generator = np.random.default_rng(10)
  baseline = simulate(generator, 40, 3, effect=0.8)
  # The same people and pairs, each genuine pair a little more alike.
  better = baseline._replace(genuine=baseline.genuine + 0.5)
  ratio = verification.eer_ratio(
    better, baseline, resampling=bootstrap.Resampling(draws=300)
  )
  assert ratio['low'] < ratio['value'] < ratio['high'] < 1.0
  apart = [
    verification.rates(
      scores, fars=(), resampling=bootstrap.Resampling(draws=300)
    )['eer']
    for scores in (better, baseline)
  ]
  assert ratio['value'] == pytest.approx(apart[0]['value'] / apart[1]['value'])
  assert apart[0]['high'] > apart[1]['low']  # Apart they tell nothing.
  assert verification.eer_ratio(baseline, baseline) == {
    'value': 1.0,
    'low': 1.0,
    'high': 1.0,
  }


def test_eer_ratio_says_what_it_cannot_measure():
  labels = np.repeat(np.arange(8), 2)
  perfect = verification.pair_scores(np.eye(8)[labels], labels)
  reason = {'value': None, 'reason': 'not measurable with 8 identities'}
  assert (
    verification.eer_ratio(
      perfect, perfect, resampling=bootstrap.Resampling(draws=9)
    )
    == reason
  )
  other = verification.pair_scores(np.eye(8)[labels[:-2]], labels[:-2])
  with pytest.raises(ValueError, match='same labelled images'):
    verification.eer_ratio(perfect, other)
