"""Decisions by the fused score, on drawn palms and the shipped network."""

import dataclasses
import shutil
import types

import numpy as np
import pytest
from scipy import ndimage

from palmjax.inference import (
  cohort,
  finder,
  palm_files,
  parts,
  uncalibrated,
  verifier,
)
from palmjax.networks import shipped
from tests.inference import drawn_palms

FEW = 6


@pytest.fixture(scope='module')
def plain():
  """Without a cohort and without turns, to be quick."""
  return verifier.load(turns=False)


@pytest.fixture(scope='module')
def members():
  """Palms of a cohort, less those that are compared."""
  return list(drawn_palms.draw(2, 0.4)[FEW:50])


@pytest.fixture(scope='module')
def calibrated(plain, members):
  return plain.with_cohort(members, dataset='drawn palms')


@pytest.fixture(scope='module')
def palms():
  """Two images each of palms that are not in the cohort."""
  return [list(drawn_palms.draw(2, 0.4, sample=k)[:FEW]) for k in (0, 1)]


@pytest.fixture(params=['plain', 'calibrated'])
def judge(request):
  """With a cohort and without."""
  return request.getfixturevalue(request.param)


def test_scores_are_those_of_the_parts(calibrated, members, palms):
  of_members = parts.templates(calibrated.network.embed, np.stack(members))
  first, others = (
    parts.templates(calibrated.network.embed, np.stack(side)) for side in palms
  )
  want = parts.fuse(
    parts.compare(first, others, parts.means(of_members)),
    calibrated.cohort.standard,
  )
  scores = calibrated.scores(*palms)
  assert scores.dtype == np.float32
  np.testing.assert_allclose(scores, want, rtol=1e-4, atol=1e-3)
  assert calibrated.comparison == 'fused: fine, wide, network'


def test_without_a_cohort_the_network_stays_out(plain, palms):
  first, others = (
    parts.templates(lambda x: np.ones((len(x), 1), 'f4'), np.stack(side))
    for side in palms
  )
  raw = parts.compare(first, others, parts.no_means(1))
  want = parts.fuse(raw[:2], uncalibrated.STANDARD)
  np.testing.assert_allclose(plain.scores(*palms), want, rtol=1e-4, atol=1e-3)
  for rate, threshold in uncalibrated.THRESHOLDS:
    assert plain.threshold(rate) == threshold
  answer = plain.compare(palms[0][0], palms[1][1])
  assert (answer.calibrated, answer.set_on) == (False, uncalibrated.SET_ON)
  assert plain.comparison == 'fused: fine, wide'


def test_decisions(judge, palms):
  scores = judge.scores(*palms)
  threshold = judge.threshold(1e-2)
  strangers = ~np.eye(FEW, dtype=bool)
  assert (scores[strangers] < threshold).all()
  assert (np.diag(scores) >= threshold).mean() >= 0.8
  answer = judge.compare(palms[0][0], palms[1][0], fmr=1e-2)
  # Fused scores of a pair are those of the pair in a larger matrix.
  assert answer.score == pytest.approx(scores[0, 0], rel=1e-4, abs=1e-3)
  assert answer.threshold == threshold
  assert (answer.measure, answer.fmr, answer.same_side) == ('score', 1e-2, None)
  assert answer.decision == (
    'same' if scores[0, 0] >= threshold else 'different'
  )
  assert answer.calibrated == (judge.cohort is not None)


def test_a_palm_and_itself_score_highest(judge, palms):
  everything = [*palms[0], *palms[1]]
  scores = judge.scores(everything, everything)
  diagonal = np.diag(scores)
  np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-4)
  assert diagonal.min() >= scores.max() - 1e-2
  assert judge.compare(everything[0], everything[0]).decision == 'same'


