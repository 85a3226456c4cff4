"""Whose palms make a cohort, and how many are needed."""

import types

import numpy as np
import pytest

from palmjax.inference import cohort_study, palm_files
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
  assert cohort_study.palms_for(fmr) == palms
  assert fmr * palms * (palms - 1) / 2 >= 30
  assert fmr * (palms - 1) * (palms - 2) / 2 < 30


def test_a_palm_whose_embedding_is_not_finite_is_named_by_its_file():
  templates = drawn_palms.random_templates(np.random.default_rng(0), 60)
  templates.network[40:42] = np.nan
  judge = types.SimpleNamespace(templates=lambda palms: templates)
  with pytest.raises(ValueError, match=r'^p20/a\.png: its embedding has NaN'):
    cohort_study.study(judge, photos(['left', 'right']), dataset='')
