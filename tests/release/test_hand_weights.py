"""The whole of release.hand_weights in miniature."""

import json
import shutil
import types

import jax
import numpy as np
import pytest
from PIL import Image

from palmjax.data.hands import hands
from palmjax.models import palm_frame as frame_reader
from palmjax.networks import export, shipped
from palmjax.networks import hand as hand_networks
from palmjax.networks import palm_frame as palm_frame_networks
from palmjax.recipes.gesture import palm_frame as palm_frame_stage
from release import hand_measures, hand_weights, made_by
from tests.release import small_hand_run


@pytest.fixture(scope='module')
def packed(tmp_path_factory):
  """A finished `release.hand_weights` and its parts."""
  root = tmp_path_factory.mktemp('hands')
  small_hand_run.write_run(root / 'first', **{'train.steps': 900})
  start = root / 'first' / 'student_alone' / 'export'
  small_hand_run.write_run(
    root / 'run',
    **{
      'data.name': 'yolo',
      'data.dir': f'{root}/boxes',
      'data.repeat': 4,
      'train.start': str(start),
      'arms': ('student_alone', 'student_both'),
    },
  )
  model = hand_networks.build(small_hand_run.DESCRIPTION)
  variables = jax.jit(
    lambda key: model.init(
      key,
      np.zeros((1, small_hand_run.SIZE, small_hand_run.SIZE, 3)),
      train=False,
    )
  )(jax.random.key(0))
  # Boxes of fresh weights are nothing, or less.
  variables['params']['Head_0']['size']['bias'] += 0.25
  small_hand_run.write_export(root / 'run', jax.device_get(variables))
  description = {
    'name': palm_frame_stage.NAME,
    'width': 0.25,
    'dtype': 'float32',
  }
  reader = frame_reader.PalmFrameRegressor(width=0.25)
  export.save(
    root / 'run' / palm_frame_stage.NAME / 'export',
    variables=jax.device_get(
      jax.jit(
        lambda key: reader.init(key, np.zeros((1, 16, 16, 3)), train=False)
      )(jax.random.key(0))
    ),
    model=description,
    preprocess=palm_frame_networks.PalmFrameInput(image_size=16).to_json(),
  )
  for part in ('images', 'labels'):
    (root / 'boxes' / 'valid' / part).mkdir(parents=True)
  (root / 'boxes' / 'data.yaml').write_text(
    "train: train/images\nval: valid/images\nnc: 2\nnames: ['two', 'five']\n"
  )
  for name in 'ab':
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(image).save(root / f'boxes/valid/images/{name}.png')
    (root / f'boxes/valid/labels/{name}.txt').write_text('1 .5 .5 .4 .4\n')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(hands, 'draw_batch', small_hand_run.draw_batch)
    patch.setattr(hand_measures, 'TIMED', 1)
    hand_weights.main(
      [
        *(f'--run={root}/run', f'--out={root}/out', f'--boxes={root}/boxes'),
        '--credit=images of a test',
        *(f'--size={small_hand_run.SIZE}', '--smaller', '0.75', '0.5'),
        *('--images=5', '--palms=3', '--seed=7'),
      ]
    )
  return types.SimpleNamespace(root=root, out=root / 'out')


@pytest.mark.slow
def test_what_is_shipped(packed):
  files = {path.name: path.read_bytes() for path in packed.out.iterdir()}
  assert sorted(files) == [
    'README.md',
    'config.json',
    'made_by.json',
    'model.json',
    'preprocess.json',
    'results.json',
    'start_config.json',
    'start_training.jsonl',
    'training.jsonl',
    'weights.npz',
  ]
  assert not [
    name for name, text in files.items() if str(packed.root).encode() in text
  ]
  config = json.loads(files['config.json'])
  assert (config['data']['dir'], config['train']['start']) == ('', '')
  assert config['data']['repeat'] == 4
  assert files['training.jsonl'] == b'{"run": "run"}\n'
  assert files['start_training.jsonl'] == b'{"run": "first"}\n'
  shipped = export.load(packed.out)
  trained = export.load(packed.root / 'run' / 'student_alone' / 'export')
  jax.tree.map(
    np.testing.assert_array_equal, shipped.variables, trained.variables
  )
  assert shipped.model == small_hand_run.DESCRIPTION
  # What it looks at, not what it was trained on.
  assert shipped.preprocess == {
    **trained.preprocess,
    'image_size': small_hand_run.SIZE,
    'smaller': [0.75, 0.5],
  }


