"""The options that the default leaves off, together in one run on a folder."""

import itertools
import json
import types

import jax
import numpy as np
import pytest
from PIL import Image

from configs import ssl as ssl_config
from palmjax.data.palms import palms
from palmjax.engine import mesh, stage
from palmjax.losses import soft_label
from palmjax.recipes.shared import palm_training
from palmjax.recipes.ssl import labels as ssl_labels
from palmjax.recipes.ssl import recipe as ssl_recipe


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
  """24 identities × 4 images of another size than the run's, as PNG files."""
  directory = tmp_path_factory.mktemp('photos')
  images, labels, samples = palms.draw_set(
    jax.random.key(3), np.arange(24), 4, size=32, difficulty=0.3, batch_size=96
  )
  for image, label, sample in zip(images, labels, samples, strict=True):
    folder = directory / f'palm{label:02d}'
    folder.mkdir(exist_ok=True)
    Image.fromarray(image).resize((40, 48)).save(folder / f'{sample}.png')
  (directory / 'palm00' / 'broken.png').write_bytes(b'not an image')
  return directory


@pytest.fixture(scope='module')
def run(palmjax_command, photos, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('options')
  process = palmjax_command(
    '--config=configs/ssl.py:smoke',
    f'--workdir={workdir}',
    '--config.data.name=folder',
    f'--config.data.dir={photos}',
    '--config.cnn.loss=softmax',
    '--config.cnn.steps=20',
    '--config.gan.order=stylegan2',
    '--config.gan.images=photos',
    '--config.gan.steps=24',
    '--config.gan.eval_every=4',
    '--config.gan.patience=1',
    '--config.soft.confidence=True',
    '--config.soft.augment=False',
    '--config.soft.truncation=0.7',
  )
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  return workdir, output


@pytest.mark.slow
def test_the_broken_file_is_named_and_left_out(run):
  workdir, output = run
  assert 'broken.png' in output
  facts = json.loads((workdir / 'run.json').read_text())
  assert facts['skipped images'] == ['palm00/broken.png']


@pytest.mark.slow
def test_the_gan_stops_at_a_plateau_and_keeps_the_best(run):
  workdir, _ = run
  results = json.loads((workdir / 'metrics.json').read_text())['models']['gan']
  rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').open()]
  evaluated = [(r['step'], r['kid@palm']) for r in rows if 'kid@palm' in r]
  steps, distances = zip(*evaluated, strict=True)
  assert results['kept']['value'] == steps[int(np.argmin(distances))]
  # Patience 1: the first evaluation that is no better is the last.
  falling = [b < a for a, b in itertools.pairwise(distances)]
  assert all(falling[:-1])
  assert results['iterations']['value'] == (24 if all(falling) else steps[-1])


@pytest.mark.slow
def test_photographs_have_colour_and_soft_labels_are_distributions(run):
  workdir, _ = run
  images, soft = ssl_labels.read_soft_labels(workdir / 'soft_labels' / 'export')
  assert len(images) == ssl_config.get_config('smoke').soft.images
  assert np.ptp(images.astype(int), axis=-1).max() > 0
  np.testing.assert_allclose(soft.sum(axis=1), 1.0, atol=1e-5)
  model = json.loads((workdir / 'cnn2/export/model.json').read_text())['model']
  assert model['loss'] == 'softmax'


@pytest.mark.slow
def test_the_order_changes_what_is_trained(run):
  workdir, _ = run
  rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').open()]
  # This order regularises at iteration 0 already; the patent's, at its 16th.
  first = next(r for r in rows if r['stage'] == 'gan' and r['kind'] == 'train')
  assert 'd/r1' in first


@pytest.mark.parametrize('confidence', [False, True])
def test_options_of_soft_labels_reach_the_step(monkeypatch, confidence):
  """What CNN-2's step and its batches are made with."""
  config = ssl_config.get_config('smoke')
  config.soft.update(
    confidence=confidence, augment=False, plain_mean=True, weight=0.7
  )
  soft = np.array([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]], np.float32)
  soft = np.tile(soft, (8, 1))
  images = np.zeros((16, 32, 32, 3), np.uint8)
  labelled = types.SimpleNamespace(
    images=images, labels=np.zeros(16, np.int32), identities=('a', 'b')
  )
  made = {}
  monkeypatch.setattr(
    ssl_labels, 'read_soft_labels', lambda path: (images, soft)
  )
  monkeypatch.setattr(
    palm_training, 'train', lambda *_, **given: made.update(given)
  )
  ssl_recipe.train_on_both(
    types.SimpleNamespace(labelled=labelled),
    mesh.make(1),
    stage.Stage(None, 'cnn2', None, None),
    config,
    others=None,
    key=jax.random.key(0),
    soft=None,
  )
  given = made['make_step'].keywords
  assert given['weight'] == 0.7
  assert given['plain_mean'] is True
  assert given['augment_generated'] is False
  batch = next(made['batches'](0))
  assert ('confidence' in batch) == confidence
  if confidence:
    np.testing.assert_allclose(
      batch['confidence'], soft_label.confidence(batch['soft']), rtol=1e-6
    )
    assert np.ptp(np.asarray(batch['confidence'])) > 0.1
