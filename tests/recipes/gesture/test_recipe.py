"""The recipe in real processes: what it leaves behind, and after a kill."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from configs import gesture as gesture_config
from palmjax.data.hands import hands
from palmjax.engine import stage
from palmjax.networks import export
from palmjax.networks import hand as hand_networks
from palmjax.recipes.gesture import scores as gesture_scores
from palmjax.recipes.shared import hand_images
from tests.recipes import kills

SMOKE = '--config=configs/gesture.py:smoke'
TEACHERS = ('teacher1', 'teacher2')
STUDENTS = ('student_alone', 'student_both')
READER = 'frame_reader'


def _finish(process):
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  return output


def _models(workdir):
  return json.loads((workdir / 'metrics.json').read_text())['models']


def _rows(workdir, name):
  rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').open()]
  return [row for row in rows if row['stage'] == name]


@pytest.fixture(scope='module')
def run(palmjax_command, tmp_path_factory):
  """The workdir of an undisturbed run."""
  workdir = tmp_path_factory.mktemp('gesture')
  _finish(palmjax_command(SMOKE, f'--workdir={workdir}'))
  return workdir


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
  """A YOLO set: up to three bright squares of their classes' brightness."""
  root = tmp_path_factory.mktemp('photos')
  (root / 'data.yaml').write_text(f'names: {list(hands.GESTURES)}\n')
  generator = np.random.default_rng(0)
  for part, count in (('train', 24), ('valid', 8)):
    for name in ('images', 'labels'):
      (root / part / name).mkdir(parents=True)
    for i in range(count):
      pixels = generator.integers(0, 60, (50, 50, 3), np.uint8)
      lines = []
      for label in generator.integers(0, 10, 1 + i % 3):
        x, y = generator.integers(0, 30, 2)
        pixels[y : y + 20, x : x + 20] = 80 + 15 * label
        lines.append(f'{label} {(x + 10) / 50} {(y + 10) / 50} .4 .4\n')
      Image.fromarray(pixels).save(root / part / 'images' / f'{i:02}.png')
      (root / part / 'labels' / f'{i:02}.txt').write_text(''.join(lines))
  (root / 'train' / 'images' / '07.png').write_bytes(b'no image')
  return root


@pytest.fixture(scope='module')
def boxes_run(run, palmjax_command, photos, tmp_path_factory):
  """(workdir, its config): boxes of a folder, teachers in place of labels."""
  del run  # Made first: what it compiled is used again.
  workdir = tmp_path_factory.mktemp('boxes')
  config = gesture_config.get_config('smoke')
  changes = {
    'data.name': 'yolo',
    'data.dir': str(photos),
    'data.images': 0,
    'palm_frame.steps': 0,  # No photograph tells a palm frame.
    'arms': ('student_both',),
    'loss.truth': 0.0,
    'teachers.steps': 16,
  }
  config.update_from_flattened_dict(changes)
  arguments = [f'--config.{key}={value}' for key, value in changes.items()]
  _finish(palmjax_command(SMOKE, f'--workdir={workdir}', *arguments))
  return workdir, config


@pytest.mark.slow
def test_metrics_of_all_models(run):
  models = _models(run)
  assert set(models) == {*TEACHERS, *STUDENTS}
  for cells in models.values():
    for name in ('ap', 'ap50', 'ap50@any'):
      cell = cells[name]
      assert 0 <= cell['low'] <= cell['value'] <= cell['high'] <= 1
    for read in ('', '@read'):
      near, far = (cells[f'palm_frame@{n}%{read}']['value'] for n in (5, 10))
      assert 0 <= near <= far <= 1
    assert 0 <= cells['fta']['value'] <= 1
    assert {f'ap@class={name}' for name in hands.GESTURES} <= cells.keys()
  sizes = {name: cells['params']['value'] for name, cells in models.items()}
  assert sizes['student_alone'] == sizes['student_both'] < sizes['teacher1']


@pytest.mark.slow
def test_gain_is_that_over_the_control_of_this_run(run):
  models = _models(run)
  gain = models['student_both']['ap - alone']
  assert gain['value'] == pytest.approx(
    models['student_both']['ap']['value']
    - models['student_alone']['ap']['value'],
    abs=1e-12,
  )
  assert gain['low'] <= gain['value'] <= gain['high']
  others = set(models) - {'student_both'}
  assert not any('ap - alone' in models[name] for name in others)


@pytest.mark.parametrize('arm', ['', 'teachers'])
@pytest.mark.slow
def test_every_column_of_a_sweep_is_measured(run, arm):
  timed = {'ms/image'}  # Of run.json: no two runs take the same time.
  measured = {*gesture_config.columns(arm)} - timed
  assert all(measured <= cells.keys() for cells in _models(run).values())
  facts = json.loads((run / 'run.json').read_text())
  assert set(facts['ms_per_image']) == set(_models(run))
  assert set(facts['seconds']) == {*_models(run), READER}


