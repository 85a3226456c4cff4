import json

import jax.numpy as jnp
import numpy as np
import pytest

from launch import precision


def counting():
  """Float32 counts by one and bfloat16 by two; the loss is the count."""

  def updates(dtype):
    by = 2 if dtype == jnp.bfloat16 else 1

    def update(state, frozen, batch, key):
      assert frozen is None
      assert batch['image'].shape == (2,)
      return state + by, {'loss': state, 'not judged': state}

    return lambda i: (update,)

  return precision.Training(
    create=lambda start: jnp.float32(1 + start),
    updates=updates,
    images=lambda start: {'image': np.arange(5)},
    batch_size=2,
    judged=('loss',),
  )


def test_steps_and_windows_begin_from_states_in_float32():
  table = precision.compare(counting(), 0, steps=16)
  expected = np.mean(range(1, 17))
  means = {
    'steps': expected,
    # Of 1, 3, … 15 and of 9, 11, … 23.
    'windows': (8 + 16) / 2,
    'free': np.mean(range(1, 32, 2)),
    'other': expected + 0.0001,
  }
  assert set(table) == set(means)
  for column, mean in means.items():
    assert set(table[column]) == {'loss'}
    np.testing.assert_allclose(
      table[column]['loss'], mean / expected - 1, atol=1e-7
    )


def test_the_table_has_means_and_intervals_over_starts(tmp_path, monkeypatch):
  monkeypatch.setitem(precision.KINDS, 'palm', counting)
  precision.main(
    [
      *('--starts=3', '--first=0', '--steps=8', '--kinds', 'palm'),
      *(f'--out={tmp_path}', '--commit=abc'),
    ]
  )
  content = json.loads((tmp_path / 'precision.json').read_text())
  assert content['command'] == (
    'python -m launch.precision --starts=3 --first=0 --steps=8 --kinds palm'
  )
  assert content['measured_at'] == 'abc'
  starts = [
    np.mean(range(1 + s, 17 + s, 2)) / np.mean(range(1 + s, 9 + s)) - 1
    for s in range(3)
  ]
  row = content['table']['palm']['free']['loss']
  np.testing.assert_allclose(row['starts'], starts)
  np.testing.assert_allclose(row['mean'], np.mean(starts))
  # Student's t of two degrees of freedom.
  reach = 4.302653 * np.std(starts, ddof=1) / 3**0.5
  np.testing.assert_allclose(
    row['interval'], [np.mean(starts) - reach, np.mean(starts) + reach]
  )


@pytest.mark.parametrize('wrong', ['--starts=1', '--steps=0'])
def test_too_few_are_refused(wrong, capsys):
  with pytest.raises(SystemExit):
    precision.main([wrong])
  assert 'give 2 or more --starts' in capsys.readouterr().err