def test_probe_and_gallery_exchanged(judge, palms):
  there, back = judge.scores(*palms), judge.scores(*palms[::-1]).T
  np.testing.assert_allclose(there, back, atol=1e-4)
  a, b = palms[0][0], palms[1][1]
  assert judge.compare(a, b).decision == judge.compare(b, a).decision
  assert judge.compare(a, b).score == pytest.approx(
    judge.compare(b, a).score, abs=1e-4
  )


@pytest.mark.parametrize(
  'angle, down, right', [(6, 4, -4), (-7, -4, 3), (5, 0, 4), (-4, 3, 0)]
)
def test_a_moved_and_turned_palm_is_the_winner(
  judge, members, palms, angle, down, right
):
  """Squares of 48 of 64 px: 4 px are nearly the three cells of the search."""
  everything = np.stack([*palms[0], *members])

  def cut(images, y=0, x=0):
    return images[:, 8 + y : 56 + y, 8 + x : 56 + x]

  turned = ndimage.rotate(
    everything[: 2 * FEW], angle, axes=(1, 2), reshape=False, order=1
  )
  scores = judge.scores(cut(turned, down, right), cut(everything))
  np.testing.assert_array_equal(scores.argmax(1), np.arange(2 * FEW))


def test_mirrored_palms_are_other_palms(judge, palms):
  mirrored = [image[:, ::-1] for image in palms[1]]
  scores = judge.scores(palms[0], mirrored)
  assert (np.diag(scores) < judge.threshold(1e-3)).all()


@pytest.mark.parametrize('gain, offset', [(0.7, 0), (0.8, 40)])
def test_light_changes_no_decision(judge, palms, gain, offset):
  changed = [
    np.clip(gain * image + offset, 0, 255).astype(np.uint8)
    for image in palms[1]
  ]
  threshold = judge.threshold(1e-2)
  same, other = judge.scores(*palms), judge.scores(palms[0], changed)
  away = np.abs(same - threshold) > 0.5
  np.testing.assert_array_equal(
    (same >= threshold)[away], (other >= threshold)[away]
  )


def hand(side):
  """A hand of a side."""
  across = {'left': 1, 'right': -1}[side]
  points = np.array([[-0.5 * across, 0], [0.5 * across, 0], [0, 2.2]])
  drawn = finder.Hand(np.zeros(4), 'five', 0.9, points, 0.8)
  assert drawn.side == side
  return drawn


def test_sides_are_two_palms_whatever_the_score(judge, palms):
  left, again, right = (
    palm_files.Palm(palms[0][0], hand(side))
    for side in ('left', 'left', 'right')
  )
  same = judge.compare(left, again)
  assert (same.decision, same.same_side) == ('same', True)
  different = judge.compare(left, right)
  assert (different.decision, different.same_side) == ('different', False)
  assert different.score == same.score >= different.threshold
  # A side that is not known refuses nothing.
  assert judge.compare(left, palms[0][0]).same_side is None


def test_rates_without_a_threshold(plain, calibrated, palms):
  with pytest.raises(ValueError, match='without a cohort of palms there are'):
    plain.compare(palms[0][0], palms[1][0], fmr=1e-6)
  with pytest.raises(ValueError, match=r'44 palms supports those .*=1e-3$'):
    calibrated.compare(palms[0][0], palms[1][0], fmr=1e-6)


def test_small_images_and_none(judge, palms):
  small = [image[::2, ::2] for image in palms[0][:2]]
  assert small[0].shape == (32, 32, 3)
  scores = judge.scores(small, palms[0][:2])
  assert np.isfinite(scores).all()
  with pytest.raises(ValueError, match='no palm to compare'):
    judge.scores([], palms[0])
  with pytest.raises(ValueError, match='no palm to compare'):
    judge.scores(palms[0], [])


