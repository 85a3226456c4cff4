"""The whole of release.hand_weights in miniature."""

import inspect
import json
import pathlib
import shutil
import types

import jax
import numpy as np
import pytest
from PIL import Image

from configs import gesture as gesture_config
from palmjax.data.hands import hands
from palmjax.images import palm_frame
from palmjax.models import palm_frame as frame_reader
from palmjax.networks import export, shipped
from palmjax.networks import hand as hand_networks
from palmjax.networks import palm_frame as palm_frame_networks
from palmjax.recipes.gesture import palm_frame as palm_frame_stage
from release import hand_measures, hand_runs, hand_weights, made_by

SIZE = 32
DESCRIPTION = {
  'name': 'detector',
  'classes': list(hands.GESTURES),
  'width': 0.25,
  'depth': 0,
  'level': 1,
  'factor': 1,
  'dtype': 'float32',
}
FIVE = hands.GESTURES.index('five')


def draw_batch(key, numbers, *, size, difficulty, **pins):
  """Stands in for `hands.draw_batch`, which takes long to compile."""
  del difficulty
  seed = int(jax.random.key_data(key)[-1])
  count = len(numbers)
  images = np.stack(
    [
      np.random.default_rng([seed, int(n)]).integers(
        0, 256, (size, size, 3), np.uint8
      )
      for n in numbers
    ]
  )
  box = np.array([0.2, 0.1, 0.8, 0.9], np.float32) * size
  points = np.array([[0.4, 0.5], [0.6, 0.5], [0.5, 0.9]], np.float32) * size
  valid = np.arange(3) < 1
  return {
    'image': images,
    'boxes': np.where(valid[:, None], box, 0)[None].repeat(count, 0),
    'classes': np.full((count, 3), pins.get('gesture', 1)),
    'valid': valid[None].repeat(count, 0),
    'points': np.where(valid[:, None, None], points, 0)[None].repeat(count, 0),
    'framed': valid[None].repeat(count, 0),
    'facing': valid[None].repeat(count, 0),
  }


def test_the_real_hands_take_these_arguments():
  inspect.signature(hands.draw_batch).bind(
    *(None, [0]),
    **{'size': 32, 'difficulty': 0.5, 'count': 1, 'gesture': FIVE},
    **{'facing': True, 'angle': [0.0]},
  )


def write_run(directory, **changes):
  """What training leaves, without training."""
  config = gesture_config.get_config('weights')
  config.update_from_flattened_dict(changes)
  directory.mkdir(parents=True)
  (directory / 'config.json').write_text(config.to_json())
  (directory / 'metrics.jsonl').write_text(f'{{"run": "{directory.name}"}}\n')


def after(start, **changes):
  """Of a run that went on from another."""
  return {'train.start': f'{start}/student_alone/export', **changes}


def write_export(run, variables, **changes):
  """The detector that a run trained."""
  export.save(
    run / 'student_alone' / 'export',
    variables=variables,
    model={**DESCRIPTION, **changes},
    preprocess=hand_networks.HandInput(image_size=64).to_json(),
  )


