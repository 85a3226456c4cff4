"""What a device says."""

import pytest

from palmjax.edge import rules
from palmjax.edge.device import capture, learning, tables, words

SETTINGS = capture.KeepingRules(enough=40)
INTERVAL = rules.FirstInterval(98.0, 98.2, 99.8)


def trial(outcome, samples=7):
  return tables.Trial(outcome=outcome, samples=samples, before=0.833, after=1.0)


@pytest.mark.parametrize(
  'added, count, line',
  [
    (
      *(1, 1),
      'Ann is enrolled with 1 image; give two or more, so that updates can be '
      'checked',
    ),
    (2, 2, 'Ann is enrolled with 2 images'),
    (1, 3, '1 image added; Ann has 3'),
    (2, 4, '2 images added; Ann has 4'),
  ],
)
def test_an_enrolment(added, count, line):
  assert words.enrolled('Ann', added, count) == line


def test_a_palm_of_somebody_else_names_the_way_back():
  assert words.alike('a.jpg', 'Ann Lee', 'Hal') == (
    "a.jpg is identified as Hal: if it does not show Ann Lee, run forget 'Ann "
    "Lee' and enrol again"
  )


def test_an_update_that_waits_says_for_what():
  assert words.not_due(8, SETTINGS, INTERVAL) == (
    'it is not time for an update: 8 of 40 samples; kept are palms with a '
    'score from 98.2 to 99.8; after 14 days fewer will do, and update --now '
    'does not wait'
  )


@pytest.mark.parametrize(
  'outcome, line',
  [
    (
      learning.TAKEN,
      'taken: the new student refuses 100.0 % of the held-out images, the old '
      'one 83.3 %; trained on 7 samples',
    ),
    (
      learning.REFUSED,
      'not taken: the new student refuses 100.0 % of the held-out images, the '
      'old one 83.3 %; trained on 7 samples',
    ),
    (
      learning.ROLLED_BACK,
      'rolled back: the student before refuses 100.0 % of the held-out images, '
      'the one after it 83.3 %',
    ),
  ],
)
def test_what_became_of_an_update(outcome, line):
  assert words.tried(trial(outcome)) == line


def test_one_is_no_plural():
  assert words.tried(trial(learning.TAKEN, 1)).endswith('trained on 1 sample')
  done = {'sent': 1, 'asked': 2, 'labels': 1, 'refused': 1, 'student': False}
  assert words.synced(done) == (
    '1 request sent, 2 samples to be labelled, 1 label fetched, 1 request '
    'refused by the server'
  )
