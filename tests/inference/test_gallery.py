"""Galleries as files: whole, of the same network, or one line of error."""

import json

import numpy as np
import pytest

from palmjax.inference import bound_file, cohort_file, gallery, parts

OF = {'weights.npz': 'abc', 'turns': False, 'codes': {'fine': ['fine', 6.0]}}


def small(**changes):
  """A gallery of two palms, of random numbers."""
  rng = np.random.default_rng(0)

  def codes():
    return rng.integers(-127, 128, (2, 5, 4, 4, 2), dtype=np.int8)

  values = {
    'templates': parts.Templates(codes(), codes(), np.ones((2, 3), 'f4')),
    'names': ('Jörg/1.png', 'p2/1.png'),
    'sides': ('left', None),
    'of': OF,
  }
  return gallery.Gallery(**{**values, **changes})


@pytest.fixture
def path(tmp_path):
  path = tmp_path / 'gallery.npz'
  small().save(path)
  return path


def refusal(path, of=OF, *, error=ValueError):
  """The error: one line that names the file and says what to do."""
  with pytest.raises(error) as caught:
    gallery.load(path, of=of)
  text = str(caught.value)
  assert '\n' not in text
  assert str(path) in text
  assert f'palmjax.verify A.jpg --gallery=DIR --save-gallery={path}' in text
  return text


def test_what_is_written_is_read(path, tmp_path):
  loaded, want = gallery.load(path, of=OF), small()
  assert len(loaded) == 2
  for part, wanted in zip(loaded.templates, want.templates, strict=True):
    assert part.dtype == wanted.dtype
    np.testing.assert_array_equal(part, wanted)
  for name in ('names', 'sides', 'of'):
    assert getattr(loaded, name) == getattr(want, name)
  loaded.save(tmp_path / 'again.npz')
  assert (tmp_path / 'again.npz').read_bytes() == path.read_bytes()


def test_the_file_says_that_it_is_biometric(path):
  with np.load(path) as archive:
    assert 'biometric data' in json.loads(archive['about'].tobytes())['note']


def test_galleries_of_another_network(path):
  assert 'was made with other weights.npz' in refusal(
    path, {**OF, 'weights.npz': 'abd'}
  )
  assert 'was made with other codes and turns' in refusal(
    path, {**OF, 'codes': {}, 'turns': True}
  )
  small().require(OF)
  with pytest.raises(ValueError, match='enrolled with other turns: enrol it'):
    small().require({**OF, 'turns': True})


@pytest.mark.parametrize('place', [0.1, 0.5, 0.7, 0.99])
def test_damaged_files(path, place):
  whole = path.read_bytes()
  at = int(place * len(whole))
  path.write_bytes(whole[:at])
  assert 'is no gallery, or damaged' in refusal(path)
  path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
  assert 'damaged' in refusal(path)


def test_edited_files(path):
  with np.load(path) as archive:
    arrays = {name: archive[name] for name in archive.files}
  arrays['templates/fine'][0, 0, 0, 0, 0] ^= 1
  np.savez(path, **arrays)
  assert 'is damaged or edited' in refusal(path)


def test_other_files(path, tmp_path):
  (tmp_path / 'text.npz').write_text('no archive')
  assert 'is no gallery, or damaged' in refusal(tmp_path / 'text.npz')
  refusal(tmp_path / 'none.npz', error=FileNotFoundError)
  not_finite = small()
  not_finite.templates.network[0, 0] = np.nan
  not_finite.save(path)
  assert 'holds NaN or infinity' in refusal(path)
  small().save(path)
  bound_file.save(path, {}, {'format': 2, 'kind': 'gallery', 'of': OF})
  assert 'has format 2, this version of palmjax reads 1' in refusal(path)


def test_a_gallery_is_no_cohort_and_a_cohort_no_gallery(path, tmp_path):
  with pytest.raises(ValueError, match='is a gallery and no cohort') as error:
    cohort_file.load(path, of=OF)
  assert f'give it as --gallery={path}, and another' in str(error.value)
  assert '--out' not in str(error.value)
  other = tmp_path / 'other.npz'
  bound_file.save(other, {}, {'format': 2, 'of': OF})  # As cohorts are.
  with pytest.raises(ValueError, match='is a cohort and no gallery') as error:
    gallery.load(other, of=OF)
  assert f'give it as --cohort={other}, and another' in str(error.value)
  assert '--save-gallery' not in str(error.value)
