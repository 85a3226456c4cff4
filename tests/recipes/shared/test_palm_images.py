"""What a run trains and tests on, from the user's own folder."""

import jax
import numpy as np
import pytest
from PIL import Image

from configs import ssl as ssl_config
from palmjax.data.palms import palms as drawn_palms
from palmjax.recipes.shared import palm_images
from palmjax.recipes.ssl import recipe as ssl_recipe


@pytest.fixture
def config(tmp_path):
  config = ssl_config.get_config('smoke')
  config.data.name = 'folder'
  config.data.dir = str(tmp_path)
  config.labelled.identities = 3
  config.labelled.images = 2
  return config


def _photos(directory, identities, images, size=40):
  rng = np.random.default_rng(0)
  for k in range(identities):
    (directory / f'p{k}').mkdir()
    for n in range(images):
      pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
      Image.fromarray(pixels).save(directory / f'p{k}' / f'{n}.png')


def test_parts_of_a_folder(config, tmp_path):
  _photos(tmp_path, identities=8, images=4)
  palms = palm_images.load(config, jax.random.key(0))
  assert palms.labelled.images.shape == (6, 32, 32, 3)
  assert palms.labelled.labels.tolist() == [0, 0, 1, 1, 2, 2]
  assert len(palms.evaluation.labels) == 16
  # The other two images of each of the three.
  assert np.bincount(palms.unseen.labels).tolist() == [2, 2, 2]
  assert not set(palms.labelled.identities) & set(palms.evaluation.identities)
  assert palms.unseen.identities == palms.labelled.identities
  assert palms.counts() == (
    '6 images of 3 identities; evaluation: 16 images of 4 others'
  )


def test_identities_left_out_are_unlabelled_where_a_recipe_asks(
  config, tmp_path
):
  """And then no strangers: thresholds are set on palms no network has seen."""
  for k in range(12):
    (tmp_path / f'p{k}').mkdir()
    for n in range(4):
      shade = np.full((40, 40, 3), 20 * k, np.uint8)
      Image.fromarray(shade).save(tmp_path / f'p{k}' / f'{n}.png')
  key = jax.random.key(0)
  before = palm_images.load(config, key)
  assert len(before.unlabelled) == 0
  palms = palm_images.load(config, key, unlabelled=True)

  def names(part):
    return {int(name[1:]) for name in part.identities}

  seen = (palms.unlabelled[:, 0, 0, 0] // 20).tolist()
  assert len(seen) == 4 * len(set(seen))  # Whole identities.
  everyone = names(palms.labelled) | names(palms.evaluation) | set(seen)
  assert everyone == set(range(12))
  assert not set(seen) & (names(palms.labelled) | names(palms.evaluation))
  strangers = {int(name.split('/')[0][1:]) for name in palms.strangers.ids}
  assert strangers <= names(palms.evaluation)
  assert palms.strangers.tested
  assert palms.fingerprint != before.fingerprint
  assert ', 12 unlabelled; ' in palms.counts()


def test_of_many_identities_left_out_half_are_strangers(config, tmp_path):
  for k in range(150):
    (tmp_path / f'p{k}').mkdir()
    for n in range(2):
      shade = np.full((40, 40, 3), k, np.uint8)
      Image.fromarray(shade).save(tmp_path / f'p{k}' / f'{n}.png')
  config.evaluation_share = 0.2
  palms = palm_images.load(config, jax.random.key(0), unlabelled=True)
  strangers = {int(name.split('/')[0][1:]) for name in palms.strangers.ids}
  unlabelled = set(palms.unlabelled[:, 0, 0, 0].tolist())
  others = {
    int(name[1:])
    for part in (palms.labelled, palms.evaluation)
    for name in part.identities
  }
  assert not palms.strangers.tested
  # 150 less 30 of the test and 3 labelled ones.
  assert (len(strangers), len(unlabelled)) == (58, 59)
  assert not strangers & unlabelled
  assert not (strangers | unlabelled) & others


def test_training_never_sees_an_identity_of_the_evaluation(monkeypatch):
  # The split looks at no pixel.
  monkeypatch.setattr(
    drawn_palms,
    'draw_batch',
    lambda key, identities, samples, *, size, difficulty: np.zeros(
      (len(samples), size, size, 3), np.uint8
    ),
  )
  config = ssl_config.get_config('smoke')
  palms = palm_images.load(config, ssl_recipe.data_key(config))
  assert not set(palms.labelled.identities) & set(palms.evaluation.identities)
  # A person's left and right palm stay on one side.
  people = [
    {name.rsplit(' ', 1)[0] for name in part.identities}
    for part in (palms.labelled, palms.evaluation)
  ]
  assert not people[0] & people[1]


def test_unseen_images_are_of_the_identity_that_their_label_names(
  config, tmp_path
):
  for k in range(8):
    (tmp_path / f'p{k}').mkdir()
    for n in range(4):
      shade = np.full((40, 40, 3), 30 * k, np.uint8)
      Image.fromarray(shade).save(tmp_path / f'p{k}' / f'{n}.png')
  palms = palm_images.load(config, jax.random.key(0))
  for part in (palms.labelled, palms.unseen, palms.evaluation):
    for image, label in zip(part.images, part.labels, strict=True):
      assert part.identities[label] == f'p{image[0, 0, 0] // 30}'


def test_fingerprint_follows_the_pixels(config, tmp_path):
  _photos(tmp_path, identities=8, images=4)
  before = palm_images.load(config, jax.random.key(0)).fingerprint
  assert palm_images.load(config, jax.random.key(0)).fingerprint == before
  Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / 'p0/0.png')
  assert palm_images.load(config, jax.random.key(0)).fingerprint != before


@pytest.mark.parametrize(
  'identities,images,message',
  [
    (0, 0, 'folder of their own'),
    (1, 4, 'one identity'),
    (3, 4, 'config.evaluation_share: of 3 identities .* 4 or more are needed'),
    (4, 4, 'config.labelled.identities'),
    (8, 1, 'config.labelled.images'),
  ],
)
def test_too_little_is_one_line_that_says_what_to_do(
  config, tmp_path, identities, images, message
):
  _photos(tmp_path, identities, images)
  with pytest.raises(ValueError, match=message) as caught:
    palm_images.load(config, jax.random.key(0))
  assert '\n' not in str(caught.value)


def test_many_truncated_images_stop_the_run(config, tmp_path):
  _photos(tmp_path, identities=8, images=4)
  for k in range(8):
    path = tmp_path / f'p{k}' / '0.png'
    path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(ValueError, match='8 of 32') as caught:
    palm_images.load(config, jax.random.key(0))
  assert '\n' not in str(caught.value)


def test_a_folder_is_turned_and_nothing_else(config, tmp_path):
  _photos(tmp_path, identities=8, images=4)
  before = palm_images.load(config, jax.random.key(0))
  config.data.turn = 90
  after = palm_images.load(config, jax.random.key(0))
  np.testing.assert_array_equal(
    after.evaluation.images,
    np.rot90(before.evaluation.images, -1, axes=(1, 2)),
  )
  assert after.fingerprint != before.fingerprint
  config.data.name = 'palms'
  with pytest.raises(ValueError, match=r'data\.turn=90 is for --config'):
    palm_images.load(config, jax.random.key(0))


def test_what_is_no_turn_names_the_key(config):
  config.data.turn = 45
  with pytest.raises(ValueError, match=r'--config\.data\.turn=45: choose'):
    palm_images.load(config, jax.random.key(0))
