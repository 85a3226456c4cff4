"""Pairs that count, and images that could not be read, without a training."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from configs import metric as metric_config
from palmjax import files
from palmjax.data.sets import prepared as prepare
from palmjax.data.sets.builders import real_sets
from palmjax.engine import stage
from palmjax.evals.recognition import iso19795, verification
from palmjax.recipes.metric import protocols as metric_protocols
from palmjax.recipes.metric import recipe as metric_recipe
from palmjax.recipes.metric import report as metric_report
from palmjax.recipes.shared import controls, palm_images

CONTROLS = ('correlation', 'orientation code')


def _noise(*numbers):
  generator = np.random.default_rng(numbers)
  return generator.integers(0, 256, (20, 20, 3), np.uint8)


def _embed(images):
  rows = images.reshape(len(images), -1).astype(np.float32)
  return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
  'sessions, devices, pairs',
  [
    ([-1] * 6, [''] * 6, {}),
    ([1, 1, 2, 1, 2, 2], [''] * 6, {'sessions': (4, 5)}),
    ([-1] * 6, list('aababb'), {'devices': (4, 5)}),
    ([1, 1, 2, 1, 2, 2], list('aababb'), {'sessions': (4, 5)}),
    (
      [1, 1, 2, 1, 2, 2],
      ['', '', 'b', 'a', 'b', 'c'],
      {'sessions': (4, 5), 'devices': (3, 2)},
    ),
    ([1, 1, 2, 1, 2, 2], [0, 1, 0, 0, 1, 0], {'sessions': (4, 5),
     'devices': (4, 4)}),
  ],
)  # fmt: skip
def test_pairs_across(monkeypatch, sessions, devices, pairs):
  monkeypatch.setattr(
    controls,
    'scores',
    lambda images: dict.fromkeys(CONTROLS, np.eye(len(images))),
  )
  test = metric_protocols.Test(
    name='tongji',
    images=np.stack([_noise(n) for n in range(6)]),
    labels=np.array([0, 0, 0, 1, 1, 1]),
    sessions=np.array(sessions),
    devices=np.array(devices),
    captured=np.array([3, 3]),
    failed=np.array([0, 0]),
  )
  compared = metric_protocols.compare(test, _embed)
  first, second, third, *others = compared.scores
  assert (first, second) == tuple(f'{name}, on tongji' for name in CONTROLS)
  assert third == 'network, on tongji'
  assert {
    name: (
      len(compared.scores[name].genuine),
      len(compared.scores[name].impostor),
    )
    for name in others
  } == {
    f'{model}, on tongji, across {kind}': numbers
    for kind, numbers in pairs.items()
    for model in (*CONTROLS, 'network')
  }
  assert not compared.counted
  assert [*compared.searches] == [
    'network, on tongji',
    *(
      f'network, on tongji, across {kind}'
      for kind in pairs
      if not (kind == 'devices' and '' in devices)  # Only one palm is in both.
    ),
  ]


def test_images_of_a_folder_that_cannot_be_read(tmp_path):
  for k in range(8):
    (tmp_path / f'p{k}').mkdir()
    for n in range(8):
      Image.fromarray(_noise(k, n)).save(tmp_path / f'p{k}' / f'{n}.png')
  for path in ('p0/broken.png', 'p0/again.JPG', 'q/only.bmp'):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_bytes(b'no image')
  # What is no image of an identity has not failed.
  (tmp_path / 'p1' / 'notes.txt').write_text('x')
  (tmp_path / 'p1' / '.hidden.png').write_bytes(b'x')
  (tmp_path / 'p1' / 'folder.png').mkdir()
  (tmp_path / 'loose.png').write_bytes(b'x')

  config = metric_config.get_config('smoke')
  config.data.name, config.data.dir = 'folder', str(tmp_path)
  config.labelled.identities = 4
  data = palm_images.load(config, jax.random.key(0))
  test = metric_protocols.held_out_test(config, data)
  assert test.captured.tolist() == [8] * 8 + [0]
  assert test.failed.tolist() == [2] + [0] * 7 + [1]
  rates = iso19795.failures(test.captured, test.failed)
  assert rates['fte']['value'] == pytest.approx(1 / 9)
  assert rates['fta']['value'] == pytest.approx(2 / 66)


def test_images_of_a_real_set_that_cannot_be_read(tmp_path):
  source = tmp_path / 'polyu'
  source.mkdir()
  for palm in (1, 3, 4):
    for sample in range(1, 15):
      path = source / f'PolyU_{palm:03}_F_{sample:02}.bmp'
      Image.fromarray(_noise(palm, sample)).save(path)
  for name in ('002_F_01', '004_F_01'):
    (source / f'PolyU_{name}.bmp').write_bytes(b'no image')
  directory = real_sets.prepare('polyu', tmp_path / 'sets', source=source)
  test = metric_protocols.other_set(directory, size=16)
  assert test.name == 'polyu'
  assert test.images.shape == (41, 16, 16, 3)
  assert test.captured.tolist() == [14, 0, 14, 13]
  assert test.failed.tolist() == [0, 1, 0, 1]


def test_a_set_without_a_genuine_pair(tmp_path):
  source = tmp_path / 'polyu'
  source.mkdir()
  for palm in (1, 2):
    path = source / f'PolyU_{palm:03}_F_01.bmp'
    Image.fromarray(_noise(palm)).save(path)
  directory = real_sets.prepare('polyu', tmp_path / 'sets', source=source)
  with pytest.raises(ValueError, match='has two images, so no genuine pair'):
    metric_protocols.other_set(directory, size=16)


@pytest.mark.parametrize(
  'stream', [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_devices_of_the_evaluation_are_of_its_images(prepared, stream):
  prepared.data.stream = stream
  loaded = palm_images.load(prepared, jax.random.key(0))
  test = metric_protocols.held_out_test(prepared, loaded)
  data = prepare.load(prepared.data.dir, size=32)
  pictures = [image.tobytes() for image in data.images]
  images = [pictures.index(image.tobytes()) for image in test.images]
  assert len(images) == 6 * 6
  np.testing.assert_array_equal(test.devices, data.devices[images])
  np.testing.assert_array_equal(test.sessions, data.sessions[images])
  assert test.captured.tolist() == [6] * 12
  assert test.failed.tolist() == [0] * 12


def test_a_set_is_tested_once_and_not_trained_on(prepared):
  prepared.evaluation.sets = (prepared.data.dir,)
  data = palm_images.load(prepared, jax.random.key(0))
  with pytest.raises(ValueError, match='drawn_palms is named twice, or is the'):
    metric_recipe.load_tests(prepared, data)
  directory, prepared.data.dir = prepared.data.dir, ''
  prepared.data.name = 'palms'
  assert len(metric_recipe.load_tests(prepared, data)) == 2
  prepared.evaluation.sets = 2 * (directory,)
  with pytest.raises(ValueError, match='drawn_palms is named twice, or is the'):
    metric_recipe.load_tests(prepared, data)


def test_pairs_of_a_large_test_are_counted(monkeypatch):
  monkeypatch.setattr(metric_protocols, 'LISTED', 10)
  labels = np.repeat(np.arange(8), 3)
  generator = np.random.default_rng(0)
  order = generator.permutation(24)
  test = metric_protocols.Test(
    name='',
    images=np.stack([_noise(n) for n in range(24)]),
    labels=labels[order],
    sessions=np.full(24, -1),
    devices=np.full(24, ''),
    captured=np.full(8, 3),
    failed=np.zeros(8, int),
  )
  compared = metric_protocols.compare(test, _embed)
  assert [*compared.scores] == [*CONTROLS, 'network']
  # Lists are of three identities: four have 12 images.
  assert len(compared.test.images) == len(compared.test.labels) == 9
  assert set(compared.test.labels) == {0, 1, 2}
  assert len(compared.scores['network'].genuine) == 9
  assert compared.test.captured.tolist() == [3] * 8
  every = verification.pair_scores(_embed(test.images), test.labels)
  counts, embeddings, counted = compared.counted['network, all counted']
  assert counts.impostor.sum() == len(every.impostor) == 252
  np.testing.assert_allclose(
    np.sort(counts.genuine), np.sort(every.genuine), atol=1e-6
  )
  assert len(embeddings) == len(counted) == 24
  assert len(compared.searches['network, all counted'].mated) == 24
  assert len(compared.searches['network'].mated) == 9


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('listed', [6000, 20])
def test_a_network_that_collapsed_is_reported(monkeypatch, listed):
  """All embeddings are one: no number of it is infinite or missing."""
  monkeypatch.setattr(metric_protocols, 'LISTED', listed)
  labels = np.arange(48) // 4
  test = metric_protocols.Test(
    name='',
    images=np.stack([_noise(n) for n in range(48)]),
    labels=labels,
    sessions=np.full(48, -1),
    devices=np.full(48, ''),
    captured=np.full(12, 4),
    failed=np.zeros(12, int),
  )
  compared = metric_protocols.compare(
    test, lambda images: np.eye(1, 8, dtype=np.float32).repeat(len(images), 0)
  )
  results = metric_recipe.summarise(
    metric_config.get_config('smoke'),
    [compared],
    {0.0: {'value': 0.5}},
    stage.Result('network', None, {'params': 1, 'ended': 'cap'}, ''),
  )
  models = json.loads(files.to_json(results))['models']
  for name in {'network', *compared.counted}:
    assert models[name]['d_prime']['reason'] == 'all scores of a kind are equal'
    assert models[name]['eer']['value'] == pytest.approx(0.5)
  figures = metric_report.histograms(compared.scores).figures
  assert len(figures) == len(compared.scores)
