import itertools
import json

import numpy as np
import pytest
from scipy import stats

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, verification

# Ties on both sides: 0.9 and 0.6 are genuine and impostor scores at once.
GENUINE = [0.9, 0.9, 0.8, 0.6, 0.6, 0.6, 0.5, 0.2]
IMPOSTOR = [0.9, 0.7, 0.6, 0.6, 0.4, 0.4, 0.3, 0.1, 0.1, 0.0]


def tar_at_far(genuine, impostor, far):
  return error_rates.eer_and_tars(genuine, impostor, (far,))[1]


def points_twin(genuine, impostor):
  """(FMR, FNMR) counted threshold by threshold, from infinity down."""
  thresholds = [np.inf, *sorted({*genuine, *impostor}, reverse=True)]
  return [
    (
      sum(s >= t for s in impostor) / len(impostor),
      sum(s < t for s in genuine) / len(genuine),
    )
    for t in thresholds
  ]


def eer_twin(genuine, impostor):
  """Walks the line through the points until it meets the diagonal."""
  points = points_twin(genuine, impostor)
  for (x0, y0), (x1, y1) in itertools.pairwise(points):
    if x1 >= y1:
      along = (y0 - x0) / ((y0 - x0) + (x1 - y1))
      return x0 + along * (x1 - x0)
  raise AssertionError('The line ends at (1, 0).')


def tar_twin(genuine, impostor, far):
  points = points_twin(genuine, impostor)
  return max(1.0 - fnmr for fmr, fnmr in points if fmr <= far)


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


def test_golden_rates_with_ties():
  # Down to 0.6: FMR 0.2 → 0.4 while FNMR 0.625 → 0.25. The line crosses at
  # 0.2 + 0.2·0.425/0.575.
  assert error_rates.eer(GENUINE, IMPOSTOR) == pytest.approx(
    0.2 + 0.2 * 0.425 / 0.575, abs=1e-12
  )
  # FMR ≤ 0.1 stops above 0.7 and lets both 0.9 and 0.8 through: 3 of 8.
  assert tar_at_far(GENUINE, IMPOSTOR, 0.1) == 0.375
  # The two tied impostors at 0.6 pass together or not at all.
  assert tar_at_far(GENUINE, IMPOSTOR, 0.3) == 0.375
  assert tar_at_far(GENUINE, IMPOSTOR, 0.4) == 0.875
  assert tar_at_far(GENUINE, IMPOSTOR, 0.05) == 0.0


@pytest.mark.parametrize(
  'genuine, impostor, expected',
  [
    ([1.0, 0.9], [0.2, 0.1], 0.0),  # Apart.
    ([0.1, 0.2], [0.9, 1.0], 1.0),  # Apart, the wrong way round.
    ([0.5, 0.5], [0.5], 0.5),  # One tie: the line is the other diagonal.
    ([0.9, 0.3], [0.5, 0.5, 0.5], 0.5),  # Crossed by impostor pairs alone.
    ([0.5, 0.5], [0.9, 0.3, 0.2, 0.1], 0.25),  # Crossed by genuine alone.
  ],
)
def test_golden_eer(genuine, impostor, expected):
  assert error_rates.eer(genuine, impostor) == pytest.approx(expected)


def test_rates_match_counting():
  generator = np.random.default_rng(0)
  for case in range(60):
    levels = generator.integers(2, 30)  # Few levels: many ties.
    genuine = (
      generator.integers(0, levels, generator.integers(1, 25)) + case % 4
    )
    impostor = generator.integers(0, levels, generator.integers(1, 40))
    genuine, impostor = (x / 32 for x in (genuine, impostor))
    assert error_rates.eer(genuine, impostor) == pytest.approx(
      eer_twin(genuine, impostor), abs=1e-12
    )
    for far in (0.01, 0.1, 0.25, 0.5):
      assert tar_at_far(genuine, impostor, far) == pytest.approx(
        tar_twin(genuine, impostor, far), abs=1e-12
      )
    _, fmr, fnmr = error_rates.fmr_fnmr(genuine, impostor)
    np.testing.assert_allclose(
      np.stack([fmr, fnmr], 1), points_twin(genuine, impostor), atol=1e-12
    )


