"""Tables of `launch.verifier` from what it measured."""

import json
import types

import numpy as np
import pytest

from launch import verifier
from palmjax.evals import bootstrap


def test_errors_have_a_column_for_each_rate_and_difficulty():
  values = {
    name: {'mean': i / 10}
    for i, name in enumerate(
      f'difficulty {difficulty}: {column}'
      for column in (
        *('eer', 'fnmr@fmr=1e-3', 'fnmr@fmr=1e-4', 'fnmr@fmr=1e-2'),
        *('FMR at its threshold', 'FNMR at its threshold'),
      )
      for difficulty in (0.4, 0.8)
    )
  }
  tables = verifier.tables({'fused': values}, {})
  assert {name: x['mean'] for name, x in tables['errors']['fused'].items()} == {
    'eer, 0.4': 0.0,
    'eer, 0.8': 0.1,
    'fnmr@fmr=1e-3, 0.4': 0.2,
    'fnmr@fmr=1e-3, 0.8': 0.3,
    'fnmr@fmr=1e-4, 0.4': 0.4,
    'fnmr@fmr=1e-4, 0.8': 0.5,
  }
  assert tables['thresholds'] == {
    'fused, difficulty 0.4': {'FMR': {'mean': 0.8}, 'FNMR': {'mean': 1.0}},
    'fused, difficulty 0.8': {'FMR': {'mean': 0.9}, 'FNMR': {'mean': 1.1}},
  }


def test_differences_are_of_two_rates():
  values = {
    f'{column}, 0.4': {'mean': -0.1, 'low': -0.2, 'high': 0.1}
    for column in ('eer', 'fnmr@fmr=1e-3', 'fnmr@fmr=1e-4')
  }
  tables = verifier.tables({}, {'fused, less fine': values})
  (row,) = tables['differences'].values()
  assert list(row) == ['eer, 0.4', 'fnmr@fmr=1e-4, 0.4']


def test_the_command_writes_means_of_the_sets(monkeypatch, tmp_path, capsys):
  labels = np.repeat(np.arange(20), 4)
  same = labels[:, None] == labels
  drawn = []

  def scores_of_set(judge, difficulty, number):
    drawn.append((difficulty, number))
    rng = np.random.default_rng([number, int(10 * difficulty)])
    names = ('network alone', 'fused, no cohort', 'fused, cohort')
    scores = {
      name: rng.normal(size=same.shape) + gap * same
      for gap, name in enumerate(names, start=1)
    }
    return scores, types.SimpleNamespace(threshold=lambda fmr: 2.0)

  monkeypatch.setattr(
    verifier.verifier,
    'load',
    lambda **options: types.SimpleNamespace(threshold=lambda fmr: 1.0),
  )
  monkeypatch.setattr(bootstrap, 'DEFAULT', bootstrap.Resampling(draws=20))
  monkeypatch.setattr(verifier, 'scores_of_set', scores_of_set)
  monkeypatch.setattr(verifier, 'LABELS', labels)
  # A whole run is not lost for a folder that is not there.
  out = tmp_path / 'made' / 'here'
  verifier.main([f'--out={out}', '--commit=1234567'])
  assert drawn == [(d, k) for d in (0.4, 0.6, 0.8) for k in range(4)]
  records = {
    name: json.loads((out / f'verifier_{name}.json').read_text())
    for name in ('errors', 'differences', 'thresholds')
  }
  assert {record['measured_at'] for record in records.values()} == {'1234567'}
  errors = records['errors']['table']
  row = records['differences']['table']['fused, cohort, less network alone']
  # 3,040 pairs of strangers are too few for 1e-3 and 1e-4.
  assert list(row) == ['eer, 0.4', 'eer, 0.6', 'eer, 0.8']
  for column, value in row.items():
    fused, alone = (
      errors[score][column]['mean']
      for score in ('fused, cohort', 'network alone')
    )
    assert value['mean'] == pytest.approx(fused - alone)
    assert value['low'] <= value['mean'] <= value['high'] < 0
  assert 'fused, cohort, difficulty 0.8' in records['thresholds']['table']
  assert 'difficulty 0.8: set 4' in capsys.readouterr().out
