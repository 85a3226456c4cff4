import json
import os
import signal
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.engine import logs, loop, mesh, state
from tests.engine import small_run


def test_fit_is_the_plain_loop(tmp_path):
  expected = small_run.initial()
  for i, batch in zip(range(12), small_run.batches(0), strict=False):
    assert int(expected.step) == i
    expected, _ = jax.jit(small_run.descend)(
      expected, jnp.float32(0.1), batch, jax.random.key(0)
    )
  result = small_run.run(tmp_path)
  chex.assert_trees_all_equal(result, expected)
  assert small_run.saved_steps(tmp_path) == [8, 12]


def test_the_callers_state_lives_on(tmp_path):
  first = small_run.initial()
  aliased = first.replace(ema=first.params)
  small_run.run(tmp_path, state=aliased)
  np.testing.assert_array_equal(first.params['w'], np.ones(3))


def test_resume_neither_recompiles_nor_differs(tmp_path):
  chex.clear_trace_counter()
  whole = small_run.run(tmp_path / 'whole')
  devices = mesh.make(1)
  step = mesh.jit_step(chex.assert_max_traces(small_run.descend, n=1), devices)
  schedule = loop.always(step)
  small_run.run(tmp_path / 'parts', schedule=schedule, num_steps=5)
  starts = []

  def counted(start):
    starts.append(start)
    return small_run.batches(start)

  resumed = small_run.run(
    tmp_path / 'parts', schedule=schedule, batches=counted
  )
  assert starts == [5]
  assert step._cache_size() == 1
  chex.assert_trees_all_equal(resumed, whole)
  # A finished run is not touched.
  again = small_run.run(tmp_path / 'parts', schedule=schedule, batches=counted)
  assert starts == [5]
  chex.assert_trees_all_equal(again, whole)


def test_a_weakly_typed_state_compiles_once(tmp_path):
  def step(count, frozen, batch, key):
    del frozen, batch, key
    return count + 1.0, {'count': count}

  assert jnp.asarray(0.0).weak_type
  devices = mesh.make(1)
  jitted = mesh.jit_step(step, devices)
  result = small_run.run(
    tmp_path, schedule=loop.always(jitted), state=jnp.asarray(0.0)
  )
  assert float(result) == 12
  assert jitted._cache_size() == 1


def test_schedule_runs_its_steps_in_order(tmp_path):
  def make(factor):
    def step(value, frozen, batch, key):
      del frozen, batch, key
      return value * 2 + factor, {f'm{factor}': jnp.float32(factor)}

    return mesh.jit_step(step, mesh.make(1))

  zero, one = make(0), make(1)
  result = small_run.run(
    tmp_path,
    schedule=lambda i: (zero, one) if i % 2 else (zero,),
    state=jnp.zeros((), jnp.int32),
    num_steps=4,
    log_every=2,
  )
  # 0 →0| →0 →1| →2| →4 →9
  assert int(result) == 9
  lines = logs.read(tmp_path / 'metrics.jsonl')
  assert [(line['step'], line['m0'], line['m1']) for line in lines] == [
    (2, 0, 1),
    (4, 0, 1),
  ]


def test_a_step_that_moves_data_by_itself_is_refused(tmp_path):
  inner = jax.jit(lambda x: x + 1)

  def moving(state, frozen, batch, key):
    del frozen, batch, key
    return state, {'loss': inner(np.float32(1))}

  with pytest.raises(jax.errors.JaxRuntimeError, match='host-to-device'):
    small_run.run(tmp_path, schedule=loop.always(moving))


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_the_step_and_saves(tmp_path, number):
  before = signal.getsignal(number)
  with pytest.raises(loop.Interrupted) as caught:
    small_run.run(tmp_path, batches=small_run.interrupting_batches(6, number))
  assert signal.getsignal(number) is before
  message = str(caught.value)
  assert number.name in message
  assert 'step 7 of 12' in message
  assert '\n' not in message
  assert small_run.saved_steps(tmp_path) == [4, 7]
  chex.assert_trees_all_equal(
    small_run.run(tmp_path), small_run.run(tmp_path / 'whole')
  )


