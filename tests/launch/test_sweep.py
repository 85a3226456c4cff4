import json
import pathlib
import subprocess

import pytest
from absl import app, flags

from launch import sweep
from palmjax import config_file

ROOT = pathlib.Path(__file__).parents[2]


def test_mean_and_sample_deviation_over_runs():
  rows = [{'eer': {'value': e}} for e in (0.1, 0.2, 0.3)]
  groups = {'control': rows, 'gan': [{'kid@palm': {'value': 0.1}}] * 3}
  table = sweep.summarise(groups, ['eer', 'tar@far=1e-3'])
  assert table['control']['eer']['mean'] == pytest.approx(0.2)
  assert table['control']['eer']['std'] == pytest.approx(0.1)
  assert table['control']['eer']['values'] == [0.1, 0.2, 0.3]
  assert 'gan' not in table


def test_what_one_run_could_not_measure_is_no_number():
  missing = {'value': None, 'reason': 'not measurable with 9 pairs'}
  rows = [
    {'eer': {'value': 0.1}, 'tar@far=1e-3': {'value': 0.5}},
    {'eer': {'value': 0.2}, 'tar@far=1e-3': missing},
  ]
  table = sweep.summarise({'control': rows}, ['eer', 'tar@far=1e-3'])
  assert table['control']['tar@far=1e-3'] == {
    'reason': 'not measurable with 9 pairs'
  }
  text = sweep.markdown(table, ['eer', 'tar@far=1e-3'])
  assert '| control | 0.1500 ± 0.0707 | not measurable with 9 pairs |' in text


def test_intervals_of_all_runs_are_kept():
  cells = [{'value': v, 'low': v - 0.1, 'high': v + 0.1} for v in (0.25, 0.5)]
  rows = [{'ap': cell, 'params': {'value': 7}} for cell in cells]
  table = sweep.summarise({'a': rows, 'b': rows[:1]}, ['ap', 'params'])
  assert table['a']['ap']['intervals'] == [(0.15, 0.35), (0.4, 0.6)]
  assert 'intervals' not in table['a']['params']
  # Of one run there is no deviation.
  assert table['b']['ap'] == {
    'mean': 0.25,
    'values': [0.25],
    'intervals': [(0.15, 0.35)],
  }
  text = sweep.markdown(table, ['ap', 'params'])
  assert '| b | 0.2500 [0.1500, 0.3500] | 7 |' in text


def test_the_sweep_of_ssl_has_three_seeds():
  runs = sweep.runs_of(str(ROOT / 'configs/ssl.py'))
  assert [run['seed'] for run in runs] == [10, 11, 12]
  with pytest.raises(ValueError, match='no such variant; choose'):
    sweep.runs_of(f'{ROOT / "configs/ssl.py"}:fast')
  columns = sweep.columns_of(str(ROOT / 'configs/ssl.py'))
  assert columns == ['eer', 'eer/control', 'tar@far=1e-2', 'tar@far=1e-3']


@pytest.mark.parametrize('name', ['losses', 'backbones', 'attention'])
def test_sweeps_of_metric_change_what_the_config_has(name):
  path = ROOT / 'configs/metric.py'
  rows = {}
  for overrides in sweep.runs_of(f'{path}:{name}'):
    rows.setdefault(overrides.pop('row'), []).append(overrides.pop('seed'))
    config = config_file.read(f'{path}:{name}')
    config.update_from_flattened_dict(overrides)
  assert all(seeds == [0, 1, 2] for seeds in rows.values())
  assert len(rows) >= 2


def test_only_the_network_without_batch_norm_learns_slower():
  runs = sweep.runs_of(f'{ROOT / "configs/metric.py"}:backbones')
  rates = {run['network.name']: run.get('cnn.learning_rate') for run in runs}
  assert rates.pop('vgg16') == 0.01
  assert set(rates.values()) == {None}


def test_columns_of_a_sweep_of_metric():
  path = ROOT / 'configs/metric.py'
  assert sweep.columns_of(f'{path}:backbones') == [
    'eer',
    'fnmr@fmr=1e-3',
    'params',
    'ms/image',
  ]
  assert sweep.columns_of(f'{path}:attention')[1] == 'eer@erased=0.1'
  with pytest.raises(ValueError, match=r'metric\.py:smoke is no sweep'):
    sweep.columns_of(f'{path}:smoke')


def test_an_unknown_sweep_is_named():
  with pytest.raises(ValueError, match=r'metric\.py: is no sweep'):
    sweep.runs_of(str(ROOT / 'configs/metric.py'))


CONFIG = """
import ml_collections

def get_config(arg=''):
  return ml_collections.ConfigDict({
    'seed': 0, 'loss': {'name': '', 'boundaries': (1, 2)}, 'arg': arg
  })

def sweep(arg=''):
  return [
    {'row': arm, 'loss.name': arm, 'seed': seed}
    for arm in ('a', 'b') for seed in (0, 1)
  ]

def columns(arg=''):
  return {'x': ['eer', 'params', 'ms/image']}[arg]
"""


