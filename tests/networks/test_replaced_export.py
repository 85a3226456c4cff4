"""Replacing an export: whatever ends it, the old or the new one is whole."""

import contextlib
import json
import os
import pathlib

import numpy as np
import pytest

from palmjax.networks import export

NAMES = ['calibration.json', 'model.json', 'preprocess.json', 'weights.npz']


class KilledError(BaseException):
  """In place of SIGKILL: nothing catches it."""


def save(directory, number):
  export.save(
    directory,
    variables={'params': {'a': np.full(3, number, np.float32)}},
    model={'name': 'mobilefacenet', 'number': number},
    preprocess={'number': number},
  )


def number_of(directory):
  """Of the export that is there; fails where it is mixed or damaged."""
  exported = export.load(directory)
  numbers = {
    exported.model['number'],
    exported.preprocess['number'],
    *exported.variables['params']['a'].tolist(),
  }
  assert len(numbers) == 1
  # Calibrations ask these.
  assert export.digests(directory) == exported.digests
  assert export.recorded_digests(directory) == exported.digests
  return numbers.pop()


@pytest.fixture
def kill_at(monkeypatch):
  """Ends the process after so many files have got their names."""

  def patch(number):
    replace, left = os.replace, [number]

    def counted(*args, **kwargs):
      if left[0] == 0:
        raise KilledError
      left[0] -= 1
      return replace(*args, **kwargs)

    monkeypatch.setattr(os, 'replace', counted)

  yield patch
  monkeypatch.undo()


@pytest.mark.parametrize('calls', range(6))
def test_a_kill_leaves_the_old_or_the_new_export(
  tmp_path, monkeypatch, kill_at, calls
):
  save(tmp_path, 1)
  (tmp_path / 'calibration.json').write_text('{}')
  kill_at(calls)
  if calls < 5:
    with pytest.raises(KilledError):
      save(tmp_path, 2)
  else:  # Two files, the pointer, two names: nothing comes after these.
    save(tmp_path, 2)
  monkeypatch.undo()
  # From the moment on in which model.json is replaced it is the new one.
  assert number_of(tmp_path) == (1 if calls < 3 else 2)
  assert (tmp_path / 'calibration.json').read_text() == '{}'
  # A copy of the folder is as good.
  save(tmp_path, 2)
  assert sorted(os.listdir(tmp_path)) == NAMES
  assert number_of(tmp_path) == 2


@pytest.mark.parametrize('second', range(6))
@pytest.mark.parametrize('first', range(6))
def test_a_kill_after_a_kill(tmp_path, monkeypatch, kill_at, first, second):
  save(tmp_path, 1)
  there = 1
  for number, calls in ((2, first), (3, second)):
    kill_at(calls)
    with contextlib.suppress(KilledError):
      save(tmp_path, number)
    monkeypatch.undo()
    number_there = number_of(tmp_path)
    assert number_there in (there, number)
    there = number_there


@pytest.mark.parametrize('calls', range(5))
def test_a_kill_of_a_first_export(tmp_path, monkeypatch, kill_at, calls):
  kill_at(calls)
  with pytest.raises(KilledError):
    save(tmp_path / 'export', 1)
  monkeypatch.undo()
  if calls < 3:
    with pytest.raises(FileNotFoundError, match=r'model\.json is missing'):
      export.load(tmp_path / 'export')
  else:
    assert number_of(tmp_path / 'export') == 1


def test_a_file_that_nothing_points_to_is_not_read(tmp_path):
  """It may be of a save that was killed, or of anybody."""
  save(tmp_path, 1)
  save(tmp_path / 'other', 2)
  for name in ('weights.npz', 'preprocess.json'):
    content = (tmp_path / 'other' / name).read_bytes()
    (tmp_path / f'{name}.new').write_bytes(content)
  assert number_of(tmp_path) == 1
  # The pointer decides.
  values = json.loads((tmp_path / 'other' / 'model.json').read_text())
  pathlib.Path(tmp_path / 'model.json').write_text(json.dumps(values))
  assert number_of(tmp_path) == 2