@pytest.fixture
def interruptible():
  """SIGINT as in a terminal; a shell's background job is born ignoring it."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('interruptible')
def test_a_second_signal_does_not_wait(tmp_path):
  fetched = []

  def twice(start):
    for i, batch in enumerate(small_run.batches(start), start):
      fetched.append(i)
      if i == 6:
        first = signal.getsignal(signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        # Two that are pending at once would be one.
        while signal.getsignal(signal.SIGINT) is first:
          time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
      yield batch

  with pytest.raises(KeyboardInterrupt):
    small_run.run(tmp_path, batches=twice)
  assert fetched[-1] == 6
  assert small_run.saved_steps(tmp_path) == [4]
  chex.assert_trees_all_equal(
    small_run.run(tmp_path), small_run.run(tmp_path / 'whole')
  )


def test_signals_are_given_back_after_a_run(tmp_path):
  numbers = signal.SIGINT, signal.SIGTERM
  before = [signal.getsignal(number) for number in numbers]
  small_run.run(tmp_path)
  assert [signal.getsignal(number) for number in numbers] == before


def test_signal_in_the_last_evaluation_is_not_lost(tmp_path):
  def evals(train_state, i):
    os.kill(os.getpid(), signal.SIGTERM)
    return train_state, {}

  with pytest.raises(loop.Interrupted, match='step 12 of 12'):
    small_run.run(tmp_path, evals=evals, eval_every=12)
  assert small_run.saved_steps(tmp_path) == [8, 12]


def counting_evals(seen):
  def evals(train_state, i):
    assert int(train_state.step) == i
    seen.append(i)
    return train_state, {'seen': i, 'rate': None}

  return evals


def test_evaluations_run_on_time_and_once(tmp_path):
  seen = []
  options = {'evals': counting_evals(seen), 'eval_every': 4}
  small_run.run(tmp_path, num_steps=6, **options)
  assert seen == [4, 6]
  # Checkpoint 6 was written after the evaluation at 6.
  small_run.run(tmp_path, num_steps=9, **options)
  assert seen == [4, 6, 8, 9]
  lines = logs.read(tmp_path / 'metrics.jsonl')
  assert [line['step'] for line in lines if line['kind'] == 'eval'] == seen
  assert all('rate' in line for line in lines if line['kind'] == 'eval')


def test_holes_are_retired_once_for_each_program_and_evaluation(
  tmp_path, monkeypatch
):
  seen, retired = [], []
  monkeypatch.setattr(
    loop.allocator, 'retire_holes', lambda: retired.append(len(seen))
  )
  devices = mesh.make(1)
  first, second = (mesh.jit_step(small_run.descend, devices) for _ in range(2))
  options = {
    'schedule': lambda i: (first, second) if i % 3 == 2 else (first,),
    'evals': lambda kept, i: (seen.append(i) or kept, {}),
    'eval_every': 4,
  }
  small_run.run(tmp_path, num_steps=9, **options)
  # At the first step, where the second program comes, after an evaluation.
  assert retired == [0, 0, 1]
  retired.clear()
  small_run.run(tmp_path, num_steps=10, **options)
  assert len(retired) == 1


def test_signal_before_an_evaluation_leaves_it_to_the_resumed_run(tmp_path):
  seen = []
  options = {'evals': counting_evals(seen), 'eval_every': 4}
  with pytest.raises(loop.Interrupted):
    small_run.run(
      tmp_path,
      batches=small_run.interrupting_batches(7, signal.SIGTERM),
      **options,
    )
  assert seen == [4]
  assert small_run.saved_steps(tmp_path) == [4, 8]
  small_run.run(tmp_path, **options)
  assert seen == [4, 8, 12]


def test_evaluation_may_keep_something_in_the_state(tmp_path):
  def evals(train_state, i):
    del i
    return train_state.replace(ema=train_state.params), {}

  result = small_run.run(tmp_path, evals=evals, eval_every=4)
  chex.assert_trees_all_equal(result.ema, result.params)
  assert float(jnp.abs(result.params['w'] - 1).max()) > 0


def test_an_infinite_scalar_may_be_saved(tmp_path):
  def step(value, frozen, batch, key):
    del frozen, batch, key
    return value, {'loss': jnp.float32(0)}

  result = small_run.run(
    tmp_path, step=step, state={'best': jnp.float32(np.inf)}
  )
  assert float(result['best']) == np.inf


def test_resume_under_another_state_is_refused(tmp_path):
  small_run.run(tmp_path)
  other = state.create({'w': jnp.ones((4,))}, {}, small_run.TX, ema=True)
  with pytest.raises(ValueError, match=r'float32\[3\] there and float32\[4\]'):
    small_run.run(tmp_path, state=other)


def test_bad_arguments(tmp_path):
  with pytest.raises(ValueError, match='must be 1 or more'):
    small_run.run(tmp_path, num_steps=0)
  with pytest.raises(ValueError, match='no eval_every'):
    small_run.run(tmp_path, evals=lambda train_state, i: (train_state, {}))
  with pytest.raises(ValueError, match='data ended before step 2 of 12'):
    small_run.run(
      tmp_path, batches=lambda start: [next(small_run.batches(0))] * 2
    )
  small_run.run(tmp_path / 'long')
  with pytest.raises(ValueError, match='at step 12, past the 4'):
    small_run.run(tmp_path / 'long', num_steps=4)


def test_a_log_line_is_the_mean_of_its_interval(tmp_path):
  def step(count, frozen, batch, key):
    del frozen, batch, key
    return count + 1, {'count': count.astype(jnp.float32)}

  small_run.run(
    tmp_path, step=step, state=jnp.zeros((), jnp.int32), num_steps=7
  )
  lines = [
    json.loads(line)
    for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()
  ]
  # Lines at multiples of 3, and where a checkpoint (4) or the end (7) is.
  assert [(line['step'], line['count']) for line in lines] == [
    (3, 1.0),
    (4, 3.0),
    (6, 4.5),
    (7, 6.0),
  ]
