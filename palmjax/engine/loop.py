"""The training loop. It knows no method and no model.

An iteration: evaluate the old state → write a checkpoint → fetch the batch →
dispatch the steps → log the iteration before. The state, the step count and the
root key fix all that follows, so a run that is killed and started again ends
with the bits of one that was not.

Where several processes train, all run this loop. Process 0 writes checkpoints
and logs, and the others take what it read and what it measured.
"""

import contextlib
import pathlib

import chex
import jax
import numpy as np

from palmjax.engine import (
  allocator,
  checkpoint,
  costs,
  feed,
  finite,
  logs,
  processes,
  signals,
  tracing,
)
from palmjax.engine import mesh as meshes
from palmjax.engine import stop as stops


class Interrupted(Exception):  # noqa: N818 (a request that was met, no error)
  """SIGTERM or SIGINT: the work so far is saved; exit with code 0."""


def always(step):
  """Returns a schedule for `fit` that runs `step` at every iteration."""
  return lambda i: (step,)


def fit(
  schedule,
  state,
  *,
  frozen,
  batches,
  num_steps,
  key,
  workdir,
  mesh,
  name,
  ckpt_every,
  log_every,
  evals=None,
  eval_every=None,
  stop=(),
  profile=range(0),
):
  """Training loop: runs until a stop rule, or `num_steps` iterations.

  Goes on from the latest checkpoint, if there is one.

  Args:
    schedule: i → tuple of steps of `mesh.jit_step`, run in order at iteration
      i; `always(step)` for one.
    state: pytree of arrays without random keys, at iteration 0. Copied: the
      caller's arrays live on. A leaf that is split over `mesh` stays split.
    frozen: pytree that the steps read; None if they read nothing.
    batches: start → iterator whose first item is the batch of iteration
      `start`; pytrees of arrays with a leading batch axis.
    num_steps: iterations, counted over all resumptions.
    key: root key of the stage; the steps fold in their own clock.
    workdir: gets metrics.jsonl, and in directory `name` events, ckpt/,
      costs.json and input_wait.json.
    mesh: of `mesh.make` or `mesh.split`.
    name: of the stage.
    ckpt_every: iterations between two checkpoints; the end has one too.
    log_every: iterations between two log lines.
    evals: (state, i) → (state, metrics), after every `eval_every` iterations
      and at the end; metrics are floats, or None for "not measurable". May
      keep something in the state (same structure, shapes and types).
    eval_every: needed with `evals`.
    stop: rules of `engine.stop` that see the metrics of steps and evaluations.
      The first that is met ends the run.
    profile: `range` of iterations that are traced, see `engine.tracing`.

  Returns:
    (state at the end, why it ended: 'converged', 'threshold' or 'cap').

  Raises:
    Interrupted: on SIGTERM or SIGINT, after a checkpoint.
    NonFiniteError: a metric of a step is not finite, or the state before a
      checkpoint.
    OSError: a checkpoint, a log or a trace cannot be written.
    ValueError: the checkpoint found does not fit; bad arguments or batches; a
      rule reads evaluations, and there are none, or a metric that is not there.
  """
  if min(num_steps, ckpt_every, log_every, eval_every or 1) < 1:
    raise ValueError(
      f"stage '{name}': num_steps, ckpt_every, log_every and eval_every must "
      f'be 1 or more: {num_steps}, {ckpt_every}, {log_every}, {eval_every}'
    )
  if evals is not None and eval_every is None:
    raise ValueError(f"stage '{name}' has evals but no eval_every")
  unread = [rule.metric for rule in stop if rule.reads_evaluations]
  if unread and evals is None:
    raise ValueError(
      f"stage '{name}' is to end by '{unread[0]}' of its evaluations and has "
      'none: give evals, or no such rule'
    )

  directory = pathlib.Path(workdir) / name / 'ckpt'
  with contextlib.ExitStack() as stack:
    caught = stack.enter_context(signals.deferred())
    saved = stack.enter_context(checkpoint.Checkpoints(directory))
    asked_to_stop = processes.AnyProcess(mesh)
    start = processes.value_of_first(saved.latest()) or 0
    memories = [rule.create() for rule in stop]
    progress = _progress(state, memories, evaluated=False, reason='')
    if start and processes.is_first():
      progress = saved.restore(progress)
    progress = processes.arrays_of_first(progress)
    if start > num_steps:
      raise ValueError(
        f'{directory} is at step {start}, past the {num_steps} asked for: '
        f'raise num_steps or delete {directory}'
      )
    # One origin for new and restored states: one executable, same bits.
    placed = meshes.shardings(state, mesh)
    state = meshes.copy_to_devices(progress['state'], mesh, placed)
    memories, evaluated = progress['stop'], bool(progress['evaluated'])
    reason = stops.REASONS[int(progress['ended'])]
    if reason == 'cap' and start < num_steps:
      reason = ''  # It has been raised.
    frozen = meshes.replicate(frozen, mesh)
    key = meshes.replicate(key, mesh)
    log = stack.enter_context(
      logs.open_logs(
        workdir,
        name,
        start=start,
        evaluated=evaluated,
        num_steps=num_steps,
        log_every=log_every,
      )
    )

    fed = feed.Feed(batches, mesh, directory.parent)

    def settle(pending):
      """Logs an iteration; refuses it if a metric is not finite."""
      if pending is None:
        return
      step, metrics, images = pending
      metrics = jax.device_get(metrics)
      for values in metrics:
        for metric, value in values.items():
          if not np.isfinite(value):
            finite.refuse(name, step, f'{metric} is {value}', saved)
      merged = {k: float(v) for values in metrics for k, v in values.items()}
      log.train(step, merged, images)
      memories[:] = [
        rule.train(memory, step, merged)
        for rule, memory in zip(stop, memories, strict=True)
      ]

    def save(step, state):
      """Writes a checkpoint, unless this is where the run was resumed."""
      if step == start:
        return
      state = jax.device_get(state)
      finite.check_state(name, step, state, saved)
      log.flush(step)
      fed.write()
      saved.save(
        step,
        _progress(state, memories, evaluated=evaluated, reason=reason),
      )

    def leave(step):
      if stopping:
        saved.wait()
        names = [number.name for number in caught] or ['another process']
        raise Interrupted(
          f"{names[0]}: stage '{name}' stopped at step {step} of "
          f'{num_steps}, all saved; run the same command again to go on'
        )

    counted = costs.Costs(directory.parent)
    trace = stack.enter_context(tracing.Trace(directory.parent, profile))
    compiled = set()
    stopping = False
    pending = None
    for i in range(start, num_steps + 1):
      if any(rule.due(i) for rule in stop):
        settle(pending)
        pending = None
        reason = reason or stops.reason(stop, memories)
      ends = bool(reason) or i == num_steps
      stopping = asked_to_stop(bool(caught))
      if stopping and not ends:
        settle(pending)
        save(i, state)
        leave(i)
      due = i > 0 and evals is not None and (ends or i % eval_every == 0)
      if due and not evaluated:
        settle(pending)
        pending = None
        finite.check_state(name, i, jax.device_get(state), saved)
        log.flush(i)
        seen = meshes.local(state)
        new, metrics = evals(seen, i)
        chex.assert_trees_all_equal_shapes_and_dtypes(seen, new)
        # What it kept may share buffers with what it was given.
        state = meshes.copy_to_devices(
          processes.arrays_of_first(new), mesh, placed
        )
        metrics = processes.value_of_first(jax.tree.map(float, metrics))
        for metric, value in metrics.items():
          if value is not None and not np.isfinite(value):
            finite.refuse(name, i, f'{metric} is {value}', saved)
        log.evaluation(i, metrics)
        memories[:] = [
          rule.evaluate(memory, metrics)
          for rule, memory in zip(stop, memories, strict=True)
        ]
        evaluated = True
        reason = reason or stops.reason(stop, memories)
        ends = ends or bool(reason)
      if ends:
        reason = reason or 'cap'
      if ends or (i > 0 and i % ckpt_every == 0):
        settle(pending)
        pending = None
        save(i, state)
      if ends:
        break
      evaluated = False

      batch = fed.batch(i)
      if batch is None:
        raise ValueError(
          f"stage '{name}': the data ended before step {i} of {num_steps}"
        )
      metrics, steps = [], schedule(i)
      trace.before(i, state)
      with jax.profiler.StepTraceAnnotation(name, step_num=i):
        for step in steps:
          # A step that waits for the host, or moves data, says so.
          with jax.transfer_guard('disallow'):
            state, values = step(state, frozen, batch, key)
          counted.note(step, state, frozen, batch, key)
          metrics.append(values)
      settle(pending)
      fed.settled()
      if not compiled.issuperset(steps) or i == start + (eval_every or 0):
        compiled.update(steps)
        jax.block_until_ready(metrics)
        allocator.retire_holes()  # That compilation left.
      pending = (i + 1, metrics, costs.count_images(batch))
    saved.wait()
    stopping = asked_to_stop(bool(caught))
    leave(i)
    log.end(i, reason)
    return state, reason


def _progress(state, memories, *, evaluated, reason):
  """What a checkpoint holds. `evaluated`: the evaluation here is done."""
  return {
    'state': state,
    'stop': memories,
    'evaluated': np.array(evaluated),
    'ended': np.array(stops.REASONS.index(reason)),
  }
