"""Cohorts as files: whole, of the same network, or one line of error."""

import io
import json
import zipfile

import numpy as np
import pytest

from palmjax.inference import cohort, cohort_file, parts, verifier
from tests import untrained_network

OF = {'weights.npz': 'abc', 'turns': False, 'codes': {'fine': ['fine', 6.0]}}


def small(**changes):
  """A cohort of three palms, of random numbers."""
  rng = np.random.default_rng(0)

  def codes():
    return rng.integers(-127, 128, (3, 1, 4, 4, 2), dtype=np.int8)

  def mean():
    return rng.normal(size=(4, 4, 2)).astype(np.float32)

  values = {
    'means': parts.Means(
      mean(), mean(), np.ones(5, np.float32), np.ones((3, 5), np.float32)
    ),
    'standard': parts.Standard(rng.normal(size=3), np.ones(3)),
    'thresholds': ((1e-1, 1.25), (1e-2, 2.5)),
    'measured': 1e-1,
    'palms': 3,
    'dataset': 'Hände',
    'templates': parts.Templates(codes(), codes(), np.ones((3, 5), 'f4')),
  }
  return cohort.Cohort(**{**values, **changes})


@pytest.fixture
def path(tmp_path):
  path = tmp_path / 'cohort.npz'
  cohort_file.save(path, small(), of=OF)
  return path


def refusal(path, of=OF, *, error=ValueError):
  """The error: one line that names the file and says what to do."""
  with pytest.raises(error) as caught:
    cohort_file.load(path, of=of)
  text = str(caught.value)
  assert '\n' not in text
  assert str(path) in text
  assert 'by python -m palmjax.calibrate DIR --out=' in text
  return text


def test_what_is_written_is_read(path):
  want = small()
  for place in (path, path.parent):
    loaded = cohort_file.load(place, of=OF)
    for group in ('templates', 'means', 'standard'):
      for part, wanted in zip(
        getattr(loaded, group), getattr(want, group), strict=True
      ):
        assert part.dtype == wanted.dtype
        np.testing.assert_array_equal(part, wanted)
    for name in ('thresholds', 'measured', 'palms', 'dataset'):
      assert getattr(loaded, name) == getattr(want, name)
    assert loaded.threshold(1e-2) == 2.5
    assert loaded.describe(1e-2) == '3 pairs of 3 palms, extrapolated: Hände'


def test_a_cohort_of_format_1_has_no_whitening(tmp_path, monkeypatch):
  monkeypatch.setattr(cohort_file, 'FORMAT', 1)
  path = tmp_path / 'old.npz'
  means = small().means._replace(whitening=None)
  cohort_file.save(path, small(means=means), of=OF)
  loaded = cohort_file.load(path, of=OF)
  assert loaded.means.whitening is None
  np.testing.assert_array_equal(loaded.means.network, means.network)


def test_how_the_palms_were_taken(path):
  assert cohort_file.load(path, of=OF).photos is None
  for photos in (True, False):
    cohort_file.save(path, small(photos=photos), of=OF)
    loaded = cohort_file.load(path, of=OF)
    assert loaded.photos is photos
    loaded.require(photos=photos)
    with pytest.raises(ValueError, match='of photos' if photos else 'alone'):
      loaded.require(photos=not photos)


def test_equal_cohorts_give_equal_bytes(path, tmp_path):
  again = tmp_path / 'again.npz'
  cohort_file.save(again, small(), of=dict(reversed(OF.items())))
  assert again.read_bytes() == path.read_bytes()


def test_the_file_says_that_it_is_biometric(path):
  with np.load(path) as archive:
    about = json.loads(archive['about'].tobytes())
  assert 'biometric data' in about['note']
  assert about['of'] == OF


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'weights.npz': 'abd'}, 'was made with other weights.npz: make it again'),
    ({'turns': True}, 'was made with other turns'),
    ({'codes': {}, 'turns': True}, 'was made with other codes and turns'),
    ({'new': 1}, 'was made with other new'),
    ({'weights_sha256': 'b', 'turns': True}, 'another network and other turns'),
    ({'preprocess_sha256': 'b'}, 'was made with another pre-processing: make'),
    (
      {'preprocess_sha256': 'b', 'turns': True},
      'another pre-processing and other turns: make it',
    ),
    (
      {'preprocess_sha256': 'b', 'model_sha256': 'b'},
      'was made with another network: make it',
    ),
  ],
)
def test_cohorts_of_another_network(path, changes, message):
  text = refusal(path, {**OF, **changes})
  assert message in text
  assert 'the network and the options that you verify with' in text


