"""Class weights that are split over devices, in the recipe."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from configs import metric as metric_config
from palmjax.engine import mesh as meshes
from palmjax.losses import metric
from palmjax.networks import palm as palm_networks
from palmjax.recipes.metric import class_shards
from palmjax.recipes.metric import losses as metric_losses
from tests.recipes import kills

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def loss():
  return metric_config.get_config('smoke').loss


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('class_share', 0.0, r'class_share=0\.0: give a share above 0'),
    ('class_share', 1.5, r'class_share=1\.5: give a share above 0'),
    (
      'class_shards',
      2,
      r'class_shards: 1 devices cannot be split into 2 equal',
    ),
  ],
)
def test_shards_and_shares_that_are_none_are_refused(loss, key, value, message):
  loss[key] = value
  with pytest.raises(ValueError, match=f'^--config.loss.{message}') as caught:
    class_shards.check(loss, meshes.make(1))
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', ['softmax', 'adaface', 'arcface+semi_hard'])
def test_losses_that_need_all_classes_are_refused(loss, name):
  loss.name = name
  class_shards.check(loss, meshes.make(1))
  loss.class_share = 0.5
  with pytest.raises(ValueError, match='choose normalised or arcface or cosf'):
    class_shards.check(loss, meshes.make(1))


def test_margins_are_those_of_the_logits(loss):
  head = np.eye(2, dtype=np.float32)
  angles = np.linspace(0.1, 3.0, 7)
  embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
  embeddings = embeddings.astype(np.float32)
  labels = np.zeros(7, np.int32)
  section = loss.to_dict() | {'margin': 0.2}
  for name, logits in (
    ('normalised', metric.normalised_logits(embeddings, head, scale=1.0)),
    (
      'arcface',
      metric.arcface_logits(embeddings, head, labels, margin=0.2, scale=1.0),
    ),
    (
      'cosface',
      metric.cosface_logits(embeddings, head, labels, margin=0.2, scale=1.0),
    ),
  ):
    margin = metric_losses.margin(section | {'name': name})
    np.testing.assert_allclose(
      margin(np.float32(np.cos(angles))), logits[:, 0], atol=1e-6
    )


def test_without_shards_nothing_changes(loss):
  mesh = meshes.make(1)
  assert class_shards.split(mesh, loss) is mesh
  assert class_shards.training(loss, mesh, 5)['init_head'] is None


def command(workdir):
  return [
    *(sys.executable, '-m', 'palmjax.main', '--config=configs/metric.py:smoke'),
    '--config.network.name=resnet18_small_gdconv',
    # Of 12 identities each device has 2; the last two devices have none.
    '--config.loss.class_shards=8',
    '--config.loss.class_share=0.5',
    f'--workdir={workdir}',
  ]


def start(workdir):
  flags = os.environ.get('XLA_FLAGS', '')
  return subprocess.Popen(
    command(workdir),
    cwd=ROOT,
    env=os.environ
    | {'XLA_FLAGS': f'{flags} --xla_force_host_platform_device_count=8'},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


@pytest.mark.slow
def test_eight_devices_give_the_same_bytes_after_sigkill(tmp_path):
  whole, killed = tmp_path / 'whole', tmp_path / 'killed'
  process = start(killed)
  kills.kill_after(process, killed / 'metrics.jsonl', most=2)
  for workdir in (killed, whole):
    process = start(workdir)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
  for name in (
    'metrics.json',
    'network/export/weights.npz',
    'network/export/model.json',
  ):
    assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
  network = palm_networks.load(whole / 'network' / 'export')
  assert network.params.keys() == {'backbone'}
  with pytest.raises(ValueError, match='holds the backbone alone'):
    network.classify(np.zeros((1, 32, 32, 3), np.uint8))
  done = json.loads((whole / 'network' / 'DONE.json').read_text())
  assert done['metrics']['classes'] == 12
