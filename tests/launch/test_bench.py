"""The command of the timings, on few palms."""

import functools
import json
import pathlib
import types

import jax
import jax.numpy as jnp
import optax
import pytest

from configs import metric as metric_config
from configs import robust as robust_config
from launch.bench import __main__ as bench
from launch.bench import codes, galleries, identities, perturbed, timing
from launch.bench.pytorch import table as pytorch_table
from palmjax.data.hands import hands
from palmjax.inference import verifier
from palmjax.steps import perturbed_tasks, robust


def test_an_unknown_subject_is_refused(capsys):
  with pytest.raises(SystemExit) as ended:
    bench.main(['codes', 'planets'])
  assert ended.value.code == 2
  error = capsys.readouterr().err
  assert "no subject 'planets': choose of drawing, pairs, codes" in error


def test_lines_are_written_as_json(monkeypatch, tmp_path, capsys):
  monkeypatch.setattr(codes, 'MANY', 3)
  options = ['--repeats=1', f'--out={tmp_path}', '--commit=abcdef0']
  bench.main(['codes', *options])
  record = json.loads((tmp_path / 'bench.json').read_text())
  assert record['command'] == 'python -m launch.bench codes'
  assert record['measured_at'] == 'abcdef0'
  rows = record['rows']['codes']
  lines = capsys.readouterr().out.splitlines()
  names = [line[:36].strip() for line in lines]
  assert [row['name'] for row in rows] == [name for name in names if name]
  assert rows[0]['bytes'] == 2048
  assert rows[2]['unit'] == 'images/s'
  assert rows[2]['rate'] == pytest.approx(1 / rows[2]['seconds'])
  table = record['table']
  assert table.keys() == {row['name'] for row in rows[2:]}
  pair = table['one pair, both directions, fine']
  assert pair == {
    'seconds': {'mean': rows[3]['seconds']},
    'goal': {'mean': 0.01},
  }


def test_a_goal_of_images_a_second_is_a_time_in_the_table():
  row = timing.report('eight images', (9.0, 2.0), 8)
  faster = timing.goal(row, 16)
  assert timing.table([faster, timing.report_size('a file', 7)]) == {
    'eight images': {'seconds': {'mean': 2.0}, 'goal': {'mean': 0.5}}
  }


def test_codes_have_their_lines(monkeypatch, capsys):
  monkeypatch.setattr(codes, 'MANY', 3)
  bench.main(['codes', '--repeats=1'])
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].split() == ['template,', 'one', 'code', '2,048', 'bytes']
  names = [line[:36].strip() for line in lines[2:]]
  assert [name for name in names if name] == [
    'codes of a palm and of its turns',
    'one pair, both directions, fine',
    '3 × 3 palms, fine',
    'one pair, both directions, wide6',
    '3 × 3 palms, wide6',
  ]
  assert 'goal 15 s: ' in lines[4 + 2]


def test_steps_on_perturbed_images_are_compared_with_a_plain_one(
  monkeypatch, tmp_path, capsys
):
  """'distance' takes 3 ticks of the clock, a plain step 1; 'ot' has a goal."""
  ticks = {'plain': 1.0, 'ot': 2.5, 'distance': 3.0, 'adversarial': 2.0}
  now = [0.0]

  def step(arm):
    now[0] += ticks[arm]

  monkeypatch.setattr(perturbed.time, 'perf_counter', lambda: now[0])
  monkeypatch.setattr(
    perturbed,
    'make_steps',
    lambda config, arms: {arm: functools.partial(step, arm) for arm in arms},
  )
  options = ['--repeats=2', f'--out={tmp_path}', '--commit=abcdef0']
  bench.main(['perturbed', *options, '--arms=ot,distance,adversarial'])
  assert '3.00 × plain' in capsys.readouterr().out
  record = json.loads((tmp_path / 'perturbed.json').read_text())
  assert record['measured_at'] == 'abcdef0'
  assert record['table'] == {
    'ot': {'time / plain': {'mean': 2.5}, 'goal': {'mean': 3.2}},
    'distance': {'time / plain': {'mean': 3.0}},
    'adversarial': {'time / plain': {'mean': 2.0}},
  }
  # Each further arm compiles for minutes.
  bench.main(['perturbed', *options])
  record = json.loads((tmp_path / 'perturbed.json').read_text())
  assert record['table'].keys() == {'ot'}


@pytest.mark.parametrize('arm', ['ott', 'plain'])
def test_an_arm_that_is_none_or_the_control_is_refused(arm, capsys):
  with pytest.raises(SystemExit):
    bench.main(['perturbed', f'--arms=ot,{arm}'])
  error = capsys.readouterr().err
  assert f"no arm '{arm}': choose of random, distance, ot" in error


def test_a_folder_that_is_not_there_is_told_before_anything_is_timed(
  capsys, tmp_path
):
  with pytest.raises(SystemExit):
    bench.main(['perturbed', f'--out={tmp_path}/none'])
  assert 'there is no such folder; make it' in capsys.readouterr().err


