import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.engine import checkpoint, logs, loop, mesh, state, stop

HERE = pathlib.Path(__file__).parent
TX = optax.sgd(0.1, momentum=0.9)


def start_toy(workdir, *options):
  paths = [str(HERE.parents[1]), os.environ.get('PYTHONPATH', '')]
  return subprocess.Popen(
    [sys.executable, str(HERE / 'toy_run.py'), str(workdir), *options],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join(filter(None, paths)),
      'JAX_PLATFORMS': 'cpu',
    },
  )


def finish_toy(workdir, *options):
  process = start_toy(workdir, *options)
  out, err = process.communicate(timeout=120)
  return process.returncode, out, err


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('undisturbed')
  code, out, err = finish_toy(workdir)
  assert code == 0, err
  return workdir, out.splitlines()[-1]


def test_killed_runs_end_with_the_same_bits(undisturbed, tmp_path):
  # One workdir, killed before the first checkpoint, between two, while one is
  # being written, and at a moment of the clock's choice.
  for option, possible in (
    ('die_at=7', [None]),
    # Step 30 is written while the steps go on.
    ('die_at=34', [20, 30]),
    ('die_in_save=40', [30]),
  ):
    code, _, err = finish_toy(tmp_path, option)
    assert code == -signal.SIGKILL, err
    steps = [p.name for p in (tmp_path / 'toy/ckpt').iterdir()]
    whole = [int(name) for name in steps if name.isdecimal()]
    assert max(whole, default=None) in possible
    if option == 'die_in_save=40':
      assert any(name.startswith('40.') for name in steps)
  process = start_toy(tmp_path)
  time.sleep(random.SystemRandom().uniform(0.5, 3.0))
  process.kill()
  process.communicate()
  code, out, err = finish_toy(tmp_path)
  assert code == 0, err

  reference, digest = undisturbed
  assert out.splitlines()[-1] == digest
  metrics = (tmp_path / 'metrics.jsonl').read_bytes()
  assert metrics == (reference / 'metrics.jsonl').read_bytes()
  steps = sorted(p.name for p in (tmp_path / 'toy/ckpt').iterdir())
  assert steps == ['50', '60']


def test_a_write_that_fails_is_one_line_and_keeps_the_last(tmp_path):
  code, _, err = finish_toy(tmp_path, 'file_limit=100000')
  assert code != 0
  last = err.splitlines()[-1]
  assert last.startswith('OSError: cannot write checkpoint 30 to ')
  assert 'checkpoint 20 is intact' in last
  assert 'MB, ' in last
  assert 'File too large' in last
  # No thread and no destructor has anything to add.
  assert 'Exception ignored' not in err
  assert 'Exception in thread' not in err
  steps = sorted(p.name for p in (tmp_path / 'toy/ckpt').iterdir())
  assert steps == ['10', '20']


# In this process, on a state small enough to compile at once.


def initial():
  return state.create({'w': jnp.ones((3,))}, {}, TX, ema=True)


def descend(train_state, frozen, batch, key):
  noise = jax.random.normal(jax.random.fold_in(key, train_state.step), (3,))

  def loss_fn(params):
    return jnp.mean((batch['x'] * params['w'] - frozen - noise) ** 2)

  loss, grads = jax.value_and_grad(loss_fn)(train_state.params)
  new, _ = state.apply_gradients(train_state, TX, grads, ema_decay=0.5)
  return new, {'loss': loss}


def batches(start):
  for i in range(start, 1000):
    yield {'x': np.full((2, 3), 1 / (1 + i), np.float32)}


def run(workdir, **changes):
  """The state at the end."""
  return fit(workdir, **changes)[0]


def fit(workdir, *, step=descend, **changes):
  devices = mesh.make(1)
  arguments = {
    'frozen': jnp.float32(0.1),
    'batches': batches,
    'num_steps': 12,
    'key': jax.random.key(0),
    'workdir': workdir,
    'mesh': devices,
    'name': 'small',
    'ckpt_every': 4,
    'log_every': 3,
  }
  schedule = changes.pop('schedule', None)
  if schedule is None:
    schedule = loop.always(mesh.jit_step(step, devices))
  first = changes.pop('state', None)
  first = initial() if first is None else first
  return loop.fit(schedule, first, **(arguments | changes))


