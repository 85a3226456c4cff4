"""What attacked detectors still find, as a table: the worst attack counts."""

import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.detection import robustness
from palmjax.recipes.robust import attack_report, measure, scores
from tests.recipes.robust import box_sets


def test_the_table_shows_the_worst_attack(test):
  """AP50 of a share of right boxes, by hand; radii that were not reached."""

  def arm(clean, **attacked):
    detections = {(0, 'clean', 0.0): box_sets.right(test, clean)}
    for level in range(1, 6):
      for name in ('noise', 'blur', 'jpeg', 'brightness', 'contrast'):
        detections[0, name, float(level)] = box_sets.right(test, clean)
    for key, share in attacked.items():
      name, radius = key.split('_')
      detections[0, name, float(radius)] = box_sets.right(test, share)
    return measure.Attacked(detections, {})

  table = scores.table(
    {
      'plain': arm(1.0, pgd_2=0.5, square_2=0.75, pgd_4=0.0),
      'ot': arm(1.0, pgd_2=1.0, square_2=0.75, pgd_4=0.5, square_4=0.875),
    },
    0,
    test,
    ('hand',),
    (2, 4, 8),
  )
  assert table.worst['plain'][2.0] == ('pgd', 2.0)
  assert table.worst['ot'][2.0] == ('square', 2.0)
  cells = scores.models({'': table}, (2, 4, 8), bootstrap.Resampling(draws=20))
  plain, ot = cells['plain'], cells['ot']
  assert plain['ap50']['value'] == ot['ap50@corruptions']['value'] == 1.0
  assert plain['ap50@4/255']['value'] == plain['ap50@8/255']['value'] == 0.0
  assert 0.25 < ot['ap50@4/255']['value'] < 0.75
  assert ot['ap50@8/255'] == ot['ap50@4/255']
  gain = ot['ap50@2/255 - plain']
  assert gain['value'] == pytest.approx(
    ot['ap50@2/255']['value'] - plain['ap50@2/255']['value']
  )
  named = scores.names_of_worst({'': table}, (2, 8))
  assert named['ot'] == {'2/255': 'square at 2/255', '8/255': 'pgd at 4/255'}


def test_masked_gradients_are_told(test):
  def arm(**attacked):
    return measure.Attacked(
      {
        (0, name, 2.0): box_sets.right(test, share)
        for name, share in attacked.items()
      },
      {},
    )

  one = {'pgd20-sum': 0.5, 'transfer from ot': 0.75}
  table = scores.table(
    {
      'plain': arm(**one, square=0.75),
      'ot': arm(**{**one, 'transfer from ot': 0.25}, square=0.25),
    },
    0,
    test,
    ('hand',),
    (2,),
  )
  assert scores.warnings(table, 'plain', (2,), 1000) == []
  messages = scores.warnings(table, 'ot', (2,), 1000)
  assert len(messages) == 2
  assert 'without gradients is stronger' in messages[0]
  # With so few queries it was not tested, and the report says so.
  assert scores.warnings(table, 'ot', (2,), 999) == messages[1:]
  for queries, words in ((999, 'not tested: it made 999'), (1000, '')):
    part = attack_report.masked_gradients([], queries)
    assert part.values[''] == 'none seen'
    assert part.values.get('Attack without gradients', '').startswith(words)
    assert ('Attack without gradients' in part.values) == bool(words)


def test_each_image_has_its_worst_attack(test):
  """Two attacks that each hide a half hide all; how often each was taken."""

  def objects_in(rows):
    return box_sets.objects_of(
      [
        test['boxes'][i, 0] if i in rows else np.float32([12, 12, 15, 15])
        for i in range(8)
      ],
      0.9,
    )

  detections = {(0, 'clean', 0.0): box_sets.right(test, 1.0)}
  for name in robustness.corruptions():
    # A corruption is no attack, however much it hides.
    detections[0, name, 1.0] = objects_in(())
  detections[0, 'a', 2.0] = objects_in(range(4))
  detections[0, 'b', 4.0] = objects_in(range(4, 8))
  table = scores.table(
    {'plain': measure.Attacked(detections, {})}, 0, test, ('hand',), (2, 4)
  )
  cells = scores.models({'': table}, (2, 4), bootstrap.Resampling(draws=20))
  plain = cells['plain']
  assert plain['ap50@2/255']['value'] == pytest.approx(0.5, abs=0.01)
  # Nothing is left here; of other images something may be.
  assert plain['ap50@4/255']['value'] == 0.0 < plain['ap50@4/255']['high']
  assert min(table.values['plain', x, r] for x, r in (('a', 2), ('b', 4))) > 0.2
  chosen = scores.chosen_attacks({'': table}, (2, 4, 8))['plain']
  assert chosen['4/255'] == {'b at 4/255': 4, 'a at 2/255': 4}
  assert chosen['8/255'] == chosen['4/255']
  assert sum(chosen['2/255'].values()) == 8
  assert chosen['2/255']['a at 2/255'] >= 4


