import numpy as np
import pytest
from scipy import stats

from palmjax.evals import bootstrap
from palmjax.evals.recognition import identification


def embeddings_with_ties(generator, count):
  """Unit vectors whose products are multiples of 1/2: many ties."""
  return generator.choice([-0.5, 0.5], size=(count, 4)).astype(np.float32)


def search_twin(probe, gallery, labels, identity):
  """(score, rank) of `own` and the best other score, template by template."""
  best = {}
  for template, label in zip(gallery, labels, strict=True):
    score = float(probe @ template)
    best[label] = max(score, best.get(label, -np.inf))
  mine = best.pop(identity, None)
  rank = None
  if mine is not None:
    rank = 1 + sum(score >= mine for score in best.values())
  return mine, rank, max(best.values())


def fnirs(searches, *fpirs):
  """FNIR at each FPIR, few as the searches may be."""
  equal = np.ones((1, searches.num_identities), int)
  return identification.fnirs(searches, equal, fpirs)[0].tolist()


def fnir_twin(mated, rank, nonmated, fpir):
  """Tries every threshold that makes a difference."""
  thresholds = [np.inf, *mated, *nonmated]
  return min(
    np.mean([s < t or r > 1 for s, r in zip(mated, rank, strict=True)])
    for t in thresholds
    if np.mean([s >= t for s in nonmated]) <= fpir
  )


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_search_matches_loops(seed):
  generator = np.random.default_rng(seed)
  gallery = embeddings_with_ties(generator, 9)
  templates = np.array([7, 3, 3, 9, 7, 3, 12, 20, 9])  # Several of some.
  probes = embeddings_with_ties(generator, 40)
  labels = generator.choice([3, 5, 7, 9, 12, 20, 21], 40)
  searches = identification.search(probes, labels, gallery, templates)

  _, numbers = np.unique(labels, return_inverse=True)
  mated, nonmated = [], []
  for probe, label, number in zip(probes, labels, numbers, strict=True):
    mine, rank, other = search_twin(probe, gallery, templates, label)
    if mine is None:
      nonmated.append((other, number))
    else:
      mated.append((mine, rank, number))
  mine, rank, owners = zip(*mated, strict=True)
  assert searches.mated.tolist() == list(mine)
  assert searches.rank.tolist() == list(rank)
  assert searches.mated_identity.tolist() == list(owners)
  pairs = zip(searches.nonmated, searches.nonmated_identity, strict=True)
  assert list(pairs) == nonmated
  assert (searches.num_identities, searches.gallery_identities) == (7, 5)

  rates = identification.rates(
    searches, ranks=range(1, 5), resampling=bootstrap.Resampling(draws=1)
  )
  for k in range(1, 5):
    assert rates[f'rank{k}']['value'] == np.mean([r <= k for r in rank])
  others = [score for score, _ in nonmated]
  fpirs = (0.05, 0.2, 0.4, 0.9)
  assert fnirs(searches, *fpirs) == pytest.approx(
    [fnir_twin(mine, rank, others, fpir) for fpir in fpirs], abs=1e-12
  )


def test_leave_one_out_matches_loops():
  generator = np.random.default_rng(3)
  labels = generator.permutation(np.repeat([4, 8, 2, 6, 1], [5, 1, 2, 3, 1]))
  embeddings = embeddings_with_ties(generator, 12)
  searches = identification.leave_one_out(embeddings, labels)
  mated, nonmated = [], []
  for i in np.argsort(labels, kind='stable'):
    rest = np.arange(12) != i
    mine, rank, _ = search_twin(
      embeddings[i], embeddings[rest], labels[rest], labels[i]
    )
    if mine is not None:
      mated.append((mine, rank))
    others = labels != labels[i]
    nonmated.append(float((embeddings[others] @ embeddings[i]).max()))
  assert list(zip(searches.mated, searches.rank, strict=True)) == mated
  assert searches.nonmated.tolist() == nonmated
  assert np.bincount(searches.mated_identity).tolist() == [0, 2, 5, 3]
  assert np.bincount(searches.nonmated_identity).tolist() == [1, 2, 5, 3, 1]


