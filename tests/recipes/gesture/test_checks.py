"""Settings that cannot work, and variants that can."""

import pytest

from configs import gesture as gesture_config
from palmjax.engine import mesh
from palmjax.recipes.gesture import checks as gesture_checks
from palmjax.recipes.gesture import recipe as gesture_recipe


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('log_every', 0, 'log_every=0: give 1 or more'),
    ('image_size', 40, 'image_size=40: give a multiple of 32'),
    ('num_devices', 99, 'devices'),
    ('dtype', 'fp16', r'dtype=fp16: choose one of'),
    ('arms', (), r'arms=\(\): choose from'),
    ('arms', ('teacher1',), r"arms=\('teacher1',\): choose from"),
    ('resolution.factor', 1, r'factor=1: teacher 2 needs images at least 2'),
    ('resolution.factor', 0, r'resolution\.factor=0: give 1 or more'),
    ('resolution.level', 0, r'resolution\.level=0: give 1 or more'),
    ('resolution.level', 6, r'resolution\.level=6: give 1 to 5'),
    ('data.name', 'internet', 'data.name=internet: choose one of hands, yolo'),
    ('data.name', 'coco', 'data.name=coco needs --config.data.dir=DIR'),
    ('data.bad', 'keep', 'data.bad=keep: choose one of clip, refuse'),
    ('data.images', 0, r'data\.images=0: give 1 or more'),
    ('data.evaluation_images', 0, r'evaluation_images=0: give 1 or more'),
    ('data.difficulty', 1.5, r'difficulty=1\.5: give a number from 0 to 1'),
    ('data.repeat', 0, r'data\.repeat=0: give 1 or more'),
    ('data.palms', 1.5, r'palms=1\.5: give a number from 0 to 1'),
    ('data.detail', 2.5, r'detail=2\.5: give a number from 1 to 2'),
    ('data.detail', 1.5, 'for closer looks: give --config.augment.closer'),
    ('data.repeat', 2, 'repeat=2 repeats the images of a folder'),
    ('augment.closer', 1.5, r'augment\.closer=1\.5: give a probability'),
    ('augment.grey', 1.5, r'augment\.grey=1\.5: give a probability'),
    ('augment.scale', -0.1, r'augment\.scale=-0\.1: give 0 or more'),
    ('loss.form', 'cosine', 'loss.form=cosine: choose one of plain'),
    ('loss.below', 'keep', 'loss.below=keep: choose one of pool, skip'),
    ('loss.radius', 'wide', 'loss.radius=wide: choose one of published'),
    ('loss.truth', -1.0, 'give two weights of 0 or more'),
    ('loss.teachers', (1.0,), 'give two weights of 0 or more'),
    ('loss.teachers', (1.0, -1.0), 'give two weights of 0 or more'),
    ('teachers.steps', -1, r'teachers\.steps=-1: give 0 or more'),
    ('teachers.steps', 2, 'a warm-up of 2 steps'),
    ('train.steps', 0, r'train\.steps=0: give 1 or more'),
    ('train.ckpt_every', 0, r'train\.ckpt_every=0: give 1 or more'),
    ('train.warmup_steps', 12, 'a warm-up of 12 steps'),
    ('train.learning_rate', 0.0, r'learning_rate=0\.0: give a number above 0'),
    ('palm_frame.steps', -1, r'palm_frame\.steps=-1: give 0 or more'),
    ('palm_frame.image_size', 40, r'image_size=40: give a multiple of 16'),
    ('palm_frame.batch_size', 0, r'palm_frame\.batch_size=0: give 1 or more'),
    ('palm_frame.warmup_steps', 8, 'a warm-up of 8 steps'),
    ('palm_frame.angle', -1.0, r'palm_frame\.angle=-1\.0: give 0 or more'),
    ('evaluation.score', -0.1, r'score=-0\.1: give a number from 0 to 1'),
    ('student.width', -1.0, r'student\.width=-1\.0: give a number above 0'),
    ('palm_frame.width', 0.0, r'palm_frame\.width=0\.0: give a number above 0'),
    ('evaluation.resamples', 0, r'resamples=0: give 1 or more'),
  ],
)
def test_settings_that_cannot_work_are_refused_at_once(
  tmp_path, key, value, message
):
  config = gesture_config.get_config('smoke')
  config.update_from_flattened_dict({key: value})
  with pytest.raises(ValueError, match=message) as caught:
    gesture_recipe.run(config, tmp_path)
  assert '\n' not in str(caught.value)
  # Nothing was begun, and the corrected config may use the same workdir.
  assert {path.name for path in tmp_path.iterdir()} <= {'.lock'}


def test_a_reader_needs_drawn_hands(tmp_path):
  config = gesture_config.get_config('smoke')
  config.data.name, config.data.dir = 'yolo', str(tmp_path)
  config.data.images = 0
  with pytest.raises(
    ValueError, match=r'palm_frame\.steps=8 needs drawn hands'
  ):
    gesture_checks.check(config, mesh.make(1), arms=gesture_recipe.ARMS)


def test_steps_of_teachers_need_teachers(tmp_path):
  config = gesture_config.get_config('smoke')
  config.arms, config.teachers.steps = ('student_alone',), 16
  with pytest.raises(ValueError, match=r'teachers\.steps=16: no arm has a'):
    gesture_recipe.run(config, tmp_path)


def test_a_student_needs_something_to_learn_from(tmp_path):
  config = gesture_config.get_config('smoke')
  config.arms = ('student_alone', 'student_teacher1')
  config.loss.truth = 0.0
  config.loss.teachers = (1.0, 0.0)
  gesture_checks.check(config, mesh.make(1), arms=gesture_recipe.ARMS)
  config.loss.teachers = (0.0, 1.0)
  with pytest.raises(ValueError, match='student_teacher1 learns from nothing'):
    gesture_recipe.run(config, tmp_path)


@pytest.mark.parametrize('variant', ['', 'smoke', 'weights', 'teachers'])
def test_the_variants_can_run(variant):
  config = gesture_config.get_config(variant)
  gesture_checks.check(config, mesh.make(1), arms=gesture_recipe.ARMS)
