import json

import jax.numpy as jnp
import numpy as np
import pytest

from launch.precision import __main__ as precision
from launch.precision import compare, trainings


def counting():
  """Float32 counts by one and bfloat16 by two; the loss is the count."""

  def updates(dtype):
    by = 2 if dtype == jnp.bfloat16 else 1

    def update(state, frozen, batch, key):
      assert frozen is None
      assert batch['image'].shape == (2,)
      return state + by, {'loss': state, 'not judged': state}

    return lambda i: (update,)

  return trainings.Training(
    create=lambda start: jnp.float32(1 + start),
    weights=lambda state: [state],
    scale=lambda state, factor: state * factor,
    updates=updates,
    images=lambda start: {'image': np.arange(5)},
    batch_size=2,
    judged=('loss',),
  )


def test_steps_begin_from_states_in_float32():
  table = compare.compare(counting(), 0, steps=16)
  expected = np.mean(range(1, 17))
  means = {
    'steps': {'loss': 0, 'update': 1},
    'free': {'loss': np.mean(range(1, 32, 2)) / expected - 1},
    'scaled': {'loss': 0.0001 / expected},
  }
  assert {column: set(values) for column, values in table.items()} == {
    column: set(values) for column, values in means.items()
  }
  for column, values in means.items():
    for name, value in values.items():
      np.testing.assert_allclose(table[column][name], value, atol=1e-7)


def test_another_column_is_refused():
  with pytest.raises(ValueError, match='fre'):
    compare.compare(counting(), 0, steps=1, columns=('fre',))


def test_the_table_has_means_and_intervals_over_starts(tmp_path, monkeypatch):
  monkeypatch.setitem(trainings.KINDS, 'palm', counting)
  precision.main(
    ['--starts=3', '--kinds', 'palm', f'--out={tmp_path}', '--commit=abc']
  )
  content = json.loads((tmp_path / 'precision.json').read_text())
  assert content['command'] == (
    'python -m launch.precision --starts=3 --kinds palm --out=DIR'
  )
  assert content['measured_at'] == 'abc'
  steps = np.arange(trainings.STEPS)
  starts = [
    100 * (np.mean(1 + s + 2 * steps) / np.mean(1 + s + steps) - 1)
    for s in (100, 101, 102)
  ]
  row = content['table']['palm: loss']['free']
  np.testing.assert_allclose(content['starts']['palm: loss']['free'], starts)
  np.testing.assert_allclose(row['mean'], np.mean(starts))
  # Student's t of two degrees of freedom.
  reach = 4.302653 * np.std(starts, ddof=1) / 3**0.5
  np.testing.assert_allclose(
    [row['low'], row['high']],
    [np.mean(starts) - reach, np.mean(starts) + reach],
  )


def test_one_start_is_refused(capsys, monkeypatch):
  monkeypatch.setattr(precision, 'KINDS', {'palm': counting})
  with pytest.raises(SystemExit):
    precision.main(['--starts=1', '--out=unused'])
  assert '2 or more --starts' in capsys.readouterr().err
