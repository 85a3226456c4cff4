"""Palms to measure on: their order, and what of them each draw sees."""

import jax
import numpy as np

from palmjax.data.palms import as_read, palms


def test_palms_are_drawn_by_number(monkeypatch):
  seen = []

  def draw_batch(key, identities, samples, *, devices, size, difficulty):
    seen.append((len(identities), size, difficulty))
    values = identities * 16 + samples * 4 + devices % 4
    image = np.full((size, size, 3), 1, np.uint8)
    image = image * values[:, None, None, None] + jax.random.key_data(key)[-1]
    return np.asarray(image, np.uint8)

  monkeypatch.setattr(palms, 'draw_batch', draw_batch)
  monkeypatch.setattr(as_read, 'BATCH', 4)
  options = {'samples': 6, 'size': 12, 'square': 8, 'difficulty': 0.3}
  images, labels, sessions = as_read.draw(5, identities=3, **options)
  assert (images.shape, images.dtype) == ((18, 8, 8, 3), np.uint8)
  assert set(seen) == {(4, 12, 0.3)}
  np.testing.assert_array_equal(labels, np.repeat(np.arange(3), 6))
  np.testing.assert_array_equal(
    sessions, np.tile(palms.session_of(np.arange(6)), 3)
  )
  # Of each session of a palm a device; the last batch is filled up by none.
  devices = labels // 2 + sessions
  want = labels * 16 + np.tile(np.arange(6), 3) * 4 + devices % 4 + 5
  np.testing.assert_array_equal(images[:, 0, 0, 0], want)
  # Fewer palms are the first of many.
  few, _, _ = as_read.draw(5, identities=2, **options)
  np.testing.assert_array_equal(few, images[:12])