@pytest.mark.slow
def test_the_reader_is_shipped_beside_it(packed):
  folder = packed.root / 'frame_reader'
  assert sorted(path.name for path in folder.iterdir()) == [
    'README.md',
    'made_by.json',
    'model.json',
    'preprocess.json',
    'weights.npz',
  ]
  shipped = export.load(folder)
  trained = export.load(packed.root / 'run' / 'frame_reader' / 'export')
  jax.tree.map(
    np.testing.assert_array_equal, shipped.variables, trained.variables
  )
  assert (shipped.model, shipped.preprocess) == (
    trained.model,
    trained.preprocess,
  )
  assert '`out/training.jsonl`' in (folder / 'README.md').read_text()


TRAIN = ['python', '-m', 'palmjax.main', '--config=configs/gesture.py:weights']
PACK = ['python', '-m', 'release.hand_weights']


@pytest.mark.slow
def test_every_command_of_both_trainings(packed):
  record = made_by.read(packed.out)
  text = (packed.out / 'README.md').read_text()
  assert text == made_by.readme(record)
  assert 'Beside drawn hands it saw images of a test.' in text
  assert [command['argv'] for command in record['commands']] == [
    [*TRAIN, '--config.train.steps=900', '--workdir={workdir}/start'],
    [
      *TRAIN,
      "--config.arms=('student_alone', 'student_both')",
      *('--config.data.dir={boxes}', '--config.data.name=yolo'),
      '--config.data.repeat=4',
      '--config.train.start={workdir}/start/student_alone/export',
      '--workdir={workdir}/run',
    ],
    [
      *(*PACK, '--run={workdir}/run', '--out={workdir}/weights/out'),
      *('--seed=7', '--boxes={boxes}', '--credit=images of a test'),
      *('--images=5', '--palms=3', '--size=32', '--smaller', '0.75', '0.5'),
    ],
  ]
  assert [command['seed'] for command in record['commands']] == [0, 0, 7]
  reader = made_by.read(packed.root / 'frame_reader')
  assert reader['commands'] == record['commands']


@pytest.mark.slow
def test_results(packed):
  results = json.loads((packed.out / 'results.json').read_text())
  assert set(results) == {
    'drawn',
    'boxes',
    'open palms',
    'open palms, difficulty 1',
    'ms per image',
  }
  assert results['drawn']['set'] == (
    '5 drawn images, 32 px, difficulty 0.5, seed 7'
  )
  assert results['boxes']['set'].startswith('2 images')
  for name in ('drawn', 'boxes'):
    for metric in ('ap', 'ap50', 'ap50@any', 'fta'):
      assert 0.0 <= results[name][metric]['value'] <= 1.0
    assert set(results[name]['detect']) == {
      'missed',
      'gesture',
      'false',
      'false@empty',
    }
    assert 0.0 <= results[name]['detect']['missed']['value'] <= 1.0
  # Of the classes of the boxes, the ones that the network knows by name.
  assert results['boxes']['ap@class=five']['value'] is not None
  assert results['boxes']['ap@class=two']['value'] is None
  palms = results['open palms']
  assert palms['set'].startswith('3 drawn open palms, any rotation, 64 px')
  assert palms['palms'] == 3
  for looks in (1, 2, 3):
    assert 0.0 <= palms[f'looks={looks}']['palm_frame@5%']['value'] <= 1.0
  assert set(results['ms per image']) == {
    'one pass, 32 px',
    'one pass, 224 px',
    'all passes, 32 px',
    'all passes, 224 px',
    'looks=1',
    'looks=2',
    'looks=3',
  }


@pytest.mark.slow
def test_the_reader_of_the_first_run_that_has_one(packed, tmp_path):
  runs = [tmp_path / 'without', packed.root / 'run']
  folder = hand_weights.pack_reader(runs, tmp_path / 'out', commands=[])
  assert folder == tmp_path / 'frame_reader'
  assert '`out/run1_training.jsonl`' in (folder / 'README.md').read_text()


@pytest.mark.slow
def test_a_run_is_not_measured_with_a_reader_that_was_there(
  packed, tmp_path, monkeypatch
):
  """Another run's reader may lie beside; without a run, it belongs there."""
  used = []

  def measure(out, reader_folder, args):
    del out, args
    used.append(reader_folder)
    return {}

  monkeypatch.setattr(hand_measures, 'measure', measure)
  shutil.copytree(packed.root / 'frame_reader', tmp_path / 'frame_reader')
  shutil.copytree(packed.root / 'run', tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run' / 'frame_reader')
  out = f'--out={tmp_path}/out'
  hand_weights.main([f'--run={tmp_path}/run', out])
  hand_weights.main([out])
  assert used == [shipped.PALM_FRAME, tmp_path / 'frame_reader']
  with pytest.raises(SystemExit, match='there is no such folder; give'):
    hand_weights.main([f'--out={tmp_path}/none'])
