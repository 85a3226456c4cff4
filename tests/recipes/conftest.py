"""A small prepared set."""

import pytest

from configs import metric as metric_config
from palmjax.data.sets import prepared as prepare


@pytest.fixture(scope='session')
def drawn_set(tmp_path_factory):
  """Folder of a prepared set of drawn palms."""
  return prepare.drawn(
    tmp_path_factory.mktemp('drawn_set'),
    identities=12,
    samples=6,
    size=32,
    difficulty=0.2,
    devices=3,
    seed=1,
  )


@pytest.fixture
def prepared(drawn_set):
  """A config that trains on it."""
  config = metric_config.get_config('smoke')
  config.data.name = 'drawn_palms'
  config.data.dir = drawn_set
  config.data.turned = True
  config.labelled.identities = 0
  config.labelled.images = 0
  config.cnn.identities = 16
  config.cnn.images = 1
  return config