@pytest.fixture
def runs(tmp_path, monkeypatch):
  """A sweep of two arms; returns the commands that ran and its workdir."""
  config = tmp_path / 'config.py'
  config.write_text(CONFIG)
  commands = []

  def run(command, check):
    assert check is False
    options = dict(arg.split('=', 1) for arg in command[3:])
    commands.append(options)
    workdir = pathlib.Path(options['--workdir'])
    workdir.mkdir(parents=True, exist_ok=True)
    eer = {'a': 0.1, 'b': 0.3}[options['--config.loss.name']]
    eer += 0.02 * int(options['--config.seed'])
    network = {'eer': {'value': eer}, 'params': {'value': 12_345}}
    models = {'network': network, 'correlation': {}}
    (workdir / 'metrics.json').write_text(json.dumps({'models': models}))
    (workdir / 'run.json').write_text(json.dumps({'ms_per_image': 2.0}))
    return subprocess.CompletedProcess(command, 0)

  monkeypatch.setattr(subprocess, 'run', run)
  # Not by parsing: flags of other programs, tested beside it, are required.
  flags.FLAGS.mark_as_parsed()
  for name, value in (
    ('config', f'{config}:x'),
    ('workdir', str(tmp_path / 'out')),
  ):
    monkeypatch.setattr(flags.FLAGS[name], 'value', value)
  return commands, tmp_path / 'out'


def test_rows_of_a_sweep(runs, capsys):
  commands, workdir = runs
  sweep.main([])
  assert len(commands) == 4
  assert commands[1]['--workdir'] == str(workdir / 'loss.name=a_seed=1')
  table = (workdir / 'table.md').read_text()
  assert '| a | 0.1100 ± 0.0141 | 12,345 ± 0 | 2.0000 ± 0.0000 |' in table
  assert '| b | 0.3100 ± 0.0141 | 12,345 ± 0 | 2.0000 ± 0.0000 |' in table
  assert table in capsys.readouterr().out


def test_a_file_for_the_docs(runs, monkeypatch, tmp_path):
  _, workdir = runs
  out = tmp_path / 'record.json'
  for name, value in (
    ('table', str(out)),
    ('commit', '0123abc'),
    ('override', ['loss.boundaries=(3,)']),
  ):
    monkeypatch.setattr(flags.FLAGS[name], 'value', value)
  sweep.main([])
  content = json.loads(out.read_text())
  assert content['command'] == (
    f'python -m launch.sweep --config {flags.FLAGS["config"].value} '
    f'--workdir {workdir} --override loss.boundaries=(3,)'
  )
  assert content['runs'] == 'seeds 0, 1'
  assert content['measured_at'] == '0123abc'
  assert content['table']['a']['eer']['values'] == [0.1, 0.12]
  assert content['table']['a']['eer']['std'] == 0.014142


@pytest.mark.parametrize('only', ['ot', 'network'])
def test_a_row_is_the_only_model_of_its_runs(runs, monkeypatch, only):
  _, workdir = runs
  models = {only: {'eer': {'value': 0.1}}}
  monkeypatch.setattr(sweep, 'read', lambda directory: models)
  sweep.main([])
  assert '| a | 0.1000 ± 0.0000 |' in (workdir / 'table.md').read_text()


def test_every_model_may_have_a_time(tmp_path):
  models = {name: {'ap': {'value': 0.5}} for name in ('a', 'b', 'b, drawn')}
  (tmp_path / 'metrics.json').write_text(json.dumps({'models': models}))
  facts = {'ms_per_image': {'a': 2.0, 'b': 3.5}}
  (tmp_path / 'run.json').write_text(json.dumps(facts))
  rates = sweep.read(tmp_path)
  assert rates['a'] == {'ap': {'value': 0.5}, 'ms/image': {'value': 2.0}}
  assert rates['b']['ms/image'] == {'value': 3.5}
  assert rates['b, drawn'] == {'ap': {'value': 0.5}}
  (tmp_path / 'run.json').write_text('{}')
  assert sweep.read(tmp_path) == models


def test_other_columns_may_be_asked_for(runs, monkeypatch):
  _, workdir = runs
  monkeypatch.setattr(flags.FLAGS['metrics'], 'value', ['ms/image', 'eer'])
  sweep.main([])
  table = (workdir / 'table.md').read_text()
  assert table.startswith('| model | ms/image | eer |')
  assert '| a | 2.0000 ± 0.0000 | 0.1100 ± 0.0141 |' in table


@pytest.mark.parametrize(
  'config,message',
  [
    ('none.py', 'none.py; give its path, or one of'),
    ('ssl:fast', 'no such variant'),
  ],
)
def test_a_wrong_config_ends_in_one_line(runs, monkeypatch, config, message):
  monkeypatch.setattr(flags.FLAGS['config'], 'value', config)
  with pytest.raises(SystemExit, match=f'^sweep: .*{message}'):
    sweep.main([])


def test_an_argument_that_nobody_reads_is_named(runs):
  with pytest.raises(app.UsageError, match=r'seed=1 is no argument'):
    sweep.main(['sweep', 'seed=1'])


def test_a_failed_run_ends_the_sweep(runs, monkeypatch):
  monkeypatch.setattr(
    subprocess,
    'run',
    lambda command, check: subprocess.CompletedProcess(command, 1),
  )
  with pytest.raises(SystemExit, match='seed=0 failed'):
    sweep.main([])


def test_a_stopped_run_can_be_resumed(runs, monkeypatch):
  monkeypatch.setattr(
    subprocess,
    'run',
    lambda command, check: subprocess.CompletedProcess(command, 0),
  )
  with pytest.raises(SystemExit, match='the same command resumes'):
    sweep.main([])


def test_a_finished_run_of_this_config_is_not_run_again(runs):
  commands, workdir = runs
  sweep.main([])
  first = workdir / 'loss.name=a_seed=0'
  config = {'seed': 0, 'loss': {'name': 'a', 'boundaries': [1, 2]}, 'arg': 'x'}
  (first / 'config.json').write_text(json.dumps(config))
  sweep.main([])
  assert len(commands) == 4 + 4  # Without its report it is not finished.
  (first / 'report.html').touch()
  sweep.main([])
  assert len(commands) == 8 + 3
  (first / 'config.json').write_text(json.dumps({**config, 'arg': 'y'}))
  sweep.main([])
  assert len(commands) == 11 + 4