def test_images_that_are_no_cohort(plain, members, palms):
  with pytest.raises(ValueError, match='29 palms: a cohort needs 30'):
    plain.with_cohort(members[:29])
  # The first images are of the same palms as the last ones.
  with pytest.raises(ValueError, match=r'^images 0 and 40 look like one palm'):
    plain.with_cohort([palms[0][0], *members[:39], palms[1][0]])
  grey = np.full((64, 64, 3), 128, np.uint8)
  with pytest.raises(ValueError, match=r'^images 30: unlike the other palms'):
    plain.with_cohort([*members[:30], grey, *members[30:]])
  with pytest.raises(ValueError, match='look like images of one palm'):
    plain.with_cohort([members[0]] * 30)


def test_embeddings_that_are_not_finite_are_told(
  plain, calibrated, members, palms
):
  def embed(images):
    embeddings = np.array(plain.network.embed(images))
    embeddings[1] = np.nan
    return embeddings

  broken = types.SimpleNamespace(
    embed=embed,
    preprocess=plain.network.preprocess,
    digests=plain.network.digests,
  )
  bare, camera = (
    dataclasses.replace(judge, network=broken) for judge in (plain, calibrated)
  )
  some = palms[0]
  for use, name, count in (
    (lambda: bare.with_cohort(members), r'images\[1\]', 44),
    (lambda: bare.enrol(some), r'images\[1\]', FEW),
    (lambda: bare.enrol({'a': some[0], 'b': some[1]}), 'b', 2),
    (lambda: camera.scores(some, some), r'images\[1\]', FEW),
  ):
    with pytest.raises(
      ValueError,
      match=f'^{name}: its embedding has NaN or infinity, as those of 1 of '
      f'{count} images: the network is damaged',
    ) as caught:
      use()
    assert '\n' not in str(caught.value)
  # Without a cohort the network takes no part.
  assert np.isfinite(bare.scores(some, some)).all()


def test_cohorts_are_of_the_fused_score(members, tmp_path):
  network = verifier.load(turns=False, score='network')
  for use in (
    lambda: network.with_cohort(members),
    lambda: network.load_cohort(tmp_path),
  ):
    with pytest.raises(
      ValueError, match="of the fused score, not of 'network'"
    ):
      use()


def test_saved_cohorts(plain, calibrated, palms, tmp_path):
  path = tmp_path / 'cohort.npz'
  calibrated.save_cohort(path)
  again = plain.load_cohort(path)
  np.testing.assert_array_equal(again.scores(*palms), calibrated.scores(*palms))
  assert again.threshold(1e-2) == calibrated.threshold(1e-2)
  assert again.set_on(1e-2) == calibrated.set_on(1e-2)
  with pytest.raises(ValueError, match='was made with other turns: make it'):
    verifier.load(turns=True).load_cohort(path)


def test_scores_by_name(plain, palms, tmp_path):
  assert plain.score == 'fused'
  with pytest.raises(
    ValueError, match="score='code': choose one of fused, net"
  ):
    verifier.load(score='code')
  network = verifier.load(turns=False, score='network')
  embeddings = [network.embed(side) for side in palms]
  np.testing.assert_allclose(
    network.scores(*palms), embeddings[0] @ embeddings[1].T, atol=1e-5
  )
  assert 'impostor pairs: ' in network.set_on(1e-3)
  # An old export decides, though nothing is known of its thresholds.
  old = tmp_path / 'old'
  shutil.copytree(shipped.PALM, old)
  (old / 'calibration.json').unlink()
  answer = verifier.load(old, turns=False).compare(palms[0][0], palms[0][0])
  assert (answer.decision, answer.calibrated) == ('same', False)
  assert answer.threshold == uncalibrated.threshold(1e-3)
  with pytest.raises(ValueError, match=r'calibration\.json is missing'):
    verifier.load(old, turns=False, score='network').threshold()


def test_the_least_cohort(plain, members):
  fitted = plain.with_cohort(members[: cohort.LEAST])
  assert fitted.cohort.palms == 30
  assert (
    fitted.set_on(1e-1) == '435 pairs of 30 palms: palms of the camera in use'
  )
  # The first verifier is as it was.
  assert plain.cohort is None
