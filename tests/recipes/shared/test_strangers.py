"""Whose palms the thresholds of a run are set on."""

import jax
import numpy as np
import pytest
from PIL import Image

from configs import ssl as ssl_config
from palmjax.data.palms import palms as drawn_palms
from palmjax.inference import cohort
from palmjax.recipes.shared import palm_images, strangers

KEY = jax.random.key(0)


@pytest.fixture
def config(tmp_path):
  config = ssl_config.get_config('smoke')
  config.data.name = 'folder'
  config.data.dir = str(tmp_path / 'mine')
  config.labelled.identities = 3
  config.labelled.images = 2
  return config


def _photos(directory, identities):
  """Each image in a shade of its own: 2 a palm, of 40 px."""
  for k in range(identities):
    (directory / f'p{k:02}').mkdir(parents=True)
    for n in range(2):
      shade = np.full((40, 40, 3), 2 * k + n, np.uint8)
      Image.fromarray(shade).save(directory / f'p{k:02}' / f'{n}.png')


def _find(config):
  loaded = palm_images.load(config, KEY)
  return loaded, strangers.find(config, loaded, KEY)


def _shades(part):
  return set(np.unique(part.images).tolist())


def test_spare_identities_of_a_folder(config, tmp_path):
  _photos(tmp_path / 'mine', 80)
  loaded, others = _find(config)
  assert others.dataset == 'palms of the folder mine, none trained on'
  assert (others.drawn, others.tested) == (False, False)
  images = others.read(64)
  # Half of 80 are tested, 3 are labelled.
  assert images.shape == (37, 64, 64, 3)
  shades = set(images[:, 0, 0, 0].tolist())
  assert len(shades) == 37
  assert not shades & {*_shades(loaded.labelled), *_shades(loaded.evaluation)}
  # The first image of each.
  assert all(shade % 2 == 0 for shade in shades)


def test_those_held_out_to_end_a_training_are_spare(config, tmp_path):
  _photos(tmp_path / 'mine', 80)
  config.stop.measure = 'eer'
  config.stop.share = 0.5
  config.labelled.identities = 0
  config.labelled.images = 0
  loaded, others = _find(config)
  # 20 of 40: too few, so it is those of the test.
  assert len(np.unique(loaded.validation.labels)) == 20
  assert others.tested
  config.stop.share = 0.8
  loaded, others = _find(config)
  assert not others.tested
  assert set(others.read(40)[:, 0, 0, 0].tolist()) <= _shades(loaded.validation)


def test_tested_identities_where_there_are_few_others(config, tmp_path):
  _photos(tmp_path / 'mine', 2 * cohort.LEAST)
  loaded, others = _find(config)
  assert others.tested
  assert others.dataset == (
    'palms of the folder mine, none trained on, all in the test of the report'
  )
  shades = set(others.read(40)[:, 0, 0, 0].tolist())
  assert len(shades) == others.palms == cohort.LEAST
  assert shades <= _shades(loaded.evaluation)


def test_a_folder_that_is_turned(config, tmp_path):
  _photos(tmp_path / 'mine', 80)
  for path in (tmp_path / 'mine').glob('*/*.png'):
    image = np.zeros((40, 40, 3), np.uint8)
    image[0] = 200
    Image.fromarray(image).save(path)
  config.data.turn = 90
  _, others = _find(config)
  # The upper row has become the right column.
  assert (others.read(40)[:, :, -1] == 200).all()


def test_drawn_palms_are_others_than_those_of_the_run(monkeypatch):
  asked = []

  def draw_set(key, identities, samples, **_):
    asked.append(identities)
    return np.zeros((len(identities) * samples, 32, 32, 3), np.uint8), 0, 0

  config = ssl_config.get_config('smoke')
  config.data.identities = 25
  monkeypatch.setattr(drawn_palms, 'draw_set', draw_set)
  others = strangers.find(config, None, KEY)
  assert others.dataset == 'drawn palms, difficulty 0.3, none trained on'
  assert others.drawn
  assert not asked
  assert len(others.read(32)) == 256
  (identities,) = asked
  assert min(identities) == 26
  assert len(set(identities.tolist())) == 256


def test_a_prepared_set_of_drawn_palms(drawn_set):
  config = ssl_config.get_config('smoke')
  config.data.name = 'drawn_palms'
  config.data.dir = drawn_set
  config.labelled.identities = 4
  _, others = _find(config)
  assert others.drawn
  assert others.dataset.startswith('drawn palms of the set ')
  # Six of twelve, all of them tested, in the size that they have.
  assert others.read(64).shape == (6, 32, 32, 3)