def test_rates_ignore_monotone_transforms():
  generator = np.random.default_rng(1)
  genuine = generator.normal(1.0, 1.0, 300)
  impostor = generator.normal(0.0, 1.0, 500)
  bent = [np.tanh(x) ** 3 + 5 for x in (genuine, impostor)]
  assert error_rates.eer(*bent) == error_rates.eer(genuine, impostor)
  assert tar_at_far(*bent, 0.1) == tar_at_far(genuine, impostor, 0.1)


def test_eer_is_symmetric():
  """Distances for similarities: the two errors change places."""
  genuine, impostor = np.array(GENUINE), np.array(IMPOSTOR)
  assert error_rates.eer(-impostor, -genuine) == pytest.approx(
    error_rates.eer(genuine, impostor), abs=1e-12
  )


def test_eer_threshold_and_d_prime():
  assert error_rates.eer_threshold(GENUINE, IMPOSTOR) == 0.6
  # Means 2 and 0, variances 1 and 4: 2 / sqrt(2.5).
  found = error_rates.d_prime([1.0, 3.0], [-2.0, 2.0])
  assert found == {'value': pytest.approx(2 / np.sqrt(2.5))}


def test_d_prime_of_a_network_that_collapsed():
  found = error_rates.d_prime([0.5, 0.5], [0.5, 0.5, 0.5])
  assert found == {'value': None, 'reason': 'all scores of a kind are equal'}
  found = error_rates.d_prime([1.0, 0.0], [0.0])
  assert found == {'value': pytest.approx(2**0.5)}


def test_similarities_of_any_matcher_across_sessions():
  generator = np.random.default_rng(0)
  embeddings = generator.normal(size=(24, 8)).astype(np.float32)
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  labels, sessions = np.arange(24) % 5, generator.integers(0, 3, 24)
  wanted = verification.pair_scores(embeddings, labels, sessions=sessions)
  found = verification.matrix_scores(
    embeddings @ embeddings.T, labels, sessions=sessions
  )
  for mine, its in zip(found, wanted, strict=True):
    np.testing.assert_allclose(mine, its, atol=1e-6)
  assert len(found.genuine) < len(
    verification.matrix_scores(embeddings @ embeddings.T, labels).genuine
  )