@pytest.mark.slow
def test_students_learn_from_what_they_are_told(run):
  alone, both = (_rows(run, name) for name in STUDENTS)
  assert alone[0]['loss'] == alone[0]['truth']
  assert not any(name.startswith('teacher') for name in alone[0])
  assert both[0]['loss'] == pytest.approx(
    sum(both[0][name] for name in ('truth', *TEACHERS)), rel=1e-5
  )
  assert both[0]['teacher1/level8'] > 0 < both[0]['teacher2/class']


@pytest.mark.slow
def test_teachers_are_as_they_were_before_the_student(run):
  done = json.loads((run / 'student_both' / 'DONE.json').read_text())
  assert done['inputs'] == {
    name: stage.fingerprint_of(run / name / 'export') for name in TEACHERS
  }
  alone = json.loads((run / 'student_alone' / 'DONE.json').read_text())
  assert alone['inputs'] == {}


@pytest.mark.slow
def test_teachers_are_bigger_and_see_larger_images(run):
  teachers = {name: export.load(run / name / 'export') for name in TEACHERS}
  student = export.load(run / 'student_both' / 'export')
  assert teachers['teacher1'].model['width'] > student.model['width']
  sides = {k: v.preprocess['image_size'] for k, v in teachers.items()}
  assert sides == {'teacher1': 32, 'teacher2': 64}
  assert student.preprocess['image_size'] == 32
  factors = {k: v.model['factor'] for k, v in teachers.items()}
  assert factors == {'teacher1': 1, 'teacher2': 2}
  assert student.model['factor'] == 1


@pytest.mark.slow
def test_report_is_whole_and_needs_nothing_else(run):
  text = (run / 'report.html').read_text()
  assert re.search(
    'AP of the student of both teachers minus that of the student alone is '
    r'[+-]\d+\.\d points in this run \(95 % interval over images: ',
    text,
  )
  for words in ('AP50 of any class', 'Palm frames within 5 %', 'thumb_up'):
    assert words in text
  # True, by the control, by the student: ten pictures of each.
  assert text.count('data:image/png') == 30
  assert text.count('precision-recall curves of Student alone, ') == 3
  assert not re.search(r'(src|href)="https?:', text)


@pytest.mark.slow
def test_boxes_of_a_folder(boxes_run):
  workdir, _ = boxes_run
  models = _models(workdir)
  assert set(models) == {*TEACHERS, 'student_both'}
  for cells in models.values():
    assert cells['palm_frame@5%'] == {
      'value': None,
      'reason': 'not measurable with 0 palm frames',
    }
  assert 'ap - alone' not in models['student_both']
  text = (workdir / 'report.html').read_text()
  assert re.search(r'<h1>Student of both: AP \d', text)
  facts = json.loads((workdir / 'run.json').read_text())
  assert facts['skipped images'] == ['train/images/07.png']


@pytest.mark.slow
def test_teachers_may_learn_for_longer(boxes_run):
  workdir, _ = boxes_run
  for name, steps in (*((name, 16) for name in TEACHERS), (STUDENTS[1], 12)):
    assert _rows(workdir, name)[-1]['step'] == steps, name


@pytest.mark.slow
def test_without_labels_teachers_teach(boxes_run):
  workdir, _ = boxes_run
  rows = _rows(workdir, 'student_both')
  assert not any(name.startswith('truth') for name in rows[0])
  assert rows[0]['loss'] == pytest.approx(
    sum(rows[0][name] for name in TEACHERS), rel=1e-5
  )
  assert 'loss/class' in _rows(workdir, 'teacher1')[0]


@pytest.mark.slow
def test_results_are_those_of_the_export(boxes_run):
  workdir, config = boxes_run
  data = hand_images.load(config, None, workdir / 'drawn')
  look = hand_networks.load(workdir / 'student_both' / 'export', shrink=2)
  assert look.classes == data.classes == hands.GESTURES
  looks = {'student_both': look}
  scores = gesture_scores.score(config, data, looks)
  again = gesture_scores.models(config, scores, looks)['student_both']
  assert again == _models(workdir)['student_both']
  # One image alone gives what it gives among others.
  images = data.tests['']['image']
  alone, among = look.detect(images[:1]), look.detect(images)
  np.testing.assert_allclose(
    alone['scores'][0], among['scores'][0], rtol=1e-3, atol=1e-6
  )


@pytest.mark.slow
def test_same_bytes_after_sigkill(run, palmjax_command, tmp_path):
  process = palmjax_command(SMOKE, f'--workdir={tmp_path}')
  # While a student learns, its teachers being done.
  kills.kill_after(process, tmp_path / 'student_both' / 'stage.json', most=4)
  _finish(palmjax_command(SMOKE, f'--workdir={tmp_path}'))
  names = ['metrics.json']
  for name in (*TEACHERS, *STUDENTS, READER):
    names += [f'{name}/DONE.json', f'{name}/export/weights.npz']
    names += [f'{name}/export/{k}.json' for k in ('model', 'preprocess')]
  for name in names:
    assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name
