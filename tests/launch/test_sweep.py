import json
import pathlib

import pytest

from launch import sweep

ROOT = pathlib.Path(__file__).parents[2]


def _run(eer, tar):
  return {
    'models': {
      'control': {'eer': {'value': eer}, 'tar@far=1e-3': tar},
      'gan': {'kid@palm': {'value': 0.1}},
    }
  }


def test_mean_and_sample_deviation_over_runs():
  runs = [_run(e, {'value': 0.5}) for e in (0.1, 0.2, 0.3)]
  table = sweep.summarise(runs, ['eer', 'tar@far=1e-3'])
  assert table['control']['eer']['mean'] == pytest.approx(0.2)
  assert table['control']['eer']['std'] == pytest.approx(0.1)
  assert table['control']['eer']['values'] == [0.1, 0.2, 0.3]
  assert 'gan' not in table


def test_what_one_run_could_not_measure_is_no_number():
  missing = {'value': None, 'reason': 'not measurable with 9 pairs'}
  runs = [_run(0.1, {'value': 0.5}), _run(0.2, missing)]
  table = sweep.summarise(runs, ['eer', 'tar@far=1e-3'])
  assert table['control']['tar@far=1e-3'] == {
    'reason': 'not measurable with 9 pairs'
  }
  text = sweep.markdown(table, ['eer', 'tar@far=1e-3'])
  assert '| control | 0.1500 ± 0.0707 | not measurable with 9 pairs |' in text


def test_the_sweep_of_ssl_has_three_seeds():
  module = sweep.load(ROOT / 'configs/ssl.py')
  assert [run['seed'] for run in module.sweep()] == [0, 1, 2]
  assert json.dumps(module.get_config('smoke').to_dict())