def saved_steps(workdir):
  return checkpoint.Checkpoints(workdir / 'small/ckpt').steps()


def test_fit_is_the_plain_loop(tmp_path):
  expected = initial()
  for i, batch in zip(range(12), batches(0), strict=False):
    assert int(expected.step) == i
    expected, _ = jax.jit(descend)(
      expected, jnp.float32(0.1), batch, jax.random.key(0)
    )
  result = run(tmp_path)
  chex.assert_trees_all_equal(result, expected)
  assert saved_steps(tmp_path) == [8, 12]


def test_the_callers_state_lives_on(tmp_path):
  first = initial()
  aliased = first.replace(ema=first.params)
  run(tmp_path, state=aliased)
  np.testing.assert_array_equal(first.params['w'], np.ones(3))


def test_resume_neither_recompiles_nor_differs(tmp_path):
  chex.clear_trace_counter()
  whole = run(tmp_path / 'whole')
  devices = mesh.make(1)
  step = mesh.jit_step(chex.assert_max_traces(descend, n=1), devices)
  schedule = loop.always(step)
  run(tmp_path / 'parts', schedule=schedule, num_steps=5)
  starts = []

  def counted(start):
    starts.append(start)
    return batches(start)

  resumed = run(tmp_path / 'parts', schedule=schedule, batches=counted)
  assert starts == [5]
  assert step._cache_size() == 1
  chex.assert_trees_all_equal(resumed, whole)
  # A finished run is not touched.
  again = run(tmp_path / 'parts', schedule=schedule, batches=counted)
  assert starts == [5]
  chex.assert_trees_all_equal(again, whole)


def test_a_weakly_typed_state_compiles_once(tmp_path):
  def step(count, frozen, batch, key):
    del frozen, batch, key
    return count + 1.0, {'count': count}

  assert jnp.asarray(0.0).weak_type
  devices = mesh.make(1)
  jitted = mesh.jit_step(step, devices)
  result = run(tmp_path, schedule=loop.always(jitted), state=jnp.asarray(0.0))
  assert float(result) == 12
  assert jitted._cache_size() == 1


