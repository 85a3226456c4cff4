"""Settings of `distill` that are refused before anything is drawn."""

import pytest

from configs import distill as distill_config
from palmjax.engine import mesh
from palmjax.recipes.distill import checks as distill_checks
from palmjax.recipes.distill import training


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('student.network.name', 'resnet1', r'student\.network.*no network'),
    ('student.network.exit', 4, r'student\.network.*exits 1 to 3'),
    ('student.network.exit', -1, r'student\.network\.exit=-1: give 0 or more'),
    ('student.network.embedding_size', 16, 'the teacher has 32; give both'),
    ('student.cnn.batch_size', 1, r'student\.cnn\.batch_size=1: give 2'),
    ('teacher.cnn.steps', 0, r'teacher\.cnn\.steps=0: give 1 or more'),
    ('teacher.cnn.learning_rate', -1.0, r'teacher\.cnn\.learning_rate'),
    ('teacher.cnn.start', 'shipped', r'teacher\.cnn\.start=.*has another'),
    ('distill.temperature', 0.0, r'distill\.temperature=0\.0: give a number'),
    ('distill.logits_weight', -1.0, r'logits_weight=-1\.0: give 0 or more'),
    ('device.arms', ('all',), r'device\.arms=.*choose from'),
    ('device.interval', (0.5, 1.0), r'device\.interval=.*give 0 <= lo'),
    ('device.drift.light', 2.0, r'device\.drift\.light=2\.0: give a number'),
    ('device.steps', 0, r'device\.steps=0: give 1 or more'),
    ('evaluation.fmrs', (0.0,), 'give rates between 0 and 1'),
    ('preprocess.contrast', 'global', 'choose one of'),
  ],
)
def test_wrong_settings_are_found_before_anything_is_drawn(key, value, message):
  config = distill_config.get_config('smoke')
  config.update_from_flattened_dict({key: value})
  with pytest.raises(ValueError, match=message):
    distill_checks.check(config, mesh.make(1))


@pytest.mark.parametrize('variant', ['', 'smoke'])
def test_the_variants_can_run(variant):
  distill_checks.check(distill_config.get_config(variant), mesh.make(1))


def test_the_last_exit_and_the_shipped_weights_have_names():
  config = distill_config.get_config()
  student = training.of_network(config, 'student')
  assert student.network.exit == 3
  assert training.of_network(config, 'teacher').cnn.start.endswith(
    'weights/mobilefacenet'
  )
