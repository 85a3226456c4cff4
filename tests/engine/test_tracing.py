"""Traces that XProf and TensorBoard find, of the iterations asked for."""

import chex
import jax
import jax.numpy as jnp
import pytest

from palmjax.engine import logs, tracing
from tests.engine import small_run


def traces(workdir):
  return sorted(workdir.glob('small/plugins/profile/*/*.xplane.pb'))


def iterations(path):
  """Numbers of the iterations that a trace names, of the loop's own marks."""
  (plane,) = (
    plane
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes
    if plane.name == '/host:CPU'
  )
  return sorted(
    value
    for line in plane.lines
    for event in line.events
    if event.name == 'small'
    for name, value in event.stats
    if name == 'step_num'
  )


def test_the_iterations_that_were_asked_for_are_in_the_trace(tmp_path):
  traced = small_run.run(tmp_path / 'traced', profile=range(5, 8))
  (path,) = traces(tmp_path / 'traced')
  assert iterations(path) == [5, 6, 7]
  plain = small_run.run(tmp_path / 'plain')
  assert traces(tmp_path / 'plain') == []
  chex.assert_trees_all_equal(traced, plain)
  assert logs.read(tmp_path / 'traced/metrics.jsonl') == logs.read(
    tmp_path / 'plain/metrics.jsonl'
  )


def test_a_resumed_run_traces_what_is_left_and_ends_the_same(tmp_path):
  small_run.run(tmp_path, num_steps=6, profile=range(4, 8))
  (first,) = traces(tmp_path)
  assert iterations(first) == [4, 5]
  first.rename(first.with_name('first'))  # A second may be within one second.
  resumed = small_run.run(tmp_path, profile=range(4, 8))
  (second,) = traces(tmp_path)
  assert iterations(second) == [6, 7]
  second.unlink()
  chex.assert_trees_all_equal(resumed, small_run.run(tmp_path / 'whole'))
  # All of it lies behind: nothing is traced.
  small_run.run(tmp_path, num_steps=14, profile=range(4, 8))
  assert traces(tmp_path) == []


def test_a_training_that_fails_leaves_its_trace_and_no_tracer(tmp_path):
  def broken(start):
    yield from zip_short(small_run.batches(start), 3)

  with pytest.raises(ValueError, match='data ended before step 3'):
    small_run.run(tmp_path, batches=broken, profile=range(1, 8))
  (path,) = traces(tmp_path)
  assert iterations(path) == [1, 2]
  # Another can begin: JAX has one tracer.
  small_run.run(tmp_path / 'next', profile=range(1, 2))
  assert traces(tmp_path / 'next')


def zip_short(batches, count):
  return (batch for _, batch in zip(range(count), batches, strict=False))


def test_a_trace_that_cannot_be_written_says_so_in_one_line(tmp_path):
  (tmp_path / 'plugins').write_text('a file')
  trace = tracing.Trace(tmp_path, range(1))
  trace.before(0, jnp.ones(3))
  with pytest.raises(OSError, match=r'\A.*train without a trace\Z'):
    trace.before(1, jnp.ones(3))
