"""Images and batches of the recipe `metric`."""

import jax
import numpy as np
import pytest

from configs import metric as metric_config
from palmjax.data import streams
from palmjax.engine import mesh
from palmjax.recipes.metric import recipe as metric_recipe
from palmjax.recipes.shared import palm_images


def test_turned_identities():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (18, 5, 5, 3)).astype(np.uint8)
  labels = np.repeat(np.arange(9), 2)
  part = palm_images.Part(images, labels, tuple('abcdefghi'), np.zeros(18, int))
  turned = palm_images.turned(part).images
  turns = {}
  for k in range(8):
    square = turned[2 * k, :, :, 0]
    original = images[2 * k, :, :, 0]
    ways = [np.rot90(original, n) for n in range(4)]
    ways += [way[:, ::-1] for way in ways]
    (way,) = [n for n, w in enumerate(ways) if np.array_equal(w, square)]
    turns[k] = way
    np.testing.assert_array_equal(
      turned[2 * k + 1, :, :, 0],
      [np.rot90(images[2 * k + 1, :, :, 0], n) for n in range(4)][way % 4][
        :, :: -1 if way >= 4 else 1
      ],
    )
  assert sorted(turns.values()) == list(range(8))
  np.testing.assert_array_equal(turned[16], images[16])  # Identity 8 is way 0.


def test_too_many_identities_in_a_batch_name_the_key():
  section = metric_config.get_config('smoke').cnn
  section.identities, section.images = 7, 2
  images = np.zeros((30, 1, 1, 1), np.uint8)
  labels = np.repeat(np.arange(6), 5)
  part = palm_images.Part(images, labels, tuple('abcdef'), 0 * labels)
  message = (
    '--config.cnn.identities: 7 identities in a batch, but the set has 6'
  )
  with pytest.raises(ValueError, match=message):
    metric_recipe.batches(part, mesh.make(1), section, jax.random.key(0))


@pytest.mark.parametrize('loss', ['softmax', 'arcface', 'triplet'])
def test_batches_are_the_same_for_all_losses(loss):
  config = metric_config.get_config('smoke')
  config.loss.name = loss
  labels = np.repeat(np.arange(6), 5)
  images = np.arange(30, dtype=np.uint8)[:, None, None, None]
  part = palm_images.Part(images, labels, tuple('abcdef'), 0 * labels)

  def batch(count):
    config.cnn.images = count
    stream = metric_recipe.batches(
      part, mesh.make(1), config.cnn, jax.random.key(0)
    )
    return next(stream(3))

  rows = np.asarray(batch(4)['label']).reshape(4, 4)
  assert (rows == rows[:, :1]).all()
  assert len({*rows[:, 0]}) == 4
  members = streams.members_of(labels)
  seed = streams.seed_of(
    jax.random.fold_in(jax.random.key(0), metric_recipe.LABELLED)
  )
  expected = streams.identity_indices(
    members, identities=4, images=4, seed=seed, step=3
  )
  np.testing.assert_array_equal(batch(4)['image'].ravel(), expected)
  single = np.asarray(batch(1)['image']).ravel()
  expected = streams.batch_indices(30, batch_size=4, seed=seed, step=3)
  np.testing.assert_array_equal(single, expected)
