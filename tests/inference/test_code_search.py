"""The fast search against the full one; blocks do not show."""

import numpy as np
import pytest

from palmjax.inference import code_search, orientation_code


def random_codes(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(-127, 128, (*shape, 32, 32, 2), np.int8)


def random_mean():
  rng = np.random.default_rng(7)
  return rng.uniform(-0.3, 0.3, (32, 32, 2)).astype(np.float32)


@pytest.mark.parametrize('shift', [3, 4, 6])
def test_fast_is_full(shift, monkeypatch):
  monkeypatch.setattr(code_search, 'MANY_PROBES', (4,))
  monkeypatch.setattr(code_search, 'MANY_GALLERY', (4,))
  monkeypatch.setattr(code_search, 'HELD', 8)
  # Blocks of 4 with rest, and gallery that is held in two parts.
  probes, gallery = random_codes(6, 5), random_codes(11, seed=1)
  gallery[9] = np.roll(probes[5, 0], (shift, -shift), (0, 1))
  gallery[2] = 0
  want = code_search.full(probes, gallery, random_mean(), shift)
  got = code_search.fast(probes, gallery, random_mean(), shift)
  assert (got.shape, got.dtype) == ((6, 11), np.float32)
  np.testing.assert_allclose(got, want, atol=3e-6)
  plain = code_search.fast(probes, gallery, np.zeros_like(random_mean()), shift)
  assert plain[5, 9] > 0.999
  np.testing.assert_array_equal(plain[:, 2], 0)


def test_blocks_of_the_full_search_do_not_show(monkeypatch):
  probes, gallery = random_codes(5, 5), random_codes(7, seed=1)
  want = code_search.full(probes, gallery, random_mean(), 3)
  monkeypatch.setattr(code_search, 'FEW', 2)
  monkeypatch.setattr(code_search, 'PROBES', (2,))
  monkeypatch.setattr(code_search, 'GALLERY', (3, 4))
  got = code_search.full(probes, gallery, random_mean(), 3)
  np.testing.assert_allclose(got, want, atol=2e-6)
  np.testing.assert_allclose(
    code_search.full(probes[2:3], gallery[6:], random_mean(), 3),
    want[2:3, 6:],
    atol=2e-6,
  )


def test_many_pairs_go_the_fast_way(monkeypatch):
  probes, gallery = random_codes(3, 5), random_codes(2, seed=1)
  want = orientation_code.scores(probes, gallery, orientation_code.FINE)
  called = []

  def fast(*arguments):
    called.append(arguments)
    return code_search.full(*arguments)

  monkeypatch.setattr(code_search, 'fast', fast)
  monkeypatch.setattr(orientation_code, 'MANY_PAIRS', 5)
  monkeypatch.setattr(orientation_code, 'LEAST_SIDE', 2)
  got = orientation_code.scores(probes, gallery, orientation_code.FINE)
  assert called
  np.testing.assert_array_equal(got, want)
