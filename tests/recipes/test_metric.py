"""The recipe in real processes: what it leaves behind, and after a kill."""

import json
import random
import re
import signal
import time

import jax
import numpy as np
import pytest

from configs import metric as metric_config
from palmjax.data import prepare
from palmjax.engine import mesh, stage
from palmjax.evals import verification
from palmjax.recipes import (
  metric,
  metric_checks,
  palm_images,
  palm_network,
  stored_images,
)

# Every kind of loss in one run; left and right, turned in all ways.
ARGUMENTS = (
  '--config=configs/metric.py:smoke',
  '--config.loss.name=softmax+arcface+semi_hard',
  '--config.data.turned=True',
  '--config.data.samples=6',
)


@pytest.fixture(scope='module')
def run(palmjax_command, tmp_path_factory):
  """The workdir of an undisturbed run."""
  workdir = tmp_path_factory.mktemp('metric')
  process = palmjax_command(*ARGUMENTS, f'--workdir={workdir}')
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  return workdir


def _config():
  config = metric_config.get_config('smoke')
  config.data.turned = True
  config.data.samples = 6
  return config


def _evaluation():
  key = stage.stage_key(jax.random.key(0), 'data')
  return palm_images.turned(palm_images.load(_config(), key).evaluation)


def test_results_are_those_of_the_export(run):
  models = json.loads((run / 'metrics.json').read_text())['models']
  part = _evaluation()
  embed = palm_network.load(run / 'network' / 'export').embed
  found = verification.evaluate(
    embed(part.images), part.labels, fars=(), num_bootstrap=100
  )
  network = models['network']
  assert network['eer'] == pytest.approx(found['eer'])
  assert network['eer@erased=0'] == pytest.approx(network['eer'])
  assert 0 <= network['rank1']['value'] <= 1
  assert network['fnmr@fmr=1e-6']['value'] is None
  # Samples 4 and 5 are of a second session: 12 palms × 4 × 2 genuine pairs.
  across = models['network, across sessions']
  assert 'not measurable with' in across['fnmr@fmr=1e-6']['reason']
  assert models['correlation']['eer']['value'] < 0.5


def test_every_stage_was_trained(run):
  rows = [json.loads(line) for line in (run / 'metrics.jsonl').open()]
  rows = [row for row in rows if 'loss/softmax' in row]
  assert rows[0]['loss/softmax'] > 0 == rows[0]['loss/semi_hard']
  assert rows[-1]['loss/semi_hard'] > 0 == rows[-1]['loss/softmax']


def test_the_export_tells_how_to_compare(run):
  export = run / 'network' / 'export'
  preprocess = json.loads((export / 'preprocess.json').read_text())
  assert preprocess['metric'] == 'euclidean'
  model = json.loads((export / 'model.json').read_text())['model']
  assert model['name'] == 'mobilefacenet'
  assert model['loss'] == 'softmax+arcface+semi_hard'


def test_report_has_the_sections_of_the_standard(run):
  text = (run / 'report.html').read_text()
  for words in ('ISO/IEC 19795-1', 'FNIR at FPIR', '20% erased', 'Correlation'):
    assert words in text
  assert not re.search(r'(src|href)="https?:', text)


def test_same_bytes_after_sigkill(run, palmjax_command, tmp_path):
  process = palmjax_command(*ARGUMENTS, f'--workdir={tmp_path}')
  log = tmp_path / 'metrics.jsonl'
  begun = time.monotonic()
  while not log.exists() or log.stat().st_size == 0:
    assert process.poll() is None, process.communicate()[0]
    assert time.monotonic() - begun < 600
    time.sleep(0.02)
  time.sleep(random.SystemRandom().uniform(0, 2))
  process.kill()
  process.communicate()
  assert process.returncode == -signal.SIGKILL
  process = palmjax_command(*ARGUMENTS, f'--workdir={tmp_path}')
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  for name in (
    'metrics.json',
    'network/export/weights.npz',
    'network/export/model.json',
    'network/export/preprocess.json',
  ):
    assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name


