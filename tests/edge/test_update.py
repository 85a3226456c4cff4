"""An update of a device's student: what moves, and what comes back."""

import jax
import numpy as np
import pytest

from palmjax.edge import update
from palmjax.networks import palm
from palmjax.ops import pixels
from tests.networks import small_exits

USERS = 4


def same(key, images):
  del key
  return images


@pytest.fixture(scope='module')
def student(tmp_path_factory):
  return small_exits.load(tmp_path_factory.mktemp('student'))


@pytest.fixture(scope='module')
def references():
  rng = np.random.default_rng(0)
  coarse = rng.integers(0, 256, (USERS, 4, 4, 3), np.uint8)
  return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope='module')
def samples(references):
  """Brighter captures of the users; the last one is labelled by the server."""
  soft = np.full((USERS, USERS), np.nan, np.float32)
  soft[-1] = np.eye(USERS)[-1]
  return update.Samples(
    np.minimum(references, 200) + 50,
    np.arange(USERS),
    soft,
    np.arange(USERS) == USERS - 1,
  )


def train(
  student,
  references,
  samples,
  *,
  set_size=1000,
  strangers=None,
  steps=3,
  augment=same,
  **changes,
):
  settings = update.Settings(learning_rate=0.05, **changes)
  return update.update(
    student,
    references,
    samples,
    settings,
    jax.random.key(0),
    strangers=references[:0] if strangers is None else strangers,
    augment=augment,
    steps=steps,
    set_size=set_size,
    batch_size=4,
  )


@pytest.fixture(scope='module')
def trained(student, references, samples):
  return train(student, references, samples)


def test_the_student_learns_and_the_old_one_stays(student, trained):
  network, metrics = trained
  assert np.isfinite(metrics['loss'])
  moved = [
    np.abs(a - b).max()
    for a, b in zip(
      jax.tree.leaves(network.params['backbone']),
      jax.tree.leaves(student.params['backbone']),
      strict=True,
    )
  ]
  assert max(moved) > 0
  # Class weights are of the users, not those that the server trained.
  assert network.params['head'] is student.params['head']
  assert (
    palm.at_exit(network, 1).embed(np.zeros((1, 32, 32, 3), np.uint8)).any()
  )


def test_the_same_samples_give_the_same_student(
  student, references, samples, trained
):
  again, _ = train(student, references, samples)
  for a, b in zip(
    jax.tree.leaves((again.params, again.stats)),
    jax.tree.leaves((trained[0].params, trained[0].stats)),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)


def test_every_sample_of_every_training_set_is_trained_on(
  student, references, samples
):
  sets = set()
  for number in range(USERS):
    poisoned = samples._replace(
      soft=np.full((USERS, USERS), np.inf, np.float32),
      has_soft=np.arange(USERS) == number,
    )
    with pytest.raises(ValueError, match=r'training set [12] is') as caught:
      train(student, references, poisoned, set_size=2)
    sets.add(str(caught.value))
  assert len(sets) == 2


def test_the_control_moves_statistics_alone(student, references, samples):
  network, _ = train(student, references, samples, statistics_only=True)
  for a, b in zip(
    jax.tree.leaves(network.params),
    jax.tree.leaves(student.params),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)
  assert any(
    np.any(a != b)
    for a, b in zip(
      jax.tree.leaves(network.stats),
      jax.tree.leaves(student.stats),
      strict=True,
    )
  )


def test_a_loss_that_is_no_number_keeps_the_student(
  student, references, samples
):
  soft = np.where(samples.has_soft[:, None], np.inf, samples.soft)
  with pytest.raises(update.NotFiniteError, match='student stays as it was'):
    train(student, references, samples._replace(soft=soft))


def test_references_are_embedded_by_every_exit(student, references):
  embeddings = update.embed_exits(student, references)
  assert embeddings.shape == (4, USERS, 8)
  for number in (1, 4):
    np.testing.assert_allclose(
      embeddings[number - 1],
      palm.at_exit(student, number).embed(references),
      rtol=1e-4,
      atol=1e-5,
    )


def test_references_and_strangers_are_rehearsed(student, references, samples):
  """Each image is trained on, and no other one."""
  rng = np.random.default_rng(1)
  coarse = rng.integers(0, 256, (USERS, 4, 4, 3), np.uint8)
  strangers = coarse.repeat(8, axis=1).repeat(8, axis=2)
  seen = set()

  def keep(images):
    seen.update(image.tobytes() for image in pixels.to_uint8(images))

  def record(key, images):
    del key
    jax.debug.callback(keep, images)
    return images

  settings = {'strangers': strangers, 'steps': 20, 'augment': record}
  train(student, references, samples, **settings)
  jax.effects_barrier()
  shown = np.concatenate([references, strangers, samples.images])
  assert seen == {image.tobytes() for image in shown}