@pytest.mark.parametrize('argv', [['pytorch'], ['training', '--peer=torch']])
def test_missing_pytorch_is_told_before_anything_is_timed(
  argv, capsys, monkeypatch
):
  monkeypatch.setattr(bench.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(SystemExit):
    bench.main(argv)
  assert 'pip install torch' in capsys.readouterr().err


def test_ratios_to_pytorch_become_the_table_of_the_docs():
  root = pathlib.Path(__file__).parents[2]
  names = 'mobilefacenet', 'resnet18_small', 'resnet50', 'detector', 'gan'
  rows = [
    {'name': f'{name}, 8 px × 2', 'ratio': 0.501 + i / 10}
    for i, name in enumerate(names)
  ]
  made = pytorch_table.content(rows, repeats=3, commit='abc', torch='2.0')
  shown = json.loads((root / 'docs/results/torch.json').read_text())
  assert list(made) == list(shown)
  assert list(made['table']) == list(shown['table'])
  for name, row in shown['table'].items():
    assert made['table'][name].get('goal') == row.get('goal')
  assert made['table']['ResNet-18']["time / PyTorch's"] == {'mean': 0.6}
  assert 'goal' not in made['table']['ResNet-50']
  assert made['command'].endswith('pytorch --repeats=3 --out=DIR')
  assert 'torch 2.0; mobilefacenet, 8 px × 2; ' in made['runs']


def test_noise_is_annotated_as_drawn_hands_are():
  noise = perturbed.annotated_noise(2, 32)
  drawn = jax.eval_shape(
    lambda: hands.draw_batch(jax.random.key(0), jnp.arange(2), size=32)
  )
  assert noise.keys() == drawn.keys()
  for name, array in noise.items():
    assert (array.shape, array.dtype) == (drawn[name].shape, drawn[name].dtype)


def test_perturbed_steps_have_the_options_of_the_config(monkeypatch):
  """Loss, vector and weight are those that a run of the recipe has."""
  seen = {}
  monkeypatch.setattr(
    perturbed_tasks, 'detector', lambda model, **kw: seen.update(kw)
  )
  monkeypatch.setattr(robust, 'make_step', lambda *a, **b: seen.update(b))
  monkeypatch.setattr(perturbed.meshes, 'jit_step', lambda *a, **b: print)
  # Momentum is 50 shapes of zeros, each a program.
  monkeypatch.setattr(
    perturbed.hand_settings, 'optimiser', lambda section: optax.sgd(0.1)
  )
  config = robust_config.get_config()
  config.update_from_flattened_dict(
    {'loss.radius': 'fixed', 'loss.cells': 1, 'train.weight': 0.5}
  )
  assert perturbed.make_steps(config, ['plain', 'ot']).keys() == {'plain', 'ot'}
  assert (seen['radius'], seen['cells']) == ('fixed', 1)
  assert (seen['vector'], seen['weight']) == (config.perturb.vector, 0.5)


@pytest.mark.slow
def test_a_step_with_many_identities_has_its_lines(monkeypatch, capsys):
  monkeypatch.setattr(identities, 'IDENTITIES', 40)
  monkeypatch.setattr(identities, 'SHARES', (0.5,))
  config = metric_config.get_config('smoke')
  # Of all backbones this one compiles fastest.
  config.network.name = 'resnet18_small_gdconv'
  measured = identities.compare(config, (1,), 1)
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].split()[-2:] == [f'{2 * 40 * 32 * 4:,}', 'bytes']
  assert lines[2] == 'devices 1, classes 50%: 1.00 of the time of the first'
  assert identities.table(measured)['devices 1, classes 50%'] == {
    'state, MB': {'mean': 0.0},
    'step, MB': {'mean': round(measured.popitem()[1]['step'] / 1e6, 1)},
    'time / first': {'mean': 1.0},
  }


def test_simulated_devices_are_for_a_process_of_their_own(capsys):
  with pytest.raises(SystemExit):
    bench.main(['codes', 'identities'])
  assert 'identities: run it alone' in capsys.readouterr().err


def test_a_gallery_is_enrolled_kept_and_searched(monkeypatch, capsys):
  monkeypatch.setattr(galleries, 'PALMS', 2)
  load = functools.partial(verifier.load, turns=False)
  monkeypatch.setattr(verifier, 'load', load)
  rows = list(galleries.run(types.SimpleNamespace(repeats=1)))
  lines = capsys.readouterr().out.splitlines()
  assert [line[:36].strip() for line in lines] == [
    'enrolling 2 palms',
    'their file',
    'reading the file of 2 palms',
    'one probe in a gallery of 2',
    '',
  ]
  names = [line[:36].strip() for line in lines[:-1]]
  assert [row['name'] for row in rows] == names