def test_turned_identities():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (18, 5, 5, 3)).astype(np.uint8)
  labels = np.repeat(np.arange(9), 2)
  part = palm_images.Part(images, labels, tuple('abcdefghi'), np.zeros(18, int))
  found = palm_images.turned(part).images
  views = {}
  for k in range(8):
    square = found[2 * k, :, :, 0]
    original = images[2 * k, :, :, 0]
    ways = [np.rot90(original, n) for n in range(4)]
    ways += [way[:, ::-1] for way in ways]
    (way,) = [n for n, w in enumerate(ways) if np.array_equal(w, square)]
    views[k] = way
    np.testing.assert_array_equal(
      found[2 * k + 1, :, :, 0],
      [np.rot90(images[2 * k + 1, :, :, 0], n) for n in range(4)][way % 4][
        :, :: -1 if way >= 4 else 1
      ],
    )
  assert sorted(views.values()) == list(range(8))
  np.testing.assert_array_equal(found[16], images[16])  # Identity 8 is way 0.


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('network.name', 'resnet1', "no network 'resnet1'"),
    ('loss.name', 'arkface', 'choose one of softmax'),
    ('cnn.steps', 0, r'cnn\.steps=0: give 1 or more'),
    ('evaluation.occlusion', (1.0,), 'give shares from 0 to below 1'),
    ('evaluation.fmrs', (0.0,), 'give rates between 0 and 1'),
    ('preprocess.contrast', 'global', 'choose one of'),
  ],
)
def test_wrong_settings_are_found_before_anything_is_drawn(key, value, message):
  config = metric_config.get_config('smoke')
  config.update_from_flattened_dict({key: value})
  with pytest.raises(ValueError, match=message):
    metric_checks.check(config, mesh.make(1))


def test_triplets_need_two_images():
  config = metric_config.get_config('smoke')
  config.loss.name = 'mixed'
  config.cnn.images = 1
  with pytest.raises(ValueError, match=r'cnn\.images of 2 or more'):
    metric_checks.check(config, mesh.make(1))


@pytest.fixture
def prepared(tmp_path):
  """A config that reads a prepared set of drawn palms."""
  config = metric_config.get_config('smoke')
  directory = prepare.drawn(
    tmp_path / 'sets',
    identities=12,
    samples=4,
    size=32,
    difficulty=0.2,
    devices=3,
    seed=0,
  )
  config.data.name = 'drawn_palms'
  config.data.dir = directory
  config.data.turned = True
  config.labelled.identities = 0
  config.labelled.images = 0
  return config


def test_a_set_that_stays_on_disk_gives_the_same_images(prepared):
  key = jax.random.key(0)
  held = palm_images.load(prepared, key)
  prepared.data.stream = True
  stored = palm_images.load(prepared, key)
  np.testing.assert_array_equal(
    stored.evaluation.images, held.evaluation.images
  )
  np.testing.assert_array_equal(stored.labelled.labels, held.labelled.labels)
  part, expected = (
    palm_images.turned(palms.labelled) for palms in (stored, held)
  )
  examples = stored_images.Examples(part.images, part.labels)
  assert len(examples) == len(expected.labels)
  for i in range(0, len(examples), 5):
    np.testing.assert_array_equal(examples[i]['image'], expected.images[i])
    assert examples[i]['label'] == expected.labels[i]
  run = palm_network.Run(
    prepared, palm_images.PalmImages(part, part, part, (), ''), mesh.make(1), ''
  )
  batch = next(metric._batches(run, key)(3))
  assert batch['image'].shape == (16, 32, 32, 3)
  found = np.asarray(batch['image'])
  for image, label in zip(found, np.asarray(batch['label']), strict=True):
    of_label = expected.images[expected.labels == label]
    assert any(np.array_equal(image, other) for other in of_label)


def test_streams_are_for_prepared_sets_and_single_images(prepared):
  prepared.data.stream = True
  prepared.loss.name = 'triplet'
  with pytest.raises(ValueError, match='needs batches by identity'):
    metric_checks.check(prepared, mesh.make(1))
  prepared.data.name = 'palms'
  with pytest.raises(ValueError, match='reads prepared sets, not palms'):
    metric_checks.check(prepared, mesh.make(1))
