"""What ends a run: rules, their counts over interruptions, refusals."""

import signal

import jax.numpy as jnp
import pytest

from palmjax.engine import logs, loop, stop
from tests.engine import small_run

# What ends a run.


def scripted(values):
  """An evaluation whose measure is what a script says."""

  def evals(train_state, i):
    return train_state, {'measure': values[i]}

  return evals


def ended(workdir, **changes):
  """Runs; returns (step of the end, reason)."""
  result, reason = small_run.fit(workdir, **changes)
  return int(result.step), reason


MEASURE = {2: 0.5, 4: 0.4, 6: 0.4, 8: 0.45, 10: 0.1, 12: 0.1}
PLATEAU = {
  'evals': scripted(MEASURE),
  'eval_every': 2,
  'stop': (stop.Plateau('measure', patience=2),),
}


def test_no_rule_runs_to_the_cap(tmp_path):
  assert ended(tmp_path) == (12, 'cap')
  assert ended(tmp_path) == (12, 'cap')
  # The cap may be raised.
  assert ended(tmp_path, num_steps=14) == (14, 'cap')


def test_plateau_ends_at_the_evaluation_that_has_no_patience_left(tmp_path):
  assert ended(tmp_path, **PLATEAU) == (8, 'converged')
  assert small_run.saved_steps(tmp_path) == [4, 8]
  # It stays ended, also where more steps would be allowed.
  calls = []

  def counted(start):
    calls.append(start)
    return small_run.batches(start)

  again = {**PLATEAU, 'batches': counted}
  assert ended(tmp_path, **again, num_steps=20) == (8, 'converged')
  assert calls == []


def test_plateau_that_is_never_met_ends_at_the_cap(tmp_path):
  rules = (stop.Plateau('measure', patience=3),)
  assert ended(tmp_path, **{**PLATEAU, 'stop': rules}) == (12, 'cap')


def counting_step(train_state, frozen, batch, key):
  del frozen, batch, key
  new = train_state.replace(step=train_state.step + 1)
  return new, {'loss': 10.0 - train_state.step.astype(jnp.float32)}


@pytest.mark.parametrize(
  'value, step',
  # Means of epochs of 3 steps: 9, 6, 3, 0.
  [(100, 3), (9, 3), (8.9, 6), (3, 9), (0, 12)],
)
def test_threshold_ends_with_the_epoch(tmp_path, value, step):
  rules = (stop.Threshold('loss', value, epoch_steps=3),)
  options = {'step': counting_step, 'stop': rules}
  assert ended(tmp_path, **options) == (step, 'threshold')
  assert small_run.saved_steps(tmp_path)[-1] == step
  assert ended(tmp_path, **options) == (step, 'threshold')


def test_threshold_below_all_ends_at_the_cap(tmp_path):
  rules = (stop.Threshold('loss', -0.1, epoch_steps=3),)
  options = {'step': counting_step, 'stop': rules}
  assert ended(tmp_path, **options) == (12, 'cap')


def test_the_end_is_evaluated_whatever_ends_it(tmp_path):
  rules = (stop.Threshold('loss', 9, 3), stop.Plateau('measure'))
  options = {
    'step': counting_step,
    'evals': scripted({3: 0.5}),
    'eval_every': 4,
    'stop': rules,
  }
  assert ended(tmp_path, **options) == (3, 'threshold')
  lines = logs.read(tmp_path / 'metrics.jsonl')
  assert [line['step'] for line in lines if line['kind'] == 'eval'] == [3]


@pytest.mark.parametrize('at', [1, 2, 4, 5, 6, 7])
def test_a_rule_counts_over_an_interruption(tmp_path, at):
  """Interrupted in the middle of an epoch, at its end, at an evaluation."""
  rules = (*PLATEAU['stop'], stop.Threshold('loss', 3.5, epoch_steps=3))
  for options, end in (
    ({**PLATEAU, 'stop': rules, 'step': counting_step}, (8, 'converged')),
    ({'stop': rules[1:], 'step': counting_step}, (9, 'threshold')),
  ):
    workdir = tmp_path / end[1]
    cut = small_run.interrupting_batches(at, signal.SIGTERM)
    with pytest.raises(loop.Interrupted):
      ended(workdir, **{**options, 'batches': cut})
    assert ended(workdir, **options) == end


def test_a_checkpoint_of_another_rule_is_refused(tmp_path):
  small_run.run(tmp_path, num_steps=4)
  with pytest.raises(ValueError, match="'stop/0/count' is missing there"):
    small_run.run(tmp_path, stop=(stop.Threshold('loss', 1, 2),))


def test_a_rule_that_reads_evaluations_needs_them(tmp_path):
  rules = (stop.Threshold('loss', 1, 2), stop.Plateau('eer'))
  with pytest.raises(ValueError, match="end by 'eer' of its evaluations and"):
    small_run.run(tmp_path, stop=rules)
  assert not list(tmp_path.iterdir())


def test_a_measure_that_no_evaluation_gives_ends_the_first(tmp_path):
  with pytest.raises(
    ValueError, match="reads 'err', which the evaluation"
  ) as e:
    small_run.run(
      tmp_path,
      stop=(stop.Plateau('err'),),
      evals=lambda state, step: (state, {'eer': 0.5}),
      eval_every=1,
    )
  assert '\n' not in str(e.value)
  lines = logs.read(tmp_path / 'metrics.jsonl')
  assert {line['step'] for line in lines} == {1}
