"""What packing of palm weights takes and refuses."""

import inspect

import jax
import pytest

from configs import metric as metric_config
from palmjax.data.palms import palms
from release import record
from tests.release import small_palm_run


def test_the_real_palms_take_these_arguments():
  inspect.signature(palms.draw_batch).bind(
    None, [0], [0], size=16, difficulty=1.0, devices=[0]
  )


def test_weights_of_other_images_are_not_packed():
  with pytest.raises(ValueError, match='no set of drawn palms'):
    record.drawn_set('/data/tongji/1.0.0')


def test_the_network_that_is_shipped_fits():
  config = metric_config.get_config('weights')
  shapes = small_palm_run.shapes_of(config.network.to_dict(), config.image_size)
  # A margin for the other files.
  assert 4 * sum(leaf.size for leaf in jax.tree.leaves(shapes)) < 7_500_000