def test_schedule_runs_its_steps_in_order(tmp_path):
  def make(factor):
    def step(value, frozen, batch, key):
      del frozen, batch, key
      return value * 2 + factor, {f'm{factor}': jnp.float32(factor)}

    return mesh.jit_step(step, mesh.make(1))

  zero, one = make(0), make(1)
  result = run(
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


def interrupting_batches(at, number):
  def begin(start):
    for i, batch in enumerate(batches(start), start):
      if i == at:
        os.kill(os.getpid(), number)
      yield batch

  return begin


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_the_step_and_saves(tmp_path, number):
  before = signal.getsignal(number)
  with pytest.raises(loop.Interrupted) as caught:
    run(tmp_path, batches=interrupting_batches(6, number))
  assert signal.getsignal(number) is before
  message = str(caught.value)
  assert number.name in message
  assert 'step 7 of 12' in message
  assert '\n' not in message
  assert saved_steps(tmp_path) == [4, 7]
  chex.assert_trees_all_equal(run(tmp_path), run(tmp_path / 'whole'))


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
    for i, batch in enumerate(batches(start), start):
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
    run(tmp_path, batches=twice)
  assert fetched[-1] == 6
  assert saved_steps(tmp_path) == [4]
  chex.assert_trees_all_equal(run(tmp_path), run(tmp_path / 'whole'))


def test_signals_are_given_back_after_a_run(tmp_path):
  numbers = signal.SIGINT, signal.SIGTERM
  before = [signal.getsignal(number) for number in numbers]
  run(tmp_path)
  assert [signal.getsignal(number) for number in numbers] == before


def test_signal_in_the_last_evaluation_is_not_lost(tmp_path):
  def evals(train_state, i):
    os.kill(os.getpid(), signal.SIGTERM)
    return train_state, {}

  with pytest.raises(loop.Interrupted, match='step 12 of 12'):
    run(tmp_path, evals=evals, eval_every=12)
  assert saved_steps(tmp_path) == [8, 12]


def counting_evals(seen):
  def evals(train_state, i):
    assert int(train_state.step) == i
    seen.append(i)
    return train_state, {'seen': i, 'rate': None}

  return evals


def test_evaluations_run_on_time_and_once(tmp_path):
  seen = []
  options = {'evals': counting_evals(seen), 'eval_every': 4}
  run(tmp_path, num_steps=6, **options)
  assert seen == [4, 6]
  # Checkpoint 6 was written after the evaluation at 6.
  run(tmp_path, num_steps=9, **options)
  assert seen == [4, 6, 8, 9]
  lines = logs.read(tmp_path / 'metrics.jsonl')
  assert [line['step'] for line in lines if line['kind'] == 'eval'] == seen
  assert all('rate' in line for line in lines if line['kind'] == 'eval')


def test_signal_before_an_evaluation_leaves_it_to_the_resumed_run(tmp_path):
  seen = []
  options = {'evals': counting_evals(seen), 'eval_every': 4}
  with pytest.raises(loop.Interrupted):
    run(tmp_path, batches=interrupting_batches(7, signal.SIGTERM), **options)
  assert seen == [4]
  assert saved_steps(tmp_path) == [4, 8]
  run(tmp_path, **options)
  assert seen == [4, 8, 12]


def test_evaluation_may_keep_something_in_the_state(tmp_path):
  def evals(train_state, i):
    del i
    return train_state.replace(ema=train_state.params), {}

  result = run(tmp_path, evals=evals, eval_every=4)
  chex.assert_trees_all_equal(result.ema, result.params)
  assert float(jnp.abs(result.params['w'] - 1).max()) > 0


def exploding(at):
  def step(train_state, frozen, batch, key):
    new, metrics = descend(train_state, frozen, batch, key)
    bad = jnp.where(train_state.step == at, jnp.nan, 0.0)
    return new, {'fine': metrics['loss'], 'd/loss': metrics['loss'] + bad}

  return step


# Step 7 is the last before checkpoint 8; 9 is in the middle; 11 is the last.
@pytest.mark.parametrize('at, kept', [(7, [4]), (9, [4, 8]), (11, [4, 8])])
def test_a_metric_that_is_not_finite_stops_the_run(tmp_path, at, kept):
  with pytest.raises(loop.NonFiniteError) as caught:
    run(tmp_path, step=exploding(at))
  message = str(caught.value)
  assert message.startswith(f"d/loss is nan at step {at + 1} of stage 'small'")
  assert f'checkpoint {kept[-1]} is intact' in message
  assert '\n' not in message
  assert saved_steps(tmp_path) == kept


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_an_evaluation_that_is_not_finite_stops_the_run(tmp_path, value):
  with pytest.raises(
    loop.NonFiniteError, match=f"^kid is {value} at step 4 of stage 'small'"
  ):
    run(
      tmp_path,
      evals=lambda train_state, i: (train_state, {'kid': value}),
      eval_every=4,
    )


def test_it_stops_one_iteration_late(tmp_path):
  fetched = []

  def counted(start):
    for i, batch in enumerate(batches(start), start):
      fetched.append(i)
      yield batch

  with pytest.raises(loop.NonFiniteError):
    run(tmp_path, step=exploding(5), batches=counted, ckpt_every=100)
  assert fetched[-1] == 6


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
  def step(train_state, frozen, batch, key):
    new, metrics = descend(train_state, frozen, batch, key)
    bad = jnp.where(train_state.step == 7, jnp.nan, 0.0)
    params = jax.tree.map(lambda p: p + bad, new.params)
    return new.replace(params=params), metrics

  with pytest.raises(loop.NonFiniteError, match="leaf 'params/w' is not fin"):
    run(tmp_path, step=step)
  assert saved_steps(tmp_path) == [4]


def test_an_infinite_scalar_may_be_saved(tmp_path):
  def step(value, frozen, batch, key):
    del frozen, batch, key
    return value, {'loss': jnp.float32(0)}

  result = run(tmp_path, step=step, state={'best': jnp.float32(np.inf)})
  assert float(result['best']) == np.inf


def test_resume_under_another_state_is_refused(tmp_path):
  run(tmp_path)
  other = state.create({'w': jnp.ones((4,))}, {}, TX, ema=True)
  with pytest.raises(ValueError, match=r'float32\[3\] there and float32\[4\]'):
    run(tmp_path, state=other)


def test_bad_arguments(tmp_path):
  with pytest.raises(ValueError, match='must be 1 or more'):
    run(tmp_path, num_steps=0)
  with pytest.raises(ValueError, match='no eval_every'):
    run(tmp_path, evals=lambda train_state, i: (train_state, {}))
  with pytest.raises(ValueError, match='data ended before step 2 of 12'):
    run(tmp_path, batches=lambda start: [next(batches(0))] * 2)
  run(tmp_path / 'long')
  with pytest.raises(ValueError, match='at step 12, past the 4'):
    run(tmp_path / 'long', num_steps=4)


def test_a_log_line_is_the_mean_of_its_interval(tmp_path):
  def step(count, frozen, batch, key):
    del frozen, batch, key
    return count + 1, {'count': count.astype(jnp.float32)}

  run(tmp_path, step=step, state=jnp.zeros((), jnp.int32), num_steps=7)
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


# What ends a run.


def scripted(values):
  """An evaluation whose measure is what a script says."""

  def evals(train_state, i):
    return train_state, {'measure': values[i]}

  return evals


def ended(workdir, **changes):
  """Runs; returns (step of the end, reason)."""
  result, reason = fit(workdir, **changes)
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
  assert saved_steps(tmp_path) == [4, 8]
  # It stays ended, also where more steps would be allowed.
  calls = []

  def counted(start):
    calls.append(start)
    return batches(start)

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
  assert saved_steps(tmp_path)[-1] == step
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
    cut = interrupting_batches(at, signal.SIGTERM)
    with pytest.raises(loop.Interrupted):
      ended(workdir, **{**options, 'batches': cut})
    assert ended(workdir, **options) == end


def test_a_checkpoint_of_another_rule_is_refused(tmp_path):
  run(tmp_path, num_steps=4)
  with pytest.raises(ValueError, match="'stop/0/count' is missing there"):
    run(tmp_path, stop=(stop.Threshold('loss', 1, 2),))


@pytest.mark.slow
@pytest.mark.parametrize(
  'rule, start, line',
  [
    # By hand, from the undisturbed run without a rule: see `toy_run.scripted`.
    ('plateau', 'toy 40/60  converged', '40 converged'),
    ('threshold', 'toy 40/60  threshold', '40 threshold'),
  ],
)
def test_killed_runs_end_at_the_same_step_for_the_same_reason(
  tmp_path, rule, start, line
):
  """SIGKILL before, in and after what the rule counts; then to the end."""
  for option in ('die_at=23', 'die_in_save=30', 'die_at=39'):
    code, _, err = finish_toy(tmp_path / 'killed', f'rule={rule}', option)
    assert code == -signal.SIGKILL, err
  results = []
  for name in ('killed', 'whole'):
    code, out, err = finish_toy(tmp_path / name, f'rule={rule}')
    assert code == 0, err
    assert start in out
    assert out.splitlines()[-1].endswith(line)
    results.append(out.splitlines()[-1])
    steps = sorted(p.name for p in (tmp_path / name / 'toy/ckpt').iterdir())
    assert steps[-1] == '40'
  assert results[0] == results[1]
  killed, whole = (
    tmp_path / name / 'metrics.jsonl' for name in ('killed', 'whole')
  )
  assert killed.read_bytes() == whole.read_bytes()


def test_a_rule_that_reads_evaluations_needs_them(tmp_path):
  rules = (stop.Threshold('loss', 1, 2), stop.Plateau('eer'))
  with pytest.raises(ValueError, match="end by 'eer' of its evaluations and"):
    run(tmp_path, stop=rules)
  assert not list(tmp_path.iterdir())


def test_a_measure_that_no_evaluation_gives_ends_the_first(tmp_path):
  with pytest.raises(
    ValueError, match="reads 'err', which the evaluation"
  ) as e:
    run(
      tmp_path,
      stop=(stop.Plateau('err'),),
      evals=lambda state, step: (state, {'eer': 0.5}),
      eval_every=1,
    )
  assert '\n' not in str(e.value)
  lines = logs.read(tmp_path / 'metrics.jsonl')
  assert {line['step'] for line in lines} == {1}