def test_blocks_of_probes_meet():
  generator = np.random.default_rng(4)
  x = generator.normal(size=(600, 8)).astype(np.float32)  # More than a block.
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  labels = np.arange(600) % 300
  searches = identification.leave_one_out(x, labels)
  order = np.argsort(labels, kind='stable')
  mates = np.arange(600).reshape(300, 2)[:, ::-1].ravel()
  np.testing.assert_allclose(
    searches.mated, (x[order] * x[order[mates]]).sum(1), atol=1e-6
  )


def test_a_constant_embedding_finds_nobody():
  same = np.ones((6, 1))
  searches = identification.leave_one_out(same, [0, 0, 1, 1, 2, 2])
  assert searches.rank.tolist() == [3] * 6
  assert fnirs(searches, 0.9) == [1.0]


def test_golden_rates_with_ties():
  searches = identification.Searches(
    mated=np.array([0.9, 0.8, 0.8, 0.7, 0.4]),
    rank=np.array([1, 1, 2, 1, 4]),
    mated_identity=np.arange(5),
    nonmated=np.array([0.8, 0.7, 0.6, 0.5] + [0.1] * 6),
    nonmated_identity=np.arange(10),
    num_identities=10,
    gallery_identities=7,
  )
  rates = identification.rates(
    searches, ranks=range(1, 5), resampling=bootstrap.Resampling(draws=1)
  )
  ranks = [rates[f'rank{k}']['value'] for k in range(1, 5)]
  assert ranks == [0.6, 0.8, 0.8, 1.0]
  # Above 0.8 only 0.9 is found; at 0.8 one of ten others is, too. However low
  # the threshold: two are not first.
  assert fnirs(searches, 0.05, 0.1, 0.95) == pytest.approx([0.8, 0.6, 0.4])

  many = searches._replace(
    nonmated=np.repeat(searches.nonmated, 30),
    nonmated_identity=np.repeat(np.arange(10), 30),
  )
  fpir, fnir = identification.det_points(many)
  assert fpir.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 1.0])
  assert fnir.tolist() == pytest.approx([0.6, 0.4, 0.4, 0.4, 0.4])


def test_bootstrap_matches_copied_searches():
  generator = np.random.default_rng(5)
  labels = np.repeat(np.arange(12), 6)
  signs = generator.choice([-0.25, 0.25], size=(12, 16))[labels]
  flips = generator.random((72, 16)) < 0.25
  searches = identification.leave_one_out(
    np.where(flips, -signs, signs), labels
  )
  weights = np.random.Generator(np.random.PCG64(8)).multinomial(
    12, np.full(12, 1 / 12), size=40
  )
  twins = []
  for w in weights:
    times = w[searches.mated_identity]
    mated, rank = (np.repeat(x, times) for x in (searches.mated, searches.rank))
    nonmated = np.repeat(searches.nonmated, w[searches.nonmated_identity])
    twins.append([np.mean(rank <= 3), fnir_twin(mated, rank, nonmated, 0.5)])
  tail = stats.norm.cdf(-stats.t.ppf(0.8, 11) * np.sqrt(12 / 11))
  low, high = np.quantile(
    twins, [tail, 1 - tail], axis=0, method='inverted_cdf'
  )
  rates = identification.rates(
    searches,
    ranks=(3,),
    fpirs=(0.5,),
    resampling=bootstrap.Resampling(draws=40, seed=8, confidence=0.6),
  )
  for k, rate in enumerate((rates['rank3'], rates['fnir@fpir=5e-1'])):
    assert rate['low'] == pytest.approx(min(low[k], rate['value']), abs=1e-12)
    assert rate['high'] == pytest.approx(max(high[k], rate['value']), abs=1e-12)
    assert rate['low'] < rate['high']


