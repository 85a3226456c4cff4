"""How long a training waits for its batches."""

import itertools
import json
import time

import numpy as np
import pytest

from palmjax.engine import feed, loop, mesh
from tests.engine import small_run


class Clock:
  """Seconds that pass only when told."""

  def __init__(self, monkeypatch):
    self.now = 100.0
    monkeypatch.setattr(feed.time, 'monotonic', lambda: self.now)

  def batches(self, seconds):
    """A stream whose every batch takes so long."""

    def start_at(start):
      for step in itertools.count(start):
        self.now += seconds
        yield {'x': np.full((2, 1), step)}

    return start_at


def train(fed, clock, steps, seconds):
  for step in steps:
    assert fed.batch(step)['x'][0, 0] == step
    clock.now += seconds
    fed.settled()
  fed.write()


def test_the_share_is_of_the_time_of_iterations_but_the_first(
  tmp_path, monkeypatch
):
  clock = Clock(monkeypatch)
  (tmp_path / 'net').mkdir()
  fed = feed.Feed(clock.batches(1.0), mesh.make(1), tmp_path / 'net')
  train(fed, clock, [3], 50.0)
  assert feed.shares(tmp_path) == {}
  train(fed, clock, [4, 5], 3.0)
  clock.now += 1000.0  # An evaluation.
  train(fed, clock, [6], 3.0)
  assert json.loads((tmp_path / 'net/input_wait.json').read_text()) == {
    'waiting': 3.0,
    'iterations': 12.0,
  }
  assert feed.shares(tmp_path) == {'net': 0.25}


def test_resumed_runs_add_up(tmp_path, monkeypatch):
  clock = Clock(monkeypatch)
  (tmp_path / 'net').mkdir()
  for wait, start in ((1.0, 0), (5.0, 2)):
    fed = feed.Feed(clock.batches(wait), mesh.make(1), tmp_path / 'net')
    train(fed, clock, [start, start + 1], 7.0)
  # 1 of 8 seconds, then 5 of 12.
  assert feed.shares(tmp_path) == {'net': 0.3}


def test_a_stream_that_ends_gives_nothing(tmp_path):
  fed = feed.Feed(lambda start: iter([]), mesh.make(1), tmp_path)
  assert fed.batch(0) is None


def test_a_training_keeps_its_wait(tmp_path):
  def slow(start):
    for batch in small_run.batches(start):
      time.sleep(0.1)
      yield batch

  step = mesh.jit_step(small_run.descend, mesh.make(1))
  small_run.run(tmp_path, schedule=loop.always(step), batches=slow)
  assert feed.shares(tmp_path)['small'] > 0.5
  seconds = json.loads((tmp_path / 'small/input_wait.json').read_text())
  assert seconds['waiting'] > 11 * 0.1


def test_a_damaged_file_is_named(tmp_path):
  (tmp_path / 'input_wait.json').write_text('{')
  with pytest.raises(ValueError, match=r'input_wait.json is not JSON'):
    feed.Feed(None, mesh.make(1), tmp_path)
