"""A run tells when the palms that it reads lie on their side."""

import types

import ml_collections
import numpy as np
import pytest

from palmjax.recipes.shared import lying
from tests.inference import drawn_palms


def _small(quarters, count=40):
  """Drawn palms of 32 px, turned counter-clockwise."""
  images = drawn_palms.draw(5, 0.3)[:count]
  images = images.reshape(-1, 32, 2, 32, 2, 3).mean(axis=(2, 4))
  return np.rot90(images.astype(np.uint8), quarters, axes=(1, 2))


def _run(name, images, *, turn=0):
  """What `warn_of_run` gets: the section and the images."""
  data = ml_collections.ConfigDict(
    {'name': name, 'dir': 'mine', 'turn': turn if name == 'folder' else 0}
  )
  labels = np.arange(len(images))
  return data, types.SimpleNamespace(images=images, labels=labels, turn=turn)


@pytest.mark.parametrize('quarters', [1, 3])
def test_the_option_and_its_value_are_named(caplog, quarters):
  lying.warn_of_run(*_run('folder', _small(quarters)))
  (record,) = caplog.records
  text = record.getMessage()
  assert text.startswith('palms of mine: the mean direction of lines fits')
  assert text.endswith(f'give --config.data.turn={90 * quarters}')
  assert '\n' not in text


def test_a_turn_that_was_given_counts(caplog):
  lying.warn_of_run(*_run('folder', _small(3), turn=90))
  assert caplog.text.rstrip().endswith('give --config.data.turn=0')


def test_a_real_set_is_prepared_again(caplog):
  lying.warn_of_run(*_run('polyu', _small(2), turn=90))
  assert caplog.text.rstrip().endswith(
    'give python -m palmjax.prepare --dataset=polyu --turn=270'
  )


def test_upright_few_and_drawn_palms_are_not_told(caplog):
  lying.warn_of_run(*_run('folder', _small(0)))
  lying.warn_of_run(*_run('folder', _small(1, 29)))
  lying.warn_of_run(*_run('palms', _small(1)))
  lying.warn_of_run(*_run('drawn_palms', _small(1)))
  assert not caplog.records


def test_one_image_of_each_palm_counts(caplog):
  images = np.concatenate([_small(0, 40), _small(1, 40)])
  lying.warn(images, np.tile(np.arange(40), 2), 'palms', turn=0)
  assert not caplog.records
  lying.warn(images[::-1], np.tile(np.arange(40), 2), 'palms', turn=0)
  assert caplog.text.rstrip().endswith('if they lie so, turn the files')
