"""Class weights."""

import jax
import numpy as np
import pytest

from palmjax.models import heads


def test_shape_type_and_length():
  head = heads.init_head(jax.random.key(0), 200, 128)
  assert head.shape == (200, 128)
  assert head.dtype == np.float32
  lengths = np.linalg.norm(head, axis=1)
  np.testing.assert_allclose(lengths.mean(), 1.0, atol=0.02)
  assert lengths.std() < 0.1


def test_one_identity_is_refused():
  with pytest.raises(ValueError, match='at least two identities'):
    heads.init_head(jax.random.key(0), 1, 128)