def test_another_pre_processing_alone_is_named(path, tmp_path):
  """Two real exports of one network."""
  one, other = tmp_path / 'one', tmp_path / 'other'
  untrained_network.save(one)
  untrained_network.save(other, contrast_clip=2.0)
  mine, theirs = (verifier.load(export) for export in (one, other))
  of, differing = mine.identity, theirs.identity
  assert {key for key in of if of[key] != differing[key]} == {
    'preprocess_sha256'
  }
  cohort_file.save(path, small(), of=of)
  assert mine.load_cohort(path).cohort.palms == 3
  with pytest.raises(ValueError, match='was made with another pre-processing:'):
    theirs.load_cohort(path)
  gallery = mine.enrol([np.full((64, 64), 9, np.uint8)])
  with pytest.raises(
    ValueError, match='was enrolled with another pre-processing: enrol it again'
  ):
    theirs.scores(gallery, gallery)


def test_damage_in_any_byte_is_found(path):
  whole = path.read_bytes()
  want = small()
  unharmed = 0
  for place in range(0, len(whole), 7):
    for flip in (0x01, 0xFF):
      damaged = bytearray(whole)
      damaged[place] ^= flip
      path.write_bytes(damaged)
      try:
        loaded = cohort_file.load(path, of=OF)
      except ValueError:
        assert 'damaged' in refusal(path)
      else:
        # Times, and other bytes of the archive that say nothing.
        unharmed += 1
        assert loaded.thresholds == want.thresholds
        np.testing.assert_array_equal(
          loaded.templates.fine, want.templates.fine
        )
  assert unharmed < 0.4 * len(range(0, len(whole), 7)) * 2


def test_a_file_of_somebody_else_is_not_written_over(tmp_path):
  path = tmp_path / 'text.jpg'
  path.write_text('my palm')
  assert refusal(path).endswith('calibrate DIR --out=cohort.npz')


@pytest.mark.parametrize('share', [0.0, 0.3, 0.99])
def test_files_that_were_cut_off(path, share):
  whole = path.read_bytes()
  path.write_bytes(whole[: int(share * len(whole))])
  assert 'is no cohort, or damaged' in refusal(path)


@pytest.mark.parametrize(
  'content', [b'not a cohort\n', b'PK\x03\x04', b'\x93NUMPY\x01\x00']
)
def test_other_files(path, content):
  path.write_bytes(content)
  assert 'is no cohort, or damaged' in refusal(path)


def test_other_archives(path):
  np.savez(path, numbers=np.arange(3))
  assert 'is no cohort, or damaged' in refusal(path)
  np.savez(path, about=np.frombuffer(b'[1]', np.uint8))
  assert 'is no cohort, or damaged' in refusal(path)
  np.save(path.with_suffix('.npy'), np.arange(3))
  path.write_bytes(path.with_suffix('.npy').read_bytes())
  assert 'is no cohort, or damaged' in refusal(path)
  # Numbers of another time would be other thresholds.
  np.savez(path, about=np.frombuffer(b'{"format": 9, "digest": ""}', np.uint8))
  assert 'has format 9, this version of palmjax reads 1 and 2' in refusal(path)


def edit(path, name, change):
  """Replaces an array inside the archive."""
  with np.load(path) as archive:
    arrays = {key: archive[key] for key in archive.files}
  arrays[name] = change(arrays[name])
  with zipfile.ZipFile(path, 'w') as archive:
    for key, array in arrays.items():
      content = io.BytesIO()
      np.save(content, array)
      archive.writestr(f'{key}.npy', content.getvalue())


@pytest.mark.parametrize(
  'name, change',
  [
    ('thresholds', lambda array: array - 0.5),
    ('templates/fine', lambda array: array[:2]),
    ('standard/std', lambda array: array.astype(np.float32)),
    (
      'about',
      lambda array: np.frombuffer(
        array.tobytes().replace(b'"palms": 3', b'"palms": 9'), np.uint8
      ),
    ),
  ],
)
def test_edited_numbers(path, name, change):
  edit(path, name, lambda array: array)
  cohort_file.load(path, of=OF)
  edit(path, name, change)
  assert 'is damaged or edited' in refusal(path)


@pytest.mark.parametrize('number', [np.nan, np.inf])
def test_numbers_that_are_none(path, number):
  standard = parts.Standard(np.array([0.0, number, 0.0]), np.ones(3))
  cohort_file.save(path, small(standard=standard), of=OF)
  assert 'holds NaN or infinity' in refusal(path)


def test_no_file(tmp_path):
  for path, file in (
    (tmp_path / 'none.npz', tmp_path / 'none.npz'),
    (tmp_path, tmp_path / 'cohort.npz'),
  ):
    text = refusal(path, error=FileNotFoundError)
    assert text == (
      f'{file} is missing: make it by python -m palmjax.calibrate DIR '
      f'--out={file}'
    )
