import math

import numpy as np
import pytest

from palmjax.engine import stop


def plateau_end(rule, values):
  """The number of the evaluation that ends it, from 1; None if none does."""
  memory = rule.create()
  for number, value in enumerate(values, 1):
    memory = rule.evaluate(memory, {'eer': value})
    if rule.ended(memory):
      return number
  return None


@pytest.mark.parametrize(
  'changes, values, end',
  [
    # Any improvement counts; equal is none.
    ({}, [0.5, 0.4, 0.4, 0.39, 0.39, 0.39], 6),
    ({}, [0.5, 0.4, 0.3, 0.2], None),
    # Improvements of δ or less are none, and do not move the best value.
    ({'delta': 0.125}, [0.5, 0.4375, 0.375, 0.25], 3),
    ({'delta': 0.125}, [0.5, 0.4375, 0.25, 0.25, 0.25], 5),
    ({'mode': 'max'}, [0.1, 0.2, 0.2, 0.3, 0.2, 0.3], 6),
    ({'patience': 1}, [0.5, 0.5], 2),
    # The first value is the best so far, however bad.
    ({'mode': 'max'}, [-3.0, -2.0, -5.0, -2.5], 4),
    # What could not be measured says nothing.
    ({}, [None, 0.5, None, 0.5, None, 0.5], 6),
  ],
)
def test_plateau_ends_at_the_evaluation_counted_by_hand(changes, values, end):
  rule = stop.Plateau(**{'metric': 'eer', 'patience': 2, **changes})
  assert plateau_end(rule, values) == end


def threshold_end(rule, values):
  memory = rule.create()
  for step, value in enumerate(values, 1):
    metrics = {} if value is None else {'loss': value}
    memory = rule.train(memory, step, metrics)
    if rule.ended(memory):
      assert rule.due(step)
      return step
  return None


@pytest.mark.parametrize(
  'values, end',
  [
    ([3.0, 1.0, 2.0, 1.0, 1.5, 0.5], 6),
    # Met at once, and exactly.
    ([1.0, 1.0, 9.0, 9.0], 2),
    # Low in the middle of two epochs only.
    ([3.0, 0.0, 0.0, 3.0], None),
    # A step without the metric is not counted.
    ([None, 1.0], 2),
  ],
)
def test_threshold_ends_with_the_epoch_counted_by_hand(values, end):
  rule = stop.Threshold('loss', 1.0, epoch_steps=2)
  assert threshold_end(rule, values) == end


def test_the_first_rule_that_ends_tells_the_reason():
  rules = (stop.Threshold('loss', 1.0, 1), stop.Plateau('eer', patience=1))
  memories = [rule.create() for rule in rules]
  assert stop.reason(rules, memories) == ''
  for _ in range(2):
    memories[1] = rules[1].evaluate(memories[1], {'eer': 1.0})
  assert stop.reason(rules, memories) == 'converged'
  memories[0] = rules[0].train(memories[0], 1, {'loss': 0.0})
  assert stop.reason(rules, memories) == 'threshold'
  assert stop.reason((), ()) == ''


def test_a_metric_that_nobody_gives_is_named():
  rule = stop.Plateau('eer')
  with pytest.raises(ValueError, match=r"'eer', which the evaluation .* ap, l"):
    rule.evaluate(rule.create(), {'loss': 1.0, 'ap': 0.5})
  rule = stop.Threshold('los', 1.0, epoch_steps=1)
  with pytest.raises(ValueError, match=r"'los', which the training .* of loss"):
    rule.train(rule.create(), 1, {'loss': 1.0})


@pytest.mark.parametrize(
  'make, message',
  [
    (lambda: stop.Plateau('x', mode='lowest'), 'mode=lowest: choose min or'),
    (lambda: stop.Plateau('x', delta=-0.1), 'delta=-0.1: give 0 or more'),
    (lambda: stop.Plateau('x', delta=math.nan), 'delta=nan: give 0 or more'),
    (lambda: stop.Plateau('x', patience=0), 'patience=0: give 1 or more'),
    (lambda: stop.Threshold('x', 1, 0), 'epoch_steps=0: give 1 or more'),
  ],
)
def test_rules_that_make_no_sense_are_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_memories_are_scalars_of_types_that_never_change():
  """A checkpoint is refused where a leaf changes its type."""
  rule = stop.Plateau('eer')
  memory = rule.create()
  for value in (0.5, 0.5, 0.4):
    new = rule.evaluate(memory, {'eer': value})
    assert describe(new) == describe(memory)
  rule = stop.Threshold('loss', 1.0, epoch_steps=2)
  memory = rule.create()
  for step in (1, 2, 3):
    new = rule.train(memory, step, {'loss': 0.5})
    assert describe(new) == describe(memory)


def describe(memory):
  return {k: (np.asarray(v).dtype, np.shape(v)) for k, v in memory.items()}