def test_ratios_and_corruptions_have_intervals(test):
  def arm(share):
    detections = {(0, 'clean', 0.0): box_sets.right(test, 1.0)}
    detections[0, 'pgd', 2.0] = box_sets.right(test, share)
    for level, name in enumerate(robustness.corruptions()):
      detections[0, name, 1.0] = box_sets.right(test, 0.5 + level / 10)
    return measure.Attacked(detections, {})

  table = scores.table(
    {'plain': arm(0.5), 'ot': arm(0.75)}, 0, test, ('hand',), (2,)
  )
  cells = scores.models({'': table}, (2,), bootstrap.Resampling(draws=200))
  ratio = cells['ot']['ap50@2/255 / plain']
  assert ratio['low'] < ratio['value'] < ratio['high']
  assert ratio['value'] == pytest.approx(
    cells['ot']['ap50@2/255']['value'] / cells['plain']['ap50@2/255']['value']
  )
  assert 'ap50@2/255 / plain' not in cells['plain']
  corrupted = cells['ot']['ap50@corruptions']
  assert corrupted['low'] < corrupted['value'] < corrupted['high']
  assert corrupted['value'] == pytest.approx(
    np.mean([table.values['ot', k, 1.0] for k in robustness.corruptions()])
  )


def test_arms_are_compared_with_plain_and_adversarial_training(test):
  """Clean and under attack, and neither with itself."""

  def arm(clean, share):
    detections = {(0, 'clean', 0.0): box_sets.right(test, clean)}
    detections[0, 'pgd', 2.0] = box_sets.right(test, share)
    for name in robustness.corruptions():
      detections[0, name, 1.0] = box_sets.right(test, clean)
    return measure.Attacked(detections, {})

  shares = {'plain': (1.0, 0.25), 'ot': (0.75, 0.75), 'adversarial': (1.0, 0.5)}
  arms = {name: arm(*both) for name, both in shares.items()}
  table = scores.table(arms, 0, test, ('hand',), (2,))
  cells = scores.models({'': table}, (2,), bootstrap.Resampling(draws=20))
  for name in ('ap50', 'ap50@2/255'):
    for baseline in ('plain', 'adversarial'):
      gain = cells['ot'][f'{name} - {baseline}']
      assert gain['low'] <= gain['value'] <= gain['high']
      assert gain['value'] == pytest.approx(
        cells['ot'][name]['value'] - cells[baseline][name]['value']
      )
    assert f'{name} - plain' in cells['adversarial']
    assert f'{name} - adversarial' not in cells['adversarial']
  assert not any(' - ' in name for name in cells['plain'])


def test_a_test_without_boxes_is_passed_over(test):
  test['valid'][:] = False
  detections = {(0, 'clean', 0.0): box_sets.right(test, 1.0)}
  for name in robustness.corruptions():
    detections[0, name, 1.0] = box_sets.right(test, 0.5)
  arms = dict.fromkeys(('plain', 'ot'), measure.Attacked(detections, {}))
  table = scores.table(arms, 0, test, ('hand',), (2,))
  cells = scores.models({'': table}, (2,), bootstrap.Resampling(draws=20))
  assert {
    cells['ot'][name]['reason']
    for name in ('ap50', 'ap50@2/255', 'ap50@corruptions')
  } == {'not measurable with 0 boxes'}
  assert scores.warnings(table, 'ot', (2,), 1000) == []
  named = scores.names_of_worst({'': table}, (2,))
  assert named['ot'] == {'2/255': 'not measurable with 0 boxes'}
  assert scores.chosen_attacks({'': table}, (2,))['ot'] == {'2/255': {}}


def test_what_withstands_any_change_is_told(test):
  def warnings(share):
    detections = {(0, 'pgd20-sum', 2.0): box_sets.right(test, 0.5)}
    detections[0, 'apgd20-margin', 255.0] = box_sets.right(test, share)
    table = scores.table(
      {'ot': measure.Attacked(detections, {})}, 0, test, ('hand',), (2,)
    )
    # What may be any image is not composed: nobody would read it.
    assert max(table.composed['ot']) == 2
    return scores.warnings(table, 'ot', (2,), 1000)

  assert warnings(0.0) == []
  (sentence,) = warnings(0.5)
  assert 'ot at 255/255: an AP50 of' in sentence
