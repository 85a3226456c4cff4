"""Whose palms make a cohort, and how many are needed."""

import types

import numpy as np
import pytest

from palmjax.inference import cohort, cohort_study, matcher, palm_files, parts
from tests.inference import drawn_palms


def photos(sides):
  """One photo of each side of 30 people; nothing is compared with them."""
  image = np.zeros((8, 8, 3), np.uint8)
  return {
    f'p{i:02}/{name}.png': palm_files.Palm(
      image, types.SimpleNamespace(side=side)
    )
    for i in range(30)
    for name, side in zip('ab', sides, strict=True)
  }


class Reached(Exception):  # noqa: N818
  """The palms would be compared now."""


class Judge:
  def templates(self, palms):
    raise Reached


def test_left_and_right_hands_of_a_person_are_two_palms():
  with pytest.raises(ValueError, match='no palm has two images'):
    cohort_study.study(
      Judge(), photos(['left', 'right']), dataset='', known=True
    )
  with pytest.raises(Reached):
    cohort_study.study(
      Judge(), photos(['left', 'left']), dataset='', known=True
    )


def test_palms_are_counted_and_not_images():
  some = dict(list(photos(['left', 'left']).items())[:-2])
  with pytest.raises(ValueError, match='29 palms: a cohort needs 30 or more'):
    cohort_study.study(Judge(), some, dataset='', known=True)


@pytest.mark.parametrize('fmr, palms', [(1e-2, 78), (1e-3, 246), (1e-4, 776)])
def test_palms_that_measure_a_rate(fmr, palms):
  assert cohort_study.palms_to_measure(fmr) == palms
  assert fmr * palms * (palms - 1) / 2 >= 30
  assert fmr * (palms - 1) * (palms - 2) / 2 < 30


def test_a_palm_whose_embedding_is_not_finite_is_named_by_its_file():
  templates = drawn_palms.random_templates(np.random.default_rng(0), 60)
  templates.network[40:42] = np.nan
  judge = types.SimpleNamespace(templates=lambda palms: templates)
  with pytest.raises(ValueError, match=r'^p20/a\.png: its embedding has NaN'):
    cohort_study.study(judge, photos(['left', 'right']), dataset='')


@pytest.fixture
def known(monkeypatch):
  """(study, its summary, templates) of 40 palms, two images of each."""
  drawn_palms.compare_cheaply(monkeypatch)
  rng = np.random.default_rng(100)
  once = drawn_palms.random_templates(rng, 40)
  again = drawn_palms.random_templates(rng, 40)
  # Second images, from nearly the first ones to nearly others.
  share = np.linspace(0.2, 0.9, 40)
  mixed = [
    ((1 - share) * a.T + share * b.T).T
    for a, b in zip(once, again, strict=True)
  ]
  images = [
    np.stack([a, b], axis=1).reshape(80, *a.shape[1:]).astype(a.dtype)
    for a, b in zip(once, mixed, strict=True)
  ]
  templates = parts.Templates(*images)
  judge = types.SimpleNamespace(templates=lambda palms: templates, image_size=8)
  network = types.SimpleNamespace(
    image_size=8,
    calibration=matcher.Calibration(
      comparison='cosine',
      dataset='numbers',
      impostor_pairs=9,
      thresholds=((1e-1, 0.3), (1e-2, 0.6), (1e-6, 0.9)),
    ),
  )
  image = np.zeros((8, 8, 3), np.uint8)
  study = cohort_study.study(
    judge,
    {
      f'p{i:02}/{k}.png': palm_files.Palm(image)
      for i in range(40)
      for k in 'ab'
    },
    dataset='numbers',
    known=True,
    network=network,
  )
  return study, cohort_study.summary(study), templates


def test_known_palms_measure_fnmr(known):
  study, summary, templates = known
  assert (summary['palms'], summary['pairs']) == (40, 780)
  assert (summary['genuine_palms'], summary['genuine_pairs']) == (40, 40)
  # The first image of each palm is the cohort.
  only = cohort.fit(templates.take(slice(0, 80, 2)), dataset='numbers')
  assert study.cohort.thresholds == only.thresholds
  missed = []
  for row in summary['rates']:
    below = sum(score < row['threshold'] for score in study.genuine.fused)
    assert row['fnmr']['missed'] == below
    assert row['fnmr']['value'] == below / 40
    assert row['fnmr']['low'] <= below / 40 <= row['fnmr']['high']
    missed.append(below)
  assert 0 < missed[0] < missed[-1] < 40


def test_the_network_s_own_thresholds_are_measured(known):
  _, summary, templates = known
  assert summary['network_set_on'] == '9 impostor pairs: numbers'
  # Of 1e-6 the cohort knows nothing.
  assert [row['fmr'] for row in summary['network']] == [1e-1, 1e-2]
  embeddings = templates.network
  for row, threshold in zip(summary['network'], (0.3, 0.6), strict=True):
    passed = sum(
      embeddings[2 * i] @ embeddings[2 * j] >= threshold
      for i in range(40)
      for j in range(i)
    )
    below = sum(
      embeddings[2 * i] @ embeddings[2 * i + 1] < threshold for i in range(40)
    )
    assert row['threshold'] == threshold
    assert 0 < passed < 780
    assert row['fmr_found'] == passed / 780
    assert row['fnmr']['missed'] == below
