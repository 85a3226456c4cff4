"""The recipe from end to end: what it leaves behind, and after a kill."""

import json
import re

import numpy as np
import pytest

from configs import distill as distill_config
from palmjax.evals.recognition import verification
from palmjax.networks import palm as palm_networks
from palmjax.recipes.distill import training
from tests.recipes import kills

SMOKE = '--config=configs/distill.py:smoke'
NETWORKS = ('teacher', *training.TEACHERS)

DEVICES = ('device_both', 'device_statistics', 'device_placebo')

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def run(palmjax_command, tmp_path_factory):
  """The workdir of an undisturbed run."""
  workdir = tmp_path_factory.mktemp('distill')
  process = palmjax_command(SMOKE, f'--workdir={workdir}')
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  return workdir


def test_every_column_of_the_sweep_is_measured(run):
  models = json.loads((run / 'metrics.json').read_text())['models']
  times = json.loads((run / 'run.json').read_text())['ms_per_image']
  measured = {name for model in models.values() for name in model}
  # Time is of run.json: no two runs take the same.
  assert {*distill_config.columns()} - {'ms/image'} <= measured
  for name in NETWORKS:
    assert {'eer', 'fnmr@fmr=1e-3', 'params'} <= models[name].keys()
    assert times[name] > 0
  assert {'gap closed', 'eer/student_alone'} <= models[
    training.DISTILLED
  ].keys()


def test_the_last_exit_is_what_the_export_uses(run):
  models = json.loads((run / 'metrics.json').read_text())['models']
  last = models[f'{training.DISTILLED}, exit 3']
  for key in ('eer', 'params'):
    assert last[key] == models[training.DISTILLED][key]
  counts = [
    models[f'{training.DISTILLED}, exit {n}']['params']['value']
    for n in (1, 2, 3)
  ]
  assert counts == sorted(counts)


def test_devices_are_tested_and_exported(run):
  models = json.loads((run / 'metrics.json').read_text())['models']
  for name in ('device_before', 'device_drifted', *DEVICES):
    for rate in ('fnmr', 'fmr'):
      measured = models[name][rate]
      assert 0 <= measured['low'] <= measured['value'] <= measured['high'] <= 1
  for name in DEVICES:
    assert 'recovered' in models[name]
    done = json.loads((run / name / 'DONE.json').read_text())
    history = done['metrics']['sessions']
    assert len(history) == 2
    # Updates were tried, whether they were kept or not.
    assert sum(row['updates'] + row['refused'] for row in history) > 0
  model, _, weights = (
    (run / 'device_both' / 'export' / name).read_bytes()
    for name in ('model.json', 'preprocess.json', 'weights.npz')
  )
  assert b'ended' not in model
  assert (
    weights
    != (run / training.DISTILLED / 'export' / 'weights.npz').read_bytes()
  )


def test_students_differ_in_their_teacher_alone(run):
  rows = [json.loads(line) for line in (run / 'metrics.jsonl').open()]
  first = {
    name: next(row for row in rows if row.get('stage') == name)
    for name in training.TEACHERS
  }
  # The first rows are means of few steps, of equal weights and batches.
  losses = [first[name]['loss/classification'] for name in training.TEACHERS]
  assert np.ptp(losses) < 0.2 * np.mean(losses)
  weights = [
    (run / name / 'export' / 'weights.npz').read_bytes()
    for name in training.TEACHERS
  ]
  assert len({*weights}) == 3


def test_report_can_be_read_alone(run):
  text = (run / 'report.html').read_text()
  for words in (
    'Gap closed',
    'Exits of the distilled student',
    'Placebo',
    'a device',
  ):
    assert words in text
  assert not re.search(r'(src|href)="https?:', text)


def test_exports_embed(run):
  images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
  for name in NETWORKS:
    embeddings = palm_networks.load(run / name / 'export').embed(images)
    scores = verification.pair_scores(embeddings, np.array([0, 0, 1, 1]))
    assert np.isfinite(scores.genuine).all()


def test_same_bytes_after_sigkill(run, palmjax_command, tmp_path):
  process = palmjax_command(SMOKE, f'--workdir={tmp_path}')
  kills.kill_after(process, tmp_path / 'device_both' / 'stage.json', most=1)
  process = palmjax_command(SMOKE, f'--workdir={tmp_path}')
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  stages = NETWORKS + DEVICES
  for name in ('metrics.json', *(f'{n}/export/weights.npz' for n in stages)):
    assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name
