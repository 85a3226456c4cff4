"""What a report says of trainings: how equal, why ended, what converged."""

import ml_collections
import pytest

from palmjax.recipes.robust import attack_report, training_report
from palmjax.recipes.shared import run_facts


def rows(arm, *parts):
  """Lines of (step, converged, diagonal), each a mean since the line before."""
  return [
    {'stage': arm, 'kind': 'train', 'step': step, 'loss': 1.0}
    | {'ot/converged': converged, 'ot/diagonal': diagonal}
    for step, converged, diagonal in parts
  ]


def test_plans_are_counted_by_updates_and_not_by_lines():
  """30 of 40 plans converged; the second line is of 30 updates."""
  lines = rows('ot', (10, 0.0, 0.25), (40, 1.0, 0.75))
  (part,) = training_report.plans(lines, ('plain', 'ot'))
  assert part.values == {
    'Optimal transport: converged': '75.0 %',
    'Optimal transport: mass that moves to the own copy': '62.5 %',
  }
  (warning,) = training_report.unconverged(lines, ('plain', 'ot'))
  assert 'only 75 % of the transport plans converged' in warning
  assert warning in part.text


def test_enough_converged_plans_are_no_warning():
  lines = rows('ot', (1, 0.0, 1.0), (10, 1.0, 1.0))
  assert training_report.unconverged(lines, ('ot',)) == []
  assert training_report.plans(lines, ('plain',)) == []


@pytest.mark.parametrize(
  'ended, words',
  [
    ({'plain': 'cap', 'ot': 'cap'}, 'Every arm made 300 updates from'),
    ({'plain': 'threshold', 'ot': 'cap'}, 'up to 300 updates, not all as many'),
  ],
)
def test_equal_updates_are_claimed_of_equal_updates_only(ended, words):
  assert words in training_report.equality(ended, 300, 4)
  part = run_facts.endings(ended)
  assert dict(part.values) == ended


def test_replayed_batches_are_fewer_images():
  ended = {'plain': 'cap', 'free': 'cap'}
  assert '1/4 of the images' in training_report.equality(ended, 300, 4)
  for arms, replays in ((ended, 1), ({'plain': 'cap'}, 4)):
    text = training_report.equality(arms, 300, replays)
    assert 'of the images' not in text


@pytest.mark.parametrize('threshold, shown', [(7.0, True), (0.0, False)])
def test_a_threshold_that_is_off_is_not_told(threshold, shown):
  config = ml_collections.ConfigDict({'stop': {'loss': threshold}})
  part = training_report.curves(rows('ot', (1, 1.0, 1.0)), ('ot',), config)
  assert ('is at most 7, or' in part.text) == shown


def test_a_cell_lists_the_attacks_that_most_images_took():
  counts = {
    'plain': {'1/255': dict(zip('abcde', (9, 5, 3, 2, 1), strict=True))}
  }
  counts['ot'] = {'1/255': {'a': 20}}
  table = attack_report.chosen(counts, ('plain', 'ot'), '')
  assert [row['1/255'] for row in table.rows.values()] == [
    'a: 9, b: 5, c: 3, others: 3',
    'a: 20',
  ]
