import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from palmjax.edge import rules

INTERVAL = rules.FirstInterval(preset=70.0, lo=80.0, hi=95.0)


def test_score_is_the_rule_of_claim_3():
  np.testing.assert_array_equal(rules.score([-1, 0, 0.5, 1]), [0, 50, 75, 100])
  assert rules.score(1 + 1e-6) == 100


def test_score_refuses_what_is_no_cosine():
  with pytest.raises(ValueError, match='not finite'):
    rules.score([0.5, np.nan])


def test_passes_at_the_preset_score():
  assert rules.passes(70.0, 70.0)
  assert not rules.passes(np.nextafter(70.0, 0), 70.0)


@pytest.mark.parametrize(
  'preset, lo, hi',
  [(81, 80, 95), (70, 95, 95), (70, 80, 100), (-1, 80, 95), (70, np.nan, 95)],
)
def test_first_interval_refuses_other_orders(preset, lo, hi):
  with pytest.raises(ValueError, match='preset <= lo < hi < 100') as error:
    rules.FirstInterval(preset, lo, hi)
  assert '\n' not in str(error.value)


def test_first_interval_may_start_at_the_preset():
  assert rules.FirstInterval(80, 80, 95).lo == 80


@pytest.mark.parametrize(
  'value, label',
  [(75, None), (80, 'ann'), (94.9, 'ann'), (95, None), (100, None)],
)
def test_first_label_is_the_accepted_identity(value, label):
  assert rules.first_label(value, 'ann', INTERVAL) == label


def test_first_label_needs_an_accepted_identity():
  assert rules.first_label(85, None, INTERVAL) is None


@hypothesis.given(
  st.lists(st.booleans(), max_size=30), st.integers(min_value=1, max_value=5)
)
@hypothesis.settings(max_examples=50, deadline=None)
def test_after_attempt_saves_the_last_of_a_run(successes, limit):
  failures, run = rules.Failures(), 0
  for success in successes:
    value = 70.0 if success else 69.0
    failures, saved = rules.after_attempt(
      failures, value, preset=70.0, limit=limit
    )
    run = 0 if success else run + 1
    # Of each run of failures, each limit-th one.
    assert saved == (run > 0 and run % limit == 0)
    assert failures.count < limit


def test_after_attempt_refuses_no_limit():
  with pytest.raises(ValueError, match='at least 1'):
    rules.after_attempt(rules.Failures(), 50, preset=70, limit=0)


@pytest.mark.parametrize(
  'waiting, online, idle, fetch',
  [
    (0, True, True, False),
    (1, True, True, True),
    (1, True, False, False),
    (1, False, True, False),
    (3, False, False, True),
  ],
)
def test_should_fetch_labels(waiting, online, idle, fetch):
  assert fetch == rules.should_fetch_labels(
    waiting, enough=3, online=online, idle=idle
  )


def test_should_fetch_labels_refuses_no_samples():
  with pytest.raises(ValueError, match='at least 1'):
    rules.should_fetch_labels(1, enough=0, online=True, idle=True)


@pytest.mark.parametrize(
  'samples, elapsed, idle, train',
  [
    (8, 0, True, True),
    (7, 59, True, False),
    (7, 60, True, True),
    (8, 60, False, False),
    (0, 60, True, False),
  ],
)
def test_should_self_distill(samples, elapsed, idle, train):
  assert train == rules.should_self_distill(
    samples, elapsed, enough=8, period=60, idle=idle
  )


@pytest.mark.parametrize('enough, period', [(0, 60), (8, 0), (8, np.nan)])
def test_should_self_distill_refuses_no_condition(enough, period):
  with pytest.raises(ValueError, match='need N >= 1 and t > 0'):
    rules.should_self_distill(1, 1, enough=enough, period=period, idle=True)


def test_tick_neither_triggers_nor_blocks_when_set_back():
  clock = rules.tick(rules.Clock(seen=1e9), 1e9 + 40)
  clock = rules.tick(clock, 0.0)
  assert clock.elapsed == 40
  assert rules.tick(clock, 20.0).elapsed == 60


@hypothesis.given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
@hypothesis.settings(max_examples=50, deadline=None)
def test_tick_counts_only_forward(times):
  clock = rules.Clock(float(times[0]))
  for now in times:
    after = rules.tick(clock, float(now))
    assert after.elapsed >= clock.elapsed
    clock = after
  assert clock.elapsed == np.maximum(np.diff(times), 0).sum()


def test_tick_refuses_what_is_no_time():
  with pytest.raises(ValueError, match='finite'):
    rules.tick(rules.Clock(0.0), float('nan'))


def test_kinds_are_both_only_with_labels():
  assert rules.kinds(0) == ('first',)
  assert rules.kinds(1) == ('first', 'second')


@hypothesis.given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 9))
@hypothesis.settings(max_examples=50, deadline=None)
def test_training_sets_hold_each_sample_once(count, size, seed):
  sets = rules.training_sets(count, size, seed)
  np.testing.assert_array_equal(np.sort(np.concatenate(sets)), range(count))
  sizes = [len(part) for part in sets]
  assert max(sizes) <= size
  assert max(sizes) - min(sizes) <= 1
  for one, two in zip(
    sets, rules.training_sets(count, size, seed), strict=True
  ):
    np.testing.assert_array_equal(one, two)


def test_training_sets_refuse_nothing():
  with pytest.raises(ValueError, match='at least 1'):
    rules.training_sets(0, 8, 0)


def test_rules_import_numpy_and_the_standard_library_only():
  code = (
    'import sys; import palmjax.edge.rules; '
    'print([m for m in ("jax", "flax", "optax", "scipy") if m in sys.modules])'
  )
  process = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert process.stdout.strip() == '[]'
