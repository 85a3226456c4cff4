"""The verifier on other sets: FMR claimed, FMR found."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from palmjax.evals import bootstrap
from palmjax.evals.recognition import verification
from palmjax.inference import cohort, matcher, uncalibrated, verifier
from palmjax.recipes.metric import operating, other_sets
from palmjax.recipes.metric import protocols as metric_protocols
from palmjax.recipes.shared import strangers
from tests import untrained_network
from tests.inference import drawn_palms

RESAMPLING = bootstrap.Resampling(draws=50)


def test_no_person_is_in_cohort_and_test():
  labels = np.repeat(np.arange(120), 3)
  groups = labels // 2
  palms = operating.choose(labels, groups, seed=0)
  assert len(palms.cohort) == 60
  assert len(set(labels[palms.cohort])) == 60
  assert not {*groups[palms.cohort]} & {*groups[palms.tested]}
  assert len(palms.tested) == 60 * 3
  other = operating.choose(labels, groups, seed=1)
  assert set(other.cohort) != set(palms.cohort)


def test_large_sets_are_cut():
  labels = np.repeat(np.arange(1000), 4)
  palms = operating.choose(labels, labels, seed=0)
  assert len(palms.cohort) == 250
  assert len(palms.tested) == 2000
  # Whole identities.
  assert set(np.unique(labels[palms.tested], return_counts=True)[1]) == {4}


def test_few_palms_have_no_cohort():
  labels = np.repeat(np.arange(59), 2)
  palms = operating.choose(labels, labels, seed=0)
  assert len(palms.cohort) == 0
  assert len(palms.tested) == 2 * 59
  assert len(operating.choose(np.append(labels, 59), None, seed=0).cohort) == 30


@pytest.fixture(scope='module')
def judge(tmp_path_factory):
  directory = tmp_path_factory.mktemp('export')
  untrained_network.save(directory)
  return verifier.load(directory)


def _test(images, labels):
  return metric_protocols.Test(
    'd',
    *(images, labels, np.full(len(labels), -1), np.full(len(labels), '')),
    *(np.ones(1, int), np.zeros(1, int)),
    labels // 2,
    lambda indices, size: images[indices],
  )


def _looped(scores, labels, threshold):
  """(FMR, FNMR) at a threshold, pair by pair."""
  matched, missed = [], []
  for i in range(len(labels)):
    for j in range(i):
      passes = scores[i, j] >= threshold
      if labels[i] == labels[j]:
        missed.append(not passes)
      else:
        matched.append(passes)
  return sum(matched) / len(matched), sum(missed) / len(missed)


@pytest.mark.slow
def test_rates_are_those_of_the_verifier(judge):
  labels = np.repeat(np.arange(164), 2)
  images = drawn_palms.draw_all(100, labels, np.tile([0, 1], 164), 0.7)
  palms = operating.choose(labels, labels // 2, seed=0)
  # One of the cohort shows no palm, as `calibrate` would say.
  images[palms.cohort[5]] = 128
  measured = operating.measure(
    _test(images, labels), judge, seed=0, resampling=RESAMPLING
  )
  assert [*measured] == ['verifier, on d', 'verifier with a cohort, on d']
  assert len(palms.cohort) == 82
  assert measured['verifier with a cohort, on d']['cohort'] == {'value': 81}
  members = np.delete(palms.cohort, 5)
  tested, whose = images[palms.tested], labels[palms.tested]
  assert len(set(whose)) == 82
  camera = dataclasses.replace(
    judge, cohort=cohort.fit(judge.templates(images[members]), dataset='d')
  )
  for name, one in zip(measured, (judge, camera), strict=True):
    scores = one.scores(tested, tested)
    fmr, fnmr = _looped(scores, whose, one.threshold(1e-2))
    rate = measured[name]['fmr@claimed=1e-2']
    assert rate['value'] == fmr
    assert rate['low'] <= fmr < rate['high']
    assert measured[name]['fnmr@claimed=1e-2']['value'] == fnmr
    # 13,284 pairs are too few for it, by the rule of 30.
    rare = measured[name]['fmr@claimed=1e-3']
    assert rare == {
      'value': None,
      'reason': 'not measurable with 13284 pairs',
    }
    assert measured[name]['eer']['value'] < 0.2
  # Strangers do pass, or nothing was compared above.
  assert 0.002 < fmr < 0.03


@pytest.mark.slow
def test_palms_that_make_no_cohort_have_no_row_of_one(judge):
  labels = np.arange(64)
  images = np.array(drawn_palms.draw(6, 0.3))
  palms = operating.choose(labels, labels // 2, seed=0)
  # Of 32 palms 29 are left.
  images[palms.cohort[[3, 8, 21]]] = 128
  measured = operating.measure(
    _test(np.concatenate([images, images]), np.tile(labels, 2)),
    judge,
    seed=0,
    resampling=RESAMPLING,
  )
  assert measured['verifier, on d']['eer']['value'] is not None
  for rate in measured['verifier with a cohort, on d'].values():
    assert rate['value'] is None
    assert rate['reason'].startswith('29 palms: a cohort needs 30 or more')


@pytest.mark.slow
def test_sets_too_small_for_a_cohort_say_so(judge):
  images = np.concatenate([drawn_palms.draw(6, 0.3, n)[:20] for n in (0, 1)])
  measured = operating.measure(
    _test(images, np.tile(np.arange(20), 2)),
    judge,
    seed=0,
    resampling=RESAMPLING,
  )
  assert measured['verifier, on d']['fnmr@claimed=1e-2']['value'] is not None
  for rate in measured['verifier with a cohort, on d'].values():
    assert rate['value'] is None
    assert rate['reason'].startswith('fewer than 60 palms')


@pytest.mark.slow
def test_the_cohort_of_the_run_s_folder_is_not_used(judge):
  images = np.concatenate([drawn_palms.draw(6, 0.3, n)[:20] for n in (0, 1)])
  test = _test(images, np.tile(np.arange(20), 2))
  with_own = judge.with_cohort(drawn_palms.draw(6, 0.3)[20:60])
  options = {'seed': 0, 'resampling': RESAMPLING}
  assert operating.measure(test, with_own, **options) == operating.measure(
    test, judge, **options
  )
  assert judge.threshold(1e-2) == uncalibrated.threshold(1e-2)


def _others(palms, *, tested=False):
  return strangers.Strangers(
    read=None, palms=palms, dataset='palms of p', drawn=False, tested=tested
  )


def test_thresholds_of_the_network_are_those_of_the_export(tmp_path):
  untrained_network.save(tmp_path)
  labels = np.repeat(np.arange(40), 2)
  rng = np.random.default_rng(0)
  embeddings = rng.normal(size=(80, 16)).astype(np.float32)
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  scores = verification.pair_scores(embeddings, labels)
  test = _test(None, labels)
  compared = [
    metric_protocols.Compared(test, {'network, on d': scores}, {}, {})
  ]

  def rates(others):
    return operating.rates(
      [test],
      compared,
      None,
      tmp_path,
      others=others,
      seed=0,
      resampling=RESAMPLING,
    )['network, on d']

  few, tested = _others(11), _others(30, tested=True)
  reason = 'no threshold was set: 11 palms, 30 or more are needed'
  assert rates(few)['fmr@claimed=1e-2']['reason'] == reason
  # Too few, whether they are of the test or not.
  assert rates(_others(11, tested=True)) == rates(few)
  assert operating.set_on(tmp_path, few) == (
    f'For the network {reason} (palms of p).'
  )
  assert 'the log says why' in operating.set_on(tmp_path, tested)
  matcher.save(
    tmp_path,
    [
      matcher.Calibration(
        comparison='cosine',
        dataset='x',
        impostor_pairs=3000,
        thresholds=((1e-2, 0.5),),
      )
    ],
  )
  calibrated = rates(tested)  # Of another set it does not matter.
  assert calibrated['fmr@claimed=1e-2']['value'] == np.mean(
    scores.impostor >= 0.5
  )
  assert '1e-2' in calibrated['fmr@claimed=1e-3']['reason']
  words = 'Those of the network were set on palms of p.'
  assert operating.set_on(tmp_path, _others(30)) == words
  assert operating.set_on(tmp_path, tested).startswith(f'{words} These are')


def _folder(directory, identities, images=2):
  for k in range(identities):
    (directory / f'p{k}').mkdir(parents=True)
    for n in range(images):
      shade = np.full((70, 70, 3), 3 * k + n, np.uint8)
      Image.fromarray(shade).save(directory / f'p{k}' / f'{n}.png')
  return directory


def test_a_folder_is_a_set(tmp_path):
  directory = _folder(tmp_path / 'mine', 4)
  test = metric_protocols.other_set(str(directory), size=32)
  assert test.name == 'mine'
  assert test.suffix == ', on mine'
  assert test.images.shape == (8, 32, 32, 3)
  assert test.captured.tolist() == [2] * 4
  again = test.read(np.array([5, 0]), 64)
  assert again.shape == (2, 64, 64, 3)
  assert again[:, 0, 0, 0].tolist() == [7, 0]


def test_a_prepared_set_is_read_again_in_another_size(drawn_set):
  test = metric_protocols.other_set(drawn_set, size=32)
  again = test.read(np.array([3, 1]), 64)
  assert again.shape == (2, 64, 64, 3)
  assert np.abs(again[0, ::2, ::2].astype(int) - test.images[3]).mean() < 20


def test_what_is_no_set_is_told_in_one_line(tmp_path):
  with pytest.raises(ValueError, match=r'there is no folder .*nowhere; give'):
    other_sets.read(tmp_path / 'nowhere', size=32)
  with pytest.raises(ValueError, match='has two images, so no genuine pair'):
    metric_protocols.other_set(_folder(tmp_path / 'one', 3, 1), size=32)