def test_what_the_searches_cannot_support():
  labels = np.repeat(np.arange(8), 2)
  searches = identification.leave_one_out(np.eye(8)[labels], labels)
  rates = identification.rates(
    searches,
    ranks=(1, 7, 8),
    fpirs=(0.9, 1e-2),
    resampling=bootstrap.Resampling(draws=20),
  )
  assert list(rates) == [
    'rank1',
    'rank7',
    'rank8',
    'fnir@fpir=9e-1',
    'fnir@fpir=1e-2',
  ]
  bound = 1 - 0.05 ** (1 / 8)  # No error in 8 identities.
  assert rates['rank1'] == pytest.approx(
    {'value': 1.0, 'low': 1 - bound, 'high': 1.0}
  )
  # 0.9 · 16 searches are fewer than 30.
  for name, reason in (
    ('rank8', 'not measurable with 8 identities'),
    ('fnir@fpir=9e-1', 'not measurable with 16 non-mated searches'),
    ('fnir@fpir=1e-2', 'not measurable with 16 non-mated searches'),
  ):
    assert rates[name] == {'value': None, 'reason': reason}

  closed = identification.search(np.eye(3), [0, 1, 2], np.eye(3), [0, 1, 2])
  assert len(closed.nonmated) == 0
  rates = identification.rates(
    closed, ranks=(1,), fpirs=(0.5,), resampling=bootstrap.Resampling(draws=9)
  )
  assert rates['rank1'] == {'value': 1.0, 'low': 0.0, 'high': 1.0}
  assert rates['fnir@fpir=5e-1']['value'] is None


def test_interval_covers_the_true_rate():
  """Nominal 95 %: half of the variance is that of the searched identity."""
  true = stats.norm.cdf(stats.norm.ppf(0.8) - 2.0)
  generator = np.random.default_rng(6)
  trials, covered = 150, 0
  for trial in range(trials):
    effects = np.sqrt(0.5) * generator.normal(size=(2, 40, 1))
    rest = np.sqrt(0.5) * generator.normal(size=(2, 40, 5))
    mated, nonmated = (effects + rest).reshape(2, -1)
    searches = identification.Searches(
      mated=2.0 + mated,
      rank=np.ones(200, int),
      mated_identity=np.repeat(np.arange(40), 5),
      nonmated=nonmated,
      nonmated_identity=np.repeat(np.arange(40), 5),
      num_identities=40,
      gallery_identities=50,
    )
    rate = identification.rates(
      searches,
      ranks=(),
      fpirs=(0.2,),
      resampling=bootstrap.Resampling(draws=200, seed=trial),
    )['fnir@fpir=2e-1']
    covered += rate['low'] <= true <= rate['high']
  assert 0.90 * trials <= covered <= 0.98 * trials, covered


@pytest.mark.parametrize(
  'labels, gallery_labels, message',
  [([0, 1], [2, 3], 'No mated search'), ([0, 1], [0, 0], 'two identities')],
)
def test_bad_gallery(labels, gallery_labels, message):
  with pytest.raises(ValueError, match=message):
    identification.search(np.eye(2), labels, np.eye(2), gallery_labels)


def test_bad_leave_one_out():
  with pytest.raises(ValueError, match='No mated search'):
    identification.leave_one_out(np.eye(3), [0, 1, 2])
  with pytest.raises(ValueError, match='two identities'):
    identification.leave_one_out(np.eye(3), [0, 0, 0])


@pytest.mark.parametrize(
  'ranks, fpirs, message', [((0,), (0.5,), 'rank'), ((1,), (1.0,), 'between')]
)
def test_bad_rates(ranks, fpirs, message):
  searches = identification.leave_one_out(np.eye(2)[[0, 0, 1]], [0, 0, 1])
  with pytest.raises(ValueError, match=message):
    identification.rates(searches, ranks=ranks, fpirs=fpirs)
