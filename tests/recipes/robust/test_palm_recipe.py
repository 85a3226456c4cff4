"""The recipe with palms in real processes: what it leaves, and after a kill."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from palmjax import verify
from palmjax.networks import export as exports
from tests.recipes import kills

ARMS = ('plain', 'ot', 'free')
PALMS = '--config=configs/robust.py:smoke', '--config.task=recognise'
OPTIONS = *PALMS, f'--config.arms={ARMS}'

pytestmark = pytest.mark.slow


def _finish(process):
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output


@pytest.fixture(scope='module')
def run(palmjax_command, tmp_path_factory):
  """The workdir of an undisturbed run."""
  workdir = tmp_path_factory.mktemp('recognise')
  _finish(palmjax_command(*OPTIONS, f'--workdir={workdir}'))
  return workdir


def test_a_run_leaves_metrics_and_a_report(run):
  results = json.loads((run / 'metrics.json').read_text())
  assert results['models'].keys() == set(ARMS)
  assert results['ended'] == dict.fromkeys(ARMS, 'cap')
  for arm, cells in results['models'].items():
    eers = [cells[f'eer@{radius}/255'] for radius in (0, 2, 8)]
    for cell in eers:
      assert 0 <= cell['low'] <= cell['value'] <= cell['high'] <= 1
    values = [cell['value'] for cell in eers]
    assert values == sorted(values)
    assert values[0] < values[-1]
    assert 0 <= cells['fnmr@fmr=1e-1']['value'] <= 1
    assert ('eer@8/255 - plain' in cells) == (arm != 'plain')
    assert results['worst'][arm].keys() == {'2/255', '8/255'}
  rows = [json.loads(line) for line in (run / 'metrics.jsonl').open()]
  plain, ot = (
    next(row for row in rows if row['stage'] == arm) for arm in ARMS[:2]
  )
  assert plain['loss'] == plain['clean']
  assert ot['loss'] == pytest.approx(ot['clean'] + ot['perturbed'])
  assert ot['clean'] == pytest.approx(plain['clean'], rel=5e-3)
  text = (run / 'report.html').read_text()
  for words in ('impersonation', 'apgd2', 'transfer from ot', 'FNMR', 'x*'):
    assert words in text
  assert not re.search(r'(src|href)="https?:', text)


def test_random_weights_need_no_further_option(run, palmjax_command, tmp_path):
  """Their statistics are those that the default config has for them."""
  del run  # Made first: what it compiled is used again.
  _finish(
    palmjax_command(
      *PALMS,
      f'--workdir={tmp_path}',
      "--config.arms=('ot',)",
      '--config.recognise.cnn.statistics=auto',
      '--config.attack.radii=(2,)',
    )
  )
  (model,) = json.loads((tmp_path / 'metrics.json').read_text())['models']
  assert model == 'ot'
  done = json.loads((tmp_path / 'ot' / 'DONE.json').read_text())
  assert done['config']['cnn']['statistics'] == 'joint'
  assert done['config']['perturb']['statistics'] == 'batch'


def test_exports_verify(run, tmp_path, capsys):
  images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
  photos = []
  for number, image in enumerate(images):
    photos.append(tmp_path / f'{number}.png')
    Image.fromarray(image).resize((64, 64)).save(photos[-1])
  for arm in ARMS:
    directory = run / arm / 'export'
    # What the training remembers beside the network is not exported.
    assert exports.load(directory).variables.keys() == {'params', 'batch_stats'}
    assert (directory / 'calibration.json').exists()
  options = f'--export={directory}', '--score=network', '--json'
  verify.main([*map(str, photos), *options])
  answer = json.loads(capsys.readouterr().out)
  assert -1 <= answer['score'] <= 1
  assert answer['decision'] in ('same', 'different')


def test_same_bytes_after_sigkill(run, palmjax_command, tmp_path):
  """Killed in the training of an arm, and in its attacks."""
  command = *OPTIONS, f'--workdir={tmp_path}'
  for begun in ('ot/ckpt/3', 'attacked_ot/stage.json'):
    process = palmjax_command(*command)
    kills.kill_after(process, tmp_path / begun, most=1)
  _finish(palmjax_command(*command))
  names = ['metrics.json']
  for arm in ARMS:
    names += [f'{arm}/DONE.json', f'attacked_{arm}/DONE.json']
    names += [f'{arm}/export/weights.npz', f'{arm}/export/calibration.json']
  for name in names:
    assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name
