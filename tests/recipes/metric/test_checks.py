"""Settings of the recipe `metric` that are refused before anything is drawn."""

import pytest

from configs import metric as metric_config
from palmjax.engine import mesh
from palmjax.recipes.metric import checks as metric_checks


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('network.name', 'resnet1', "no network 'resnet1'"),
    ('loss.name', 'arkface', 'choose one of softmax'),
    ('cnn.steps', 0, r'cnn\.steps=0: give 1 or more'),
    ('evaluation.occlusion', (1.0,), 'give shares from 0 to below 1'),
    ('evaluation.fmrs', (0.0,), 'give rates between 0 and 1'),
    ('preprocess.contrast', 'global', 'choose one of'),
    ('labelled.identities', 0, 'identities=0 and images=4: give two numbers'),
    ('labelled.images', 0, 'identities=12 and images=0: give two numbers'),
    ('loss.triplet_distance', 'l1', 'choose one of squared, cosine'),
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


def test_streams_are_for_prepared_sets_and_single_images():
  config = metric_config.get_config('smoke')
  config.data.stream = True
  config.data.name = 'drawn_palms'
  with pytest.raises(ValueError, match='images=4 needs batches by identity'):
    metric_checks.check(config, mesh.make(1))
  config.cnn.images = 1
  metric_checks.check(config, mesh.make(1))
  config.data.name = 'palms'
  with pytest.raises(ValueError, match='reads prepared sets, not palms'):
    metric_checks.check(config, mesh.make(1))


@pytest.mark.parametrize('variant', ['', 'smoke', 'weights', 'full'])
def test_the_variants_can_run(variant):
  metric_checks.check(metric_config.get_config(variant), mesh.make(1))
