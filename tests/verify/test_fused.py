"""The usual score, with palms of the camera and without."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from palmjax.inference import uncalibrated, verifier

OF_CODES = 'fused: fine, wide'
CODES = 'score: codes of fine and of wide lines'
OF_ALL = 'fused: fine, wide, network'


@pytest.fixture(scope='session')
def calibrated(trained, pictures):
  """A verifier with a cohort of 40 pictures."""
  return verifier.load(trained).with_cohort(
    list(pictures(40, 1, (64, 64))), dataset='blurred noise'
  )


@pytest.fixture(scope='session')
def folder(calibrated, tmp_path_factory):
  """A folder with cohort.npz in it."""
  folder = tmp_path_factory.mktemp('cohort')
  calibrated.save_cohort(folder / 'cohort.npz')
  return folder


@pytest.fixture
def images(save):
  """A picture, the same one turned by a degree, and another one."""
  return (
    save('a.png'),
    save('b.png', change=lambda image: image.rotate(1)),
    save('c.png', seed=8),
  )


def parsed(result):
  """The answer of a run with --json."""
  code, output, errors = result
  assert (code, errors) == (0, '')
  return json.loads(output)


def test_without_a_cohort_the_threshold_is_careful(
  ask_plainly, images, trained
):
  one, again, other = images
  same = parsed(ask_plainly(one, again, '--json'))
  different = parsed(ask_plainly(one, other, '--json'))
  assert (same['decision'], different['decision']) == ('same', 'different')
  assert different['score'] < same['threshold'] <= same['score']
  assert same['threshold'] == uncalibrated.threshold(1e-3)
  assert same['set_on'] == uncalibrated.SET_ON
  assert same['calibrated'] is False
  assert same['comparison'] == OF_CODES
  code, text, _ = ask_plainly(one, other)
  assert code == 0
  assert text == (
    f'different palms: score {different["score"]:.4f}, threshold '
    f'{uncalibrated.threshold(1e-3):.4f}\n'
    f'set for an FMR of 1e-3 on {uncalibrated.SET_ON} ({CODES})\n'
    'not calibrated for this camera; see python -m palmjax.calibrate\n'
    f'the network of {trained} takes no part: it needs a cohort, by python -m '
    f'palmjax.calibrate DIR --export={trained}\n'
  )
  code, _, error = ask_plainly(one, other, '--fmr=1e-6')
  assert code == 1
  assert 'no threshold for an FMR of 1e-6' in error
  assert error.count('\n') == 1


def test_with_a_cohort(ask_plainly, images, folder, calibrated):
  one, again, other = images
  cohort_of_file = f'--cohort={folder}/cohort.npz'
  same = parsed(ask_plainly(one, again, '--json', cohort_of_file))
  different = parsed(ask_plainly(one, other, '--json', cohort_of_file))
  assert (same['decision'], different['decision']) == ('same', 'different')
  assert same['threshold'] == calibrated.threshold(1e-3)
  assert same['set_on'] == calibrated.set_on(1e-3)
  assert same['set_on'] == '780 pairs of 40 palms, extrapolated: blurred noise'
  assert same['calibrated'] is True
  assert same['comparison'] == OF_ALL
  # From Python.
  palms = [np.asarray(Image.open(path)) for path in (one, other)]
  comparison = calibrated.compare(*palms)
  assert comparison.decision == 'different'
  assert comparison.score == pytest.approx(different['score'], abs=1e-4)
  # The folder stands for the file.
  assert same == parsed(ask_plainly(one, again, '--json', f'--cohort={folder}'))
  _, text, _ = ask_plainly(one, other, f'--cohort={folder}')
  assert text == (
    f'different palms: score {different["score"]:.4f}, threshold '
    f'{different["threshold"]:.4f}\n'
    f'set for an FMR of 1e-3 on {same["set_on"]} ({CODES}, and the network)\n'
  )


def test_the_cohort_of_other_turns(ask_plainly, images, folder):
  code, output, error = ask_plainly(
    *images[:2], f'--cohort={folder}', '--turns'
  )
  assert (code, output) == (1, '')
  assert f'{folder}/cohort.npz was made with other turns: make it' in error
  assert error.count('\n') == 1


def test_cohorts_that_are_none(ask_plainly, images, tmp_path):
  for path in (tmp_path, tmp_path / 'none.npz'):
    code, output, error = ask_plainly(*images[:2], f'--cohort={path}')
    assert (code, output) == (1, '')
    assert 'is missing: make it by python -m palmjax.calibrate DIR' in error
    assert error.count('\n') == 1


@pytest.mark.parametrize('with_cohort', [False, True])
def test_galleries_rank_by_the_same_score(
  ask_plainly, images, folder, with_cohort
):
  probe = images[0]
  gallery = pathlib.Path(probe).parent
  options = ['--json', *([f'--cohort={folder}'] if with_cohort else [])]
  ranking = parsed(ask_plainly(probe, f'--gallery={gallery}', *options))
  names = [row['image'] for row in ranking['ranks']]
  assert names == ['a.png', 'b.png', 'c.png']
  decisions = [row['decision'] for row in ranking['ranks']]
  assert decisions == ['same', 'same', 'different']
  assert ranking['calibrated'] is with_cohort
  for row in ranking['ranks']:
    pair = parsed(ask_plainly(probe, gallery / row['image'], *options))
    assert row['score'] == pytest.approx(pair['score'], abs=1e-4)
    assert ranking['threshold'] == pair['threshold']


def test_text_of_a_gallery(ask_plainly, images, folder):
  gallery = pathlib.Path(images[0]).parent
  arguments = images[0], f'--gallery={gallery}'
  _, text, _ = ask_plainly(*arguments)
  assert 'not calibrated for this camera' in text
  _, text, _ = ask_plainly(*arguments, f'--cohort={folder}')
  assert 'not calibrated for this camera' not in text
  assert '780 pairs of 40 palms, extrapolated: blurred noise' in text


def test_rates_that_a_cohort_does_not_support(ask_plainly, images, folder):
  code, output, error = ask_plainly(
    *images[:2], f'--cohort={folder}', '--fmr=1e-5'
  )
  assert (code, output) == (1, '')
  assert 'no threshold for an FMR of 1e-5: a cohort of 40 palms' in error
  assert 'supports those for 1e-1, 1e-2, 1e-3; give --fmr=1e-3' in error
  assert ', or make the cohort of 347 palms or more\n' in error


def test_enrolled_palms_score_as_their_images(calibrated, trained, pictures):
  palms, others = (list(pictures(3, seed, (64, 64))) for seed in (5, 6))
  # A gallery is of no camera: whoever has a cohort searches in it, too.
  gallery = verifier.load(trained).enrol(palms)
  np.testing.assert_allclose(
    calibrated.scores(others, gallery),
    calibrated.scores(others, palms),
    atol=1e-4,
  )


def test_the_network_of_an_export_takes_part_or_is_said_not_to(
  ask_plainly, images, folder, trained
):
  message = parsed(ask_plainly(*images[:2], '--json'))['unused']
  assert message.startswith(f'the network of {trained} takes no part: it needs')
  for options in ([f'--cohort={folder}'], ['--score=network']):
    answer = parsed(ask_plainly(*images[:2], '--json', *options))
    assert 'unused' not in answer


def test_a_cohort_of_photos_is_for_photos(
  ask_plainly, images, calibrated, tmp_path
):
  made = calibrated.cohort
  for photos, options, message in (
    (True, [], 'of photos of whole hands: add --photos, or give another'),
    (
      False,
      ['--photos'],
      'palms alone: make one of photos by python -m',
    ),
  ):
    judge = dataclasses.replace(calibrated, cohort=made._replace(photos=photos))
    judge.save_cohort(tmp_path / 'cohort.npz')
    code, output, error = ask_plainly(
      *images[:2], f'--cohort={tmp_path}', *options
    )
    assert (code, output, error.count('\n')) == (1, '', 1)
    assert message in error
  assert parsed(ask_plainly(*images[:2], f'--cohort={tmp_path}', '--json'))


def test_a_verifier_is_a_line(calibrated, trained):
  assert repr(calibrated) == (
    "Verifier(score='fused', turns=False, cohort=<40 blurred noise>)"
  )
  assert repr(verifier.load(trained)).endswith('cohort=None)')
