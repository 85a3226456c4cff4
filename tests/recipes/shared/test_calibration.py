"""Thresholds that a run writes beside a network, and decisions by them."""

import shutil

import numpy as np
import pytest

from palmjax.evals.recognition import error_rates
from palmjax.inference import decision, matcher, uncalibrated, verifier
from palmjax.networks import palm as palm_networks
from palmjax.networks import weights_file
from palmjax.recipes.shared import calibration, controls, strangers
from tests import untrained_network
from tests.inference import drawn_palms

PALMS = 40


def _strangers(images, *, drawn):
  return strangers.Strangers(
    read=lambda size: images,
    palms=len(images),
    dataset='drawn palms, none trained on'
    if drawn
    else 'palms of the folder p',
    drawn=drawn,
    tested=False,
  )


@pytest.fixture(scope='module')
def images():
  return drawn_palms.draw(5, 0.3)[:PALMS]


@pytest.fixture(scope='module')
def exports(images, tmp_path_factory):
  """Folders of one network, calibrated on palms of both kinds."""
  root = tmp_path_factory.mktemp('exports')
  untrained_network.save(root / 'bare')
  # A network that is loaded anew would be compiled anew.
  network = palm_networks.load(root / 'bare')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(palm_networks, 'of_export', lambda exported, path: network)
    for name in ('drawn', 'folder'):
      shutil.copytree(root / 'bare', root / name)
      calibration.write(root / name, _strangers(images, drawn=name == 'drawn'))
    yield root


def test_thresholds_of_the_network_are_of_pairs_of_strangers(exports, images):
  judge = verifier.load(exports / 'drawn', score='network')
  pairs = np.triu_indices(PALMS, 1)
  scores = judge.scores(images, images)[pairs]
  point = error_rates.threshold_at_fmr(scores, 0.1).threshold
  # The careful end of it.
  assert point < judge.threshold(0.1) < point + scores.std()
  assert judge.set_on() == (
    '780 impostor pairs: 40 drawn palms, none trained on, below 1e-1 '
    'extrapolated'
  )
  assert [fmr for fmr, _ in judge.calibration.thresholds] == [1e-1, 1e-2, 1e-3]
  with pytest.raises(ValueError, match='1e-3'):
    judge.threshold(1e-4)


@pytest.mark.parametrize('turns', [False, True])
@pytest.mark.parametrize('score', ['network', 'correlation'])
def test_each_score_has_thresholds(exports, turns, score):
  judge = verifier.load(exports / 'folder', turns=turns, score=score)
  rates, thresholds = zip(*judge.calibration.thresholds, strict=True)
  assert list(thresholds) == sorted(thresholds)
  assert list(rates) == sorted(rates, reverse=True)
  assert 'palms of the folder p' in judge.set_on()
  # A palm and itself score 1.
  assert score != 'network' or max(thresholds) <= 1.0


def test_the_standard_is_that_of_the_pairs(exports, images):
  name = matcher.comparison(correlation=True)
  standard = matcher.load(exports / 'drawn', name).standard
  small = decision.squares(images, size=untrained_network.IMAGE_SIZE)
  alone = controls.correlate(small)[np.triu_indices(PALMS, 1)]
  assert standard.mean[1] == pytest.approx(alone.mean(), abs=1e-6)
  assert standard.std[1] == pytest.approx(alone.std(), abs=1e-6)


def test_drawn_palms_make_no_cohort(exports, images):
  judge = verifier.load(exports / 'drawn')
  assert judge.cohort is None
  answer = judge.compare(images[0], images[1])
  assert not answer.calibrated
  assert answer.set_on == uncalibrated.SET_ON


def test_palms_of_a_folder_make_a_cohort_that_is_taken(exports, images):
  judge = verifier.load(exports / 'folder')
  answer = judge.compare(images[0], images[1], fmr=1e-2)
  assert answer.calibrated
  assert answer.decision == 'different'
  assert answer.set_on == (
    '780 pairs of 40 palms, extrapolated: palms of the folder p'
  )
  assert judge.compare(images[0], images[0], fmr=1e-2).decision == 'same'
  # By the same palms by hand.
  bare = verifier.load(exports / 'bare').with_cohort(images)
  assert bare.cohort.thresholds == judge.cohort.thresholds
  np.testing.assert_array_equal(
    bare.scores(images[:3], images[:3]), judge.scores(images[:3], images[:3])
  )


def test_the_cohort_of_a_run_holds_no_templates(exports):
  path = exports / 'folder' / 'cohort.npz'
  arrays = weights_file.unpack(path.read_bytes(), 'cohort')
  assert all(len(part) == 0 for part in arrays['templates'].values())
  assert b'holds no template' in arrays['about'].tobytes()
  assert path.stat().st_size < 50_000


def test_a_score_with_turns_takes_no_cohort_without(exports):
  assert verifier.load(exports / 'folder', turns=True).cohort is None


def test_a_cohort_of_the_user_counts_instead(exports, images, tmp_path):
  mine = verifier.load(exports / 'bare').with_cohort(
    images[:30], dataset='mine'
  )
  mine.save_cohort(tmp_path / 'own.npz')
  judge = verifier.load(exports / 'folder').load_cohort(tmp_path / 'own.npz')
  assert judge.set_on(1e-2).endswith('mine')


def test_equal_palms_give_equal_bytes(exports, images, tmp_path):
  shutil.copytree(exports / 'bare', tmp_path / 'again')
  calibration.write(tmp_path / 'again', _strangers(images, drawn=False))
  for name in ('calibration.json', 'cohort.npz'):
    assert (tmp_path / 'again' / name).read_bytes() == (
      exports / 'folder' / name
    ).read_bytes()


@pytest.mark.parametrize('drawn', [True, False])
def test_few_palms_leave_a_network_without(
  exports, images, tmp_path, caplog, drawn
):
  shutil.copytree(exports / 'bare', tmp_path / 'few')
  calibration.write(tmp_path / 'few', _strangers(images[:29], drawn=drawn))
  assert '29 palms; 30 or more are needed' in caplog.text
  assert not (tmp_path / 'few' / 'calibration.json').exists()
  assert verifier.load(tmp_path / 'few').cohort is None


def test_one_palm_twice_counts_once(exports, images, tmp_path, caplog):
  shutil.copytree(exports / 'bare', tmp_path / 'twins')
  twice = _strangers(np.concatenate([images, images[:1]]), drawn=False)
  calibration.write(tmp_path / 'twins', twice)
  assert '0 look like no other palm and 1 like another one' in caplog.text
  assert 'and with them 40 of 820 pairs' in caplog.text
  fitted = verifier.load(tmp_path / 'twins').cohort
  assert fitted.palms == PALMS
  assert fitted.dataset == (
    'palms of the folder p, less 1 that look like no palm or like another one'
  )
  whole = verifier.load(exports / 'folder').cohort
  assert fitted.thresholds == whole.thresholds