@pytest.fixture(scope='module')
def packed(tmp_path_factory):
  """A finished `release.hand_weights` and its parts."""
  root = tmp_path_factory.mktemp('hands')
  write_run(root / 'first', **{'train.steps': 900})
  start = root / 'first' / 'student_alone' / 'export'
  write_run(
    root / 'run',
    **{
      'data.name': 'yolo',
      'data.dir': f'{root}/boxes',
      'data.repeat': 4,
      'train.start': str(start),
      'arms': ('student_alone', 'student_both'),
    },
  )
  model = hand_networks.build(DESCRIPTION)
  variables = jax.jit(
    lambda key: model.init(key, np.zeros((1, SIZE, SIZE, 3)), train=False)
  )(jax.random.key(0))
  # Boxes of fresh weights are nothing, or less.
  variables['params']['Head_0']['size']['bias'] += 0.25
  write_export(root / 'run', jax.device_get(variables))
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
    patch.setattr(hands, 'draw_batch', draw_batch)
    patch.setattr(hand_measures, 'TIMED', 1)
    hand_weights.main(
      [
        *(f'--run={root}/run', f'--out={root}/out', f'--boxes={root}/boxes'),
        '--credit=images of a test',
        *(f'--size={SIZE}', '--smaller', '0.75', '0.5'),
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
  assert shipped.model == DESCRIPTION
  # What it looks at, not what it was trained on.
  assert shipped.preprocess == {
    **trained.preprocess,
    'image_size': SIZE,
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


def test_a_run_without_a_reader_takes_that_of_the_package(tmp_path):
  (tmp_path / 'run').mkdir()
  folder = hand_weights.pack_reader(
    [tmp_path / 'run'], tmp_path / 'out', commands=[]
  )
  assert folder == shipped.PALM_FRAME
  assert not (tmp_path / 'frame_reader').exists()


TRAIN = ['python', '-m', 'palmjax.main', '--config=configs/gesture.py:weights']
PACK = ['python', '-m', 'release.hand_weights']


@pytest.mark.slow
def test_every_command_of_both_trainings(packed):
  found = made_by.read(packed.out)
  text = (packed.out / 'README.md').read_text()
  assert text == made_by.readme(found)
  assert 'Beside drawn hands it saw images of a test.' in text
  assert [command['argv'] for command in found['commands']] == [
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
  assert [command['seed'] for command in found['commands']] == [0, 0, 7]
  reader = made_by.read(packed.root / 'frame_reader')
  assert reader['commands'] == found['commands']


def test_the_command_of_one_training(tmp_path):
  write_run(tmp_path / 'run')
  assert hand_runs.commands([tmp_path / 'run']) == [
    {'argv': [*TRAIN, '--workdir={workdir}/run'], 'seed': 0}
  ]


def test_trainings_that_no_command_repeats(tmp_path):
  write_run(tmp_path / 'a')
  write_run(tmp_path / 'b', **after(tmp_path / 'a'))
  write_run(tmp_path / 'c', **after(tmp_path / 'b'))
  assert len(hand_runs.commands([tmp_path / 'b'])) == 2
  with pytest.raises(ValueError, match='which went on from another'):
    hand_runs.commands([tmp_path / 'c'])
  path = tmp_path / 'a' / 'config.json'
  path.write_text(path.read_text().replace('"repeat"', '"again"'))
  with pytest.raises(ValueError, match=r'differ in the key data\.again'):
    hand_runs.commands([tmp_path / 'a'])


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
    assert 0.0 <= palms[f'looks={looks}']['frame@5%']['value'] <= 1.0
  assert set(results['ms per image']) == {
    'one view, 32 px',
    'one view, 224 px',
    'all views, 32 px',
    'all views, 224 px',
    'looks=1',
    'looks=2',
    'looks=3',
  }


def test_frames_of_a_network_that_finds_them():
  """A stand-in that is told the truth, 5 % of the palm's width off in x."""
  drawn = draw_batch(
    jax.random.key(0), np.arange(4), size=64, difficulty=0, gesture=FIVE
  )
  drawn['framed'][3] = False

  def detect(images):
    side = images.shape[1]
    assert side == SIZE
    (image,) = images
    # Of a closer look it is not told.
    same = np.abs(image.astype(float).mean() - 127.5) < 20
    centre = np.array([0.5, 0.5, 0.5, 0.5])
    box = np.where(same, [0.2, 0.1, 0.8, 0.9], centre) * side
    points = np.array([[0.42, 0.5], [0.62, 0.5], [0.5, 0.9]]) * side
    return {
      'boxes': box[None, None],
      'scores': np.array([[0.9]]),
      'classes': np.array([[FIVE]]),
      'points': points[None, None],
      'facing': np.array([[0.9]]),
    }

  network = types.SimpleNamespace(
    detect=detect, classes=hands.GESTURES, image_size=SIZE
  )

  def read(images):
    """Says that the frame is where it was looked for."""
    del images
    points = np.array([[-0.5, -0.7], [0.5, -0.7], [0.0, 0.9]])
    return points[None] / palm_frame.SIDE, np.array([0.9])

  reader = types.SimpleNamespace(read=read, image_size=16)
  found = hand_measures.measure_frames(network, reader, drawn)
  assert found['palms'] == 3
  assert found['looks=3']['median'] == pytest.approx(
    found['looks=2']['median'], abs=1e-6
  )
  first = found['looks=1']
  # 0.02 of 0.4: a palm is twice as wide as the distance of its valleys.
  assert first['median'] == pytest.approx(0.05, abs=1e-6)
  assert first['frame@10%']['value'] == 1.0
  assert first['undetected'] == 0.0
  assert first['other hand'] == 0.0
  decided = hand_measures.measure_decisions(network, reader, drawn)
  assert decided['missed']['value'] == 0.0
  assert decided['gesture']['value'] == 1.0
  drawn['classes'][:2] = FIVE - 1
  drawn['boxes'][2] += 40.0
  decided = hand_measures.measure_decisions(network, reader, drawn)
  assert decided['missed']['value'] == 0.25
  assert decided['gesture']['value'] == pytest.approx(1 / 3)
  assert decided['false']['value'] == 0.25


def test_of_several_runs_the_mean_is_shipped(tmp_path):
  write_run(tmp_path / 'first')
  runs = [tmp_path / 'a', tmp_path / 'b']
  for seed, run in enumerate(runs):
    write_run(run, **after(tmp_path / 'first', seed=seed))
    kernel = np.array([1.0, 4.0 * seed], np.float32)
    write_export(run, {'params': {'kernel': kernel}})
  out = tmp_path / 'out'
  hand_weights.pack(runs, out, seed=2)
  shipped = export.load(out)
  kernel = shipped.variables['params']['kernel']
  np.testing.assert_array_equal(kernel, np.array([1.0, 2.0], np.float32))
  assert kernel.dtype == np.float32
  assert sorted(path.name for path in out.iterdir()) == [
    'README.md',
    'made_by.json',
    'model.json',
    'preprocess.json',
    'run0_config.json',
    'run0_training.jsonl',
    'run1_config.json',
    'run1_training.jsonl',
    'start_config.json',
    'start_training.jsonl',
    'weights.npz',
  ]
  commands = made_by.read(out)['commands']
  start = '--config.train.start={workdir}/start/student_alone/export'
  assert [command['argv'] for command in commands] == [
    [*TRAIN, '--workdir={workdir}/start'],
    [*TRAIN, start, '--workdir={workdir}/run0'],
    [*TRAIN, '--config.seed=1', start, '--workdir={workdir}/run1'],
    [
      *(*PACK, '--run={workdir}/run0', '--run={workdir}/run1'),
      *('--out={workdir}/weights/out', '--seed=2'),
    ],
  ]
  assert [command['seed'] for command in commands] == [0, 0, 1, 2]
  assert '`run0_config.json`' in (out / 'README.md').read_text()


def test_runs_that_have_no_mean(tmp_path):
  write_run(tmp_path / 'first')
  write_run(tmp_path / 'alone')
  for name, width in (('a', 0.25), ('b', 0.5), ('alone', 0.25)):
    if name != 'alone':
      write_run(tmp_path / name, **after(tmp_path / 'first'))
    write_export(tmp_path / name, {'kernel': np.zeros(2)}, width=width)

  def refusal(*names):
    with pytest.raises(SystemExit) as stop:
      hand_weights.main(
        [
          f'--out={tmp_path}/out',
          *(f'--run={tmp_path}/{name}' for name in names),
        ]
      )
    assert not (tmp_path / 'out').exists()
    return str(stop.value)

  assert 'went on from different weights' in refusal('a', 'alone')
  assert 'went on from different weights' in refusal('alone', 'alone')
  assert 'b trained another network than' in refusal('a', 'b')
  assert 'nothing' in refusal('nothing')


@pytest.mark.slow
def test_the_reader_of_the_first_run_that_has_one(packed, tmp_path):
  runs = [tmp_path / 'without', packed.root / 'run']
  folder = hand_weights.pack_reader(runs, tmp_path / 'out', commands=[])
  assert folder == tmp_path / 'frame_reader'
  assert '`out/run1_training.jsonl`' in (folder / 'README.md').read_text()


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['--size=100'], '--size=100: give a multiple of 32'),
    (['--size=-32'], '--size=-32: give a multiple of 32'),
    (['--smaller', '0.5', '1'], '--smaller 1: give shares between 0 and 1'),
    (['--smaller', '0'], '--smaller 0: give shares between 0 and 1'),
  ],
)
def test_wrong_sizes(capsys, arguments, message):
  with pytest.raises(SystemExit):
    hand_weights.main(['--run=a', '--out=b', *arguments])
  assert message in capsys.readouterr().err
  assert not pathlib.Path('b').exists()


@pytest.mark.slow
def test_a_run_is_not_measured_with_a_reader_that_was_there(
  packed, tmp_path, monkeypatch
):
  """Another run's reader may lie beside; without a run, it belongs there."""
  used = []

  def measure(out, frames, args):
    del out, args
    used.append(frames)
    return {}

  monkeypatch.setattr(hand_measures, 'measure', measure)
  shutil.copytree(packed.root / 'frame_reader', tmp_path / 'frame_reader')
  shutil.copytree(packed.root / 'run', tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run' / 'frame_reader')
  out = f'--out={tmp_path}/out'
  hand_weights.main([f'--run={tmp_path}/run', out])
  hand_weights.main([out])
  assert used == [shipped.PALM_FRAME, tmp_path / 'frame_reader']
  with pytest.raises(SystemExit, match='is missing; give a folder'):
    hand_weights.main([f'--out={tmp_path}/none'])
