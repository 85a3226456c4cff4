"""Runs of hand trainings: their mean, and their commands."""

import inspect
import pathlib
import types

import jax
import numpy as np
import pytest

from palmjax.data.hands import hands
from palmjax.images import palm_frame
from palmjax.networks import export, shipped
from release import hand_measures, hand_runs, hand_weights, made_by
from tests.release import small_hand_run


def test_the_real_hands_take_these_arguments():
  inspect.signature(hands.draw_batch).bind(
    *(None, [0]),
    **{
      'size': 32,
      'difficulty': 0.5,
      'count': 1,
      'gesture': small_hand_run.FIVE,
    },
    **{'facing': True, 'angle': [0.0]},
  )


def test_a_run_without_a_reader_takes_that_of_the_package(tmp_path):
  (tmp_path / 'run').mkdir()
  folder = hand_weights.pack_reader(
    [tmp_path / 'run'], tmp_path / 'out', commands=[]
  )
  assert folder == shipped.PALM_FRAME
  assert not (tmp_path / 'frame_reader').exists()


TRAIN = ['python', '-m', 'palmjax.main', '--config=configs/gesture.py:weights']
PACK = ['python', '-m', 'release.hand_weights']


def test_the_command_of_one_training(tmp_path):
  small_hand_run.write_run(tmp_path / 'run')
  assert hand_runs.commands([tmp_path / 'run']) == [
    {'argv': [*TRAIN, '--workdir={workdir}/run'], 'seed': 0}
  ]


def test_trainings_that_no_command_repeats(tmp_path):
  small_hand_run.write_run(tmp_path / 'a')
  small_hand_run.write_run(
    tmp_path / 'b', **small_hand_run.after(tmp_path / 'a')
  )
  small_hand_run.write_run(
    tmp_path / 'c', **small_hand_run.after(tmp_path / 'b')
  )
  assert len(hand_runs.commands([tmp_path / 'b'])) == 2
  with pytest.raises(ValueError, match='which went on from another'):
    hand_runs.commands([tmp_path / 'c'])
  path = tmp_path / 'a' / 'config.json'
  path.write_text(path.read_text().replace('"repeat"', '"again"'))
  with pytest.raises(ValueError, match=r'differ in the key data\.again'):
    hand_runs.commands([tmp_path / 'a'])


def test_frames_of_a_network_that_finds_them():
  """A stand-in that is told the truth, 5 % of the palm's width off in x."""
  drawn = small_hand_run.draw_batch(
    jax.random.key(0),
    np.arange(4),
    size=64,
    difficulty=0,
    gesture=small_hand_run.FIVE,
  )
  drawn['framed'][3] = False

  def detect(images):
    side = images.shape[1]
    assert side == small_hand_run.SIZE
    (image,) = images
    # Of a closer look it is not told.
    same = np.abs(image.astype(float).mean() - 127.5) < 20
    centre = np.array([0.5, 0.5, 0.5, 0.5])
    box = np.where(same, [0.2, 0.1, 0.8, 0.9], centre) * side
    points = np.array([[0.42, 0.5], [0.62, 0.5], [0.5, 0.9]]) * side
    return {
      'boxes': box[None, None],
      'scores': np.array([[0.9]]),
      'classes': np.array([[small_hand_run.FIVE]]),
      'points': points[None, None],
      'facing': np.array([[0.9]]),
    }

  network = types.SimpleNamespace(
    detect=detect, classes=hands.GESTURES, image_size=small_hand_run.SIZE
  )

  def read(images):
    """Says that the palm frame is where it was looked for."""
    del images
    points = np.array([[-0.5, -0.7], [0.5, -0.7], [0.0, 0.9]])
    return points[None] / palm_frame.SIDE, np.array([0.9])

  reader = types.SimpleNamespace(read=read, image_size=16)
  errors = hand_measures.measure_palm_frames(network, reader, drawn)
  assert errors['palms'] == 3
  assert errors['looks=3']['median'] == pytest.approx(
    errors['looks=2']['median'], abs=1e-6
  )
  first = errors['looks=1']
  # 0.02 of 0.4: a palm is twice as wide as the distance of its valleys.
  assert first['median'] == pytest.approx(0.05, abs=1e-6)
  assert first['palm_frame@10%']['value'] == 1.0
  assert first['undetected'] == 0.0
  assert first['other hand'] == 0.0
  decided = hand_measures.measure_decisions(network, reader, drawn)
  assert decided['missed']['value'] == 0.0
  assert decided['gesture']['value'] == 1.0
  drawn['classes'][:2] = small_hand_run.FIVE - 1
  drawn['boxes'][2] += 40.0
  decided = hand_measures.measure_decisions(network, reader, drawn)
  assert decided['missed']['value'] == 0.25
  assert decided['gesture']['value'] == pytest.approx(1 / 3)
  assert decided['false']['value'] == 0.25


def test_of_several_runs_the_mean_is_shipped(tmp_path):
  small_hand_run.write_run(tmp_path / 'first')
  runs = [tmp_path / 'a', tmp_path / 'b']
  for seed, run in enumerate(runs):
    small_hand_run.write_run(
      run, **small_hand_run.after(tmp_path / 'first', seed=seed)
    )
    kernel = np.array([1.0, 4.0 * seed], np.float32)
    small_hand_run.write_export(run, {'params': {'kernel': kernel}})
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
  small_hand_run.write_run(tmp_path / 'first')
  small_hand_run.write_run(tmp_path / 'alone')
  for name, width in (('a', 0.25), ('b', 0.5), ('alone', 0.25)):
    if name != 'alone':
      small_hand_run.write_run(
        tmp_path / name, **small_hand_run.after(tmp_path / 'first')
      )
    small_hand_run.write_export(
      tmp_path / name, {'kernel': np.zeros(2)}, width=width
    )

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