def test_pairs_match_two_loops():
  # More rows than a block, so that pairs cross its border.
  embeddings, labels = embed(np.random.default_rng(2), [30] * 20)
  labels = labels * 7 - 3  # Labels need not be dense.
  scores = verification.pair_scores(embeddings, labels)

  genuine, impostor = [], []
  for i, j in itertools.combinations(range(len(labels)), 2):
    similarity = float(embeddings[i] @ embeddings[j])
    sides = ((labels[i] + 3) // 7, (labels[j] + 3) // 7)
    if sides[0] == sides[1]:
      genuine.append((sides[0], similarity))
    else:
      impostor.append((*sides, similarity))
  found = np.stack([scores.genuine_identity, scores.genuine], 1)
  _assert_same_rows(found, genuine)
  found = np.stack([*scores.impostor_identity, scores.impostor], 1)
  _assert_same_rows(found, impostor)
  assert scores.images.tolist() == [30] * 20


def _assert_same_rows(found, expected):
  found, expected = np.asarray(found, float), np.asarray(expected, float)
  assert found.shape == expected.shape
  order = [x[np.lexsort(x.T[::-1])] for x in (found, expected)]
  np.testing.assert_allclose(*order, atol=2e-6)


def test_identity_with_one_image_makes_impostor_pairs_only():
  embeddings, labels = embed(np.random.default_rng(3), [1, 3, 2])
  scores = verification.pair_scores(embeddings, labels)
  assert np.bincount(scores.genuine_identity).tolist() == [0, 3, 1]
  assert len(scores.impostor) == 1 * 3 + 1 * 2 + 3 * 2


@pytest.mark.parametrize(
  'embeddings, labels, message',
  [
    (np.eye(3), [0, 1, 2], 'No genuine pair'),
    (np.eye(3), [4, 4, 4], 'No impostor pair'),
    (np.array([[1, 0], [np.nan, 0], [0, 1]]), [0, 0, 1], 'NaN'),
    (2 * np.eye(3), [0, 0, 1], 'unit L2 norm'),
    (np.zeros((0, 2)), np.zeros(0, int), 'No genuine pair'),
  ],
)
def test_bad_embeddings(embeddings, labels, message):
  with pytest.raises(ValueError, match=message):
    verification.pair_scores(embeddings, labels)


def test_rule_of_30():
  # 5 identities of 5 images: 250 impostor pairs. 30/250 = 0.12.
  embeddings, labels = embed(np.random.default_rng(4), [5] * 5)
  found = verification.evaluate(
    embeddings,
    labels,
    fars=(0.5, 0.12, 0.1, 1e-3),
    resampling=bootstrap.Resampling(draws=20),
  )
  assert list(found) == [
    'eer',
    'tar@far=5e-1',
    'tar@far=1.2e-1',
    'tar@far=1e-1',
    'tar@far=1e-3',
  ]
  for name in ('eer', 'tar@far=5e-1', 'tar@far=1.2e-1'):
    assert found[name].keys() == {'value', 'low', 'high'}
  for name in ('tar@far=1e-1', 'tar@far=1e-3'):
    assert found[name] == {
      'value': None,
      'reason': 'not measurable with 250 pairs',
    }
  assert json.loads(json.dumps(found)) == found


def test_det_points_stop_at_30_impostor_pairs():
  generator = np.random.default_rng(5)
  genuine = generator.normal(1.0, 1.0, 200)
  impostor = generator.normal(0.0, 1.0, 3000)
  fmr, fnmr = error_rates.det_points(genuine, impostor, num_points=50)
  assert fmr[0] * 3000 == pytest.approx(30)
  assert fmr[-1] == 1.0
  assert len(fmr) <= 50
  curve = np.round(points_twin(genuine, impostor), 9).tolist()
  assert all(
    [round(x, 9), round(y, 9)] in curve for x, y in zip(fmr, fnmr, strict=True)
  )
  fmr, _ = error_rates.det_points(genuine, impostor[:29])
  assert fmr.size == 0


def test_value_is_that_of_the_plain_lists():
  embeddings, labels = embed(np.random.default_rng(6), [1, 2, 3, 4, 5, 6, 7])
  scores = verification.pair_scores(embeddings, labels)
  found = verification.evaluate(
    embeddings, labels, fars=(0.2,), resampling=bootstrap.Resampling(draws=50)
  )
  assert found['eer']['value'] == pytest.approx(
    eer_twin(scores.genuine, scores.impostor), abs=1e-12
  )
  assert found['tar@far=2e-1']['value'] == pytest.approx(
    tar_twin(scores.genuine, scores.impostor, 0.2), abs=1e-12
  )


@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('num_sessions', [None, 2, 3])
def test_bootstrap_matches_copied_lists(seed, num_sessions):
  """The same draws, with every pair written out as often as it counts."""
  images = [4, 5, 6, 5, 4, 1, 5]
  embeddings, labels = embed(np.random.default_rng(seed), images, dims=3)
  embeddings = unit(np.round(embeddings, 1))  # Ties.
  sessions = None
  if num_sessions:
    generator = np.random.default_rng(seed)
    sessions = 5 * generator.integers(num_sessions, size=len(labels))
    sessions[labels == 0] = 5  # Several images, but no genuine pair.
  scores = verification.pair_scores(embeddings, labels, sessions=sessions)
  independent = 5 if num_sessions else 6
  assert len({*scores.genuine_identity}) == independent
  fars, draws = (0.4, 0.2), 60

  generator = np.random.Generator(np.random.PCG64(11))
  weights = generator.multinomial(7, np.full(7, 1 / 7), size=draws)
  twins = []
  for w in weights:
    first, second = scores.impostor_identity
    genuine = np.repeat(scores.genuine, w[scores.genuine_identity])
    impostor = np.repeat(scores.impostor, w[first] * w[second])
    if not len(genuine) or not len(impostor):
      continue
    twins.append(
      [eer_twin(genuine, impostor)]
      + [tar_twin(genuine, impostor, far) for far in fars]
    )
  # Student's t: degrees of freedom one fewer than identities with such pairs.
  tail = stats.norm.cdf(
    -stats.t.ppf(0.8, independent - 1)
    * np.sqrt(independent / (independent - 1))
  )
  low, high = np.quantile(
    twins, [tail, 1 - tail], axis=0, method='inverted_cdf'
  )

  found = verification.rates(
    scores,
    fars=fars,
    resampling=bootstrap.Resampling(draws=draws, seed=11, confidence=0.6),
  )
  for k, name in enumerate(('eer', 'tar@far=4e-1', 'tar@far=2e-1')):
    value = found[name]['value']
    assert found[name]['low'] == pytest.approx(min(low[k], value), abs=1e-12)
    assert found[name]['high'] == pytest.approx(max(high[k], value), abs=1e-12)


def test_draws_without_pairs_are_left_out():
  # Only one identity has a genuine pair: about a third of the draws lack it.
  embeddings, labels = embed(np.random.default_rng(7), [4, 1, 1])
  found = verification.evaluate(
    embeddings, labels, fars=(), resampling=bootstrap.Resampling(draws=200)
  )
  assert found['eer'] == {
    'value': found['eer']['value'],
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
  found = bootstrap.draw_with_pairs(
    scores.images, resampling, within=scores.within
  )
  np.testing.assert_array_equal(found, weights[usable])
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
  found = verification.evaluate(
    np.eye(8)[labels],
    labels,
    fars=(0.5,),
    resampling=bootstrap.Resampling(draws=50),
  )
  bound = 1 - 0.05 ** (1 / 8)  # 0.95 of the time no error in 8 at this rate.
  assert found['eer'] == pytest.approx({'value': 0, 'low': 0, 'high': bound})
  assert found['tar@far=5e-1'] == pytest.approx(
    {'value': 1, 'low': 1 - bound, 'high': 1}
  )


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
    found = verification.rates(
      scores,
      fars=(0.1,),
      resampling=bootstrap.Resampling(draws=200, seed=trial),
    )
    for name, rate in true.items():
      covered[name] += found[name]['low'] <= rate <= found[name]['high']
    # Pairs taken for independent: the plain error of a share of G.
    value = found['eer']['value']
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


@pytest.mark.parametrize('far', [0.0, 1.0, 2.0])
def test_far_outside_of_0_1(far):
  embeddings, labels = embed(np.random.default_rng(12), [4] * 6)
  with pytest.raises(ValueError, match='between 0 and 1'):
    verification.evaluate(
      embeddings,
      labels,
      fars=(0.2, far),
      resampling=bootstrap.Resampling(draws=2),
    )


@pytest.mark.parametrize(
  'far, name',
  [(1e-3, '1e-3'), (0.05, '5e-2'), (2.5e-4, '2.5e-4'), (0.1, '1e-1')],
)
def test_metric_names(far, name):
  assert verification.tar_name(far) == f'tar@far={name}'


def test_matrix_scores_are_those_of_a_matcher():
  generator = np.random.default_rng(5)
  labels = np.repeat([7, 3, 5], [3, 1, 2])
  matrix = generator.normal(size=(6, 6)).astype(np.float32)  # Not symmetric.
  scores = verification.matrix_scores(matrix, labels)
  pairs = list(itertools.combinations(range(6), 2))
  expected = {True: [], False: []}
  for i, j in pairs:
    expected[labels[i] == labels[j]].append(matrix[i, j])
  np.testing.assert_array_equal(
    np.sort(scores.genuine), np.sort(expected[True])
  )
  np.testing.assert_array_equal(
    np.sort(scores.impostor), np.sort(expected[False])
  )
  matrix[0, 1] = np.nan
  with pytest.raises(ValueError, match='check the matcher'):
    verification.matrix_scores(matrix, labels)


def test_only_pairs_across_sessions():
  generator = np.random.default_rng(6)
  embeddings = unit(generator.normal(size=(9, 4)))
  labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
  sessions = np.array([4, 4, 9, 4, 9, 9, 4, 4, 4])
  scores = verification.pair_scores(embeddings, labels, sessions=sessions)
  expected = {True: [], False: []}
  for i, j in itertools.combinations(range(9), 2):
    if sessions[i] != sessions[j]:
      expected[labels[i] == labels[j]].append(embeddings[i] @ embeddings[j])
  assert len(expected[True]) == 4
  assert scores.images.tolist() == [3, 3, 3]
  assert scores.within.tolist() == [[2, 1], [1, 2], [3, 0]]
  np.testing.assert_allclose(
    np.sort(scores.genuine), np.sort(expected[True]), rtol=1e-5
  )
  np.testing.assert_allclose(
    np.sort(scores.impostor), np.sort(expected[False]), rtol=1e-5
  )
  with pytest.raises(ValueError, match='No genuine pair'):
    verification.pair_scores(embeddings, labels, sessions=labels)
