"""Style mixing with a mapping that does nothing."""

import jax
import numpy as np

from palmjax.steps.gan import styles


class Plain:
  """w = z."""

  latent_size, num_layers = 3, 6

  def apply(self, variables, z, *, mean_decay, mutable, method):
    assert (mean_decay, mutable, method) == (None, ['stats'], 'mapping')
    return z, {'stats': variables['stats']}


def draw(mixing, batch_size=2000):
  w, stats = styles.styles(
    Plain(), {}, {'stats': {}}, batch_size, jax.random.key(0), mixing=mixing
  )
  assert w.shape == (batch_size, 6, 3)
  assert stats == {'stats': {}}
  return np.asarray(w)


def changes(w):
  """Where the style of a layer differs from that of the layer before."""
  return np.any(w[:, 1:] != w[:, :-1], axis=-1)


def test_without_mixing_an_image_has_one_style():
  w = draw(0.0)
  assert not changes(w).any()
  assert len(np.unique(w[:, 0], axis=0)) == len(w)


def test_mixed_images_change_style_once_at_a_uniform_layer():
  cuts = changes(draw(1.0))
  np.testing.assert_array_equal(cuts.sum(axis=1), 1)
  np.testing.assert_allclose(cuts.mean(axis=0), np.full(5, 0.2), atol=0.04)


def test_images_are_mixed_with_the_given_probability():
  np.testing.assert_allclose(
    changes(draw(0.9)).any(axis=1).mean(), 0.9, atol=0.03
  )
