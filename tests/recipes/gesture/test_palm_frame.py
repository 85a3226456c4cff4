"""The stage that trains a reader of palm frames."""

import types

import jax
import numpy as np
import pytest

from configs import gesture as gesture_config
from palmjax.recipes.gesture import palm_frame as palm_frame_stage


def test_a_training_without_frames_is_refused():
  config = gesture_config.get_config('smoke')
  hands = types.SimpleNamespace(training={'framed': np.zeros((4, 3), bool)})
  made = types.SimpleNamespace(key=jax.random.key(0))
  with pytest.raises(ValueError, match='no training image shows a palm frame'):
    palm_frame_stage.train(hands, None, made, config)
