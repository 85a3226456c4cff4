"""The recipe in real processes: what it leaves behind, and after a kill."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from palmjax import detect
from palmjax.data.hands import hands
from palmjax.networks import export as exports
from palmjax.networks import hand as hand_networks
from tests import painted_photos
from tests.recipes import kills

SMOKE = '--config=configs/robust.py:smoke'
ARMS = ('plain', 'ot', 'adversarial')
CONTROLS = ('random', 'distance', 'free')

pytestmark = pytest.mark.slow


def _finish(process):
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  return output


def _rows(workdir, name):
  rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').open()]
  return [row for row in rows if row['stage'] == name]


@pytest.fixture(scope='module')
def run(palmjax_command, tmp_path_factory):
  """The workdir of an undisturbed run."""
  workdir = tmp_path_factory.mktemp('robust')
  _finish(palmjax_command(SMOKE, f'--workdir={workdir}'))
  return workdir


@pytest.fixture(scope='module')
def controls_run(run, palmjax_command, tmp_path_factory):
  """A run of the other arms that may stop at once."""
  del run  # Made first: what it compiled is used again.
  workdir = tmp_path_factory.mktemp('controls')
  _finish(
    palmjax_command(
      SMOKE,
      f'--workdir={workdir}',
      f'--config.arms={CONTROLS}',
      '--config.stop.loss=1e9',
      '--config.train.steps=8',
      '--config.perturb.replays=2',
      '--config.perturb.vector=levels',
      # As the default config has it, of random weights.
      '--config.train.statistics=auto',
    )
  )
  return workdir


def test_metrics_of_all_arms(run):
  results = json.loads((run / 'metrics.json').read_text())
  assert results['models'].keys() == set(ARMS)
  assert results['ended'] == dict.fromkeys(ARMS, 'cap')
  for arm, cells in results['models'].items():
    for radius in (2, 8):
      cell = cells[f'ap50@{radius}/255']
      assert 0 <= cell['low'] <= cell['value'] <= cell['high'] <= 1
      # No attack is better for the detector than none.
      assert cell['value'] <= cells['ap50']['value']
      assert (f'ap50@{radius}/255 - plain' in cells) == (arm != 'plain')
    assert results['worst'][arm].keys() == {'2/255', '8/255'}
  facts = json.loads((run / 'run.json').read_text())
  assert facts['seconds'].keys() == {*ARMS, *(f'attacked_{a}' for a in ARMS)}


def test_arms_see_the_same_images(run):
  """After one update of a warm-up L1 is still nearly that of plain."""
  plain, ot, adversarial = (_rows(run, arm)[0] for arm in ARMS)
  assert plain['clean'] == pytest.approx(ot['clean'], rel=5e-3)
  assert plain['clean'] == pytest.approx(adversarial['clean'], rel=5e-3)
  assert plain['loss'] == plain['clean']
  for row in (ot, adversarial):
    assert row['loss'] == pytest.approx(row['clean'] + row['perturbed'])
  # The step along the gradient of the loss raised it above that of the start.
  assert adversarial['perturbed'] > adversarial['adversarial/loss']
  assert adversarial['perturbed'] > ot['perturbed']
  assert ot['ot/distance'] > 0


def test_a_threshold_that_is_met_in_the_first_epoch_ends_there(controls_run):
  results = json.loads((controls_run / 'metrics.json').read_text())
  assert results['ended'] == dict.fromkeys(CONTROLS, 'threshold')
  for arm in CONTROLS:
    # 24 images, 8 a step; 'free' takes two steps with each batch.
    assert _rows(controls_run, arm)[-1]['step'] == (6 if arm == 'free' else 3)
    export = exports.load(controls_run / arm / 'export')
    assert export.model['ended'] == 'threshold'
    # What the training remembers beside the network is not exported.
    assert export.variables.keys() == {'params', 'batch_stats'}


def test_exports_are_detectors(run):
  image = np.zeros((1, 32, 32, 3), np.uint8)
  for arm in ARMS:
    network = hand_networks.load(run / arm / 'export', passes=True)
    assert network.image_size == 32
    assert network.detect(image)['boxes'].shape == (1, 50, 4)


def test_an_arm_finds_hands_in_photos(run, tmp_path):
  """By the command; nothing is sure after so few steps."""
  photo = tmp_path / 'photo.png'
  Image.fromarray(painted_photos.paint(painted_photos.PALM)).save(photo)
  out, options = tmp_path / 'out', ('--score=0.001', '--looks=1')
  export = f'--export={run}/ot/export'
  assert detect.main([str(photo), export, f'--out={out}', *options]) == 0
  description = json.loads((out / 'photo.json').read_text())
  assert description['hands']
  for hand in description['hands']:
    assert hand['gesture'] in hands.GESTURES
    x0, y0, x1, y1 = hand['box']
    assert -90 <= x0 < x1 <= 180
    assert -60 <= y0 < y1 <= 120


def test_report_is_whole_and_needs_nothing_else(run):
  text = (run / 'report.html').read_text()
  assert re.search('worst attack on each image within 2/255 is', text)
  for words in ('Optimal transport', 'apgd2-margin', 'transfer from ot'):
    assert words in text
  assert '>cap<' in re.sub(r'\s', '', text)
  for words in ('Why trainings ended', 'Transport plans', 'look once at'):
    assert words in text
  # Clean, attacked and the difference, of three arms; x and x* of the training.
  assert text.count('data:image/png') == 4 * 3 * (3 + 1)
  assert 'what they are perturbed to' in text
  assert not re.search(r'(src|href)="https?:', text)


def test_same_bytes_after_sigkill(run, palmjax_command, tmp_path):
  """Killed in the training of an arm, and in its attacks."""
  for begun in ('ot/ckpt/3', 'attacked_ot/stage.json'):
    process = palmjax_command(SMOKE, f'--workdir={tmp_path}')
    kills.kill_after(process, tmp_path / begun, most=1)
  _finish(palmjax_command(SMOKE, f'--workdir={tmp_path}'))
  names = ['metrics.json']
  for arm in ARMS:
    names += [f'{arm}/DONE.json', f'{arm}/export/weights.npz']
  for name in names:
    assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name
