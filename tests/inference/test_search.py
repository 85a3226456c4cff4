"""Exact 1:N search beside a plain one in NumPy."""

import numpy as np
import pytest

from palmjax.inference import search


def units(count, seed, size=16):
  values = np.random.default_rng(seed).normal(size=(count, size))
  values /= np.linalg.norm(values, axis=1, keepdims=True)
  return values.astype(np.float32)


def plain(templates, probes, k):
  scores = probes.astype(np.float64) @ templates.astype(np.float64).T
  order = np.argsort(-scores, axis=1, kind='stable')[:, :k]
  return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize('count, block', [(100, 32), (96, 32), (7, 32), (1, 1)])
@pytest.mark.parametrize('k', [1, 5])
def test_the_same_as_numpy(count, block, k):
  templates, probes = units(count, 0), units(6, 1)
  gallery = search.TemplateIndex(templates, block=block)
  scores, indices = gallery.search(probes, k)
  want = plain(templates, probes, min(k, count))
  np.testing.assert_array_equal(indices, want[1])
  np.testing.assert_allclose(scores, want[0], atol=1e-6)


@pytest.mark.parametrize('k', [1, 4])
def test_of_equal_scores_the_first_stands_first(k):
  """Also where they lie in different blocks."""
  templates = np.tile(np.eye(4, dtype=np.float32), (10, 1))
  gallery = search.TemplateIndex(templates, block=8)
  _, indices = gallery.search(np.eye(4, dtype=np.float32), k)
  np.testing.assert_array_equal(
    indices, np.arange(4)[:, None] + 4 * np.arange(k)
  )


@pytest.mark.parametrize(
  'make, message',
  [
    (lambda: search.TemplateIndex(np.zeros((0, 4))), 'at least 1'),
    (lambda: search.TemplateIndex(np.zeros(4)), 'at least 1'),
    (lambda: search.TemplateIndex(np.full((2, 4), np.nan)), 'not finite'),
    (
      lambda: search.TemplateIndex(units(3, 0)).search(units(2, 0, 8)),
      'probes of',
    ),
    (
      lambda: search.TemplateIndex(np.eye(4)).search(np.full((2, 4), np.nan)),
      'probe is not finite',
    ),
    (lambda: search.TemplateIndex(units(3, 0)).search(units(2, 0), 0), 'k=0'),
  ],
)
def test_what_cannot_be_searched_is_one_line(make, message):
  with pytest.raises(ValueError, match=message):
    make()
