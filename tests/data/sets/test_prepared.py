import concurrent.futures
import os
import pathlib
import resource
import shutil
import signal

import numpy as np
import pytest
from PIL import Image
from tensorflow_datasets.core import shuffle

from palmjax import files, prepare
from palmjax.data import streams
from palmjax.data.palms import palms
from palmjax.data.sets import prepared


def _pixels(identity, sample, size):
  generator = np.random.default_rng([identity, sample])
  return generator.integers(0, 256, (size, size, 3), np.uint8)


@pytest.fixture
def calls(monkeypatch):
  """Draws noise instead of palms, which take a while to compile."""
  calls = []

  def draw_batch(
    key, identities, samples, *, size, difficulty, sessions, devices
  ):
    calls.append(
      {
        'key': key,
        'size': size,
        'difficulty': difficulty,
        'batch': len(identities),
        'sessions': sessions,
        'devices': devices,
      }
    )
    return np.stack(
      [
        _pixels(i, s, size)
        for i, s in zip(identities.tolist(), samples.tolist(), strict=True)
      ]
    )

  monkeypatch.setattr(palms, 'draw_batch', draw_batch)
  return calls


def _drawn(data_dir, **changes):
  arguments = {
    'identities': 6,
    'samples': 15,
    'size': 16,
    'difficulty': 0.5,
    'devices': 4,
    'seed': 0,
    **changes,
  }
  return prepared.drawn(data_dir, **arguments)


def test_every_palm_is_there_in_order(tmp_path, calls):
  directory = _drawn(tmp_path, seed=7, difficulty=0.25)
  data = prepared.load(directory, size=16)
  assert data.ids == tuple(f'{i}/{s}' for i in range(6) for s in range(15))
  np.testing.assert_array_equal(data.labels, np.repeat(np.arange(6), 15))
  np.testing.assert_array_equal(data.groups, data.labels // 2)
  assert data.labels.dtype == np.int32
  assert data.identities == ('0', '1', '2', '3', '4', '5')
  for image, name in zip(data.images, data.ids, strict=True):
    identity, sample = map(int, name.split('/'))
    np.testing.assert_array_equal(image, _pixels(identity, sample, 16))
  # 90 palms in two batches of one shape, with the numbers asked for.
  assert [call['batch'] for call in calls] == [64, 64]
  assert all(call['size'] == 16 for call in calls)
  assert all(call['difficulty'] == 0.25 for call in calls)


def test_records_tell_person_hand_session_and_device(tmp_path, calls):
  directory = _drawn(tmp_path)
  records = prepared.builder(directory).as_data_source('train')
  sessions = np.concatenate([call['sessions'] for call in calls])
  devices = np.concatenate([call['devices'] for call in calls])
  assert len(set(sessions.tolist())) > 1
  for number in (0, 7, 15, 89):
    record = records[number]
    identity, sample = divmod(number, 15)
    assert record['label'] == identity
    assert record['person'] == identity // 2
    assert record['hand'] == identity % 2
    assert record['sample'] == sample
    assert record['session'] == sessions[number] == palms.session_of(sample)
    device = (identity // 2 + palms.session_of(sample)) % 4
    assert record['device'] == devices[number] == device


def test_a_set_larger_than_the_buffer_of_tfds_needs_no_tensorflow(
  tmp_path, calls, monkeypatch
):
  monkeypatch.setattr(shuffle, 'MAX_MEM_BUFFER_SIZE', 10)
  source = prepared.Source(_drawn(tmp_path), size=16)
  assert len(source) == 90


def test_what_is_there_is_kept(tmp_path, calls):
  first = _drawn(tmp_path)
  drawn = len(calls)
  assert _drawn(tmp_path) == first
  assert len(calls) == drawn
  assert _drawn(tmp_path, seed=1) != first
  assert len(calls) == 2 * drawn


def test_source_is_random_access_and_feeds_the_pipeline(tmp_path, calls):
  source = prepared.Source(_drawn(tmp_path))
  assert len(source) == 90
  assert source.size == 16
  np.testing.assert_array_equal(source[31]['image'], _pixels(2, 1, 16))
  assert source[31]['label'] == 2
  batch = next(streams.grain_batches(source, 8, seed=0)(5))
  assert batch['image'].shape == (8, 16, 16, 3)
  assert set(batch['label'].tolist()) <= set(range(6))


def test_data_dir_with_one_set_is_enough(tmp_path, calls):
  _drawn(tmp_path)
  assert len(prepared.Source(tmp_path)) == 90
  _drawn(tmp_path, seed=1)
  with pytest.raises(ValueError, match='holds 2 data sets; give the folder of'):
    prepared.Source(tmp_path)


def test_other_size(tmp_path, calls):
  directory = _drawn(tmp_path)
  with pytest.raises(ValueError, match='have 16 px, not 48; ask for 16'):
    prepared.load(directory, size=48)


def test_nothing_prepared(tmp_path):
  with pytest.raises(
    FileNotFoundError, match=r'no prepared data set in .* make'
  ):
    prepared.Source(tmp_path / 'none')


def test_a_killed_run_leaves_nothing_that_looks_finished(tmp_path, calls):
  def kill(*_, **__):
    raise KeyboardInterrupt

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(Image, 'fromarray', kill)
    with pytest.raises(KeyboardInterrupt):
      _drawn(tmp_path)
  with pytest.raises(FileNotFoundError):
    prepared.Source(tmp_path)

  # What SIGKILL leaves: a folder that was not renamed, however complete.
  finished = pathlib.Path(_drawn(tmp_path))
  stale = finished.parent / f'incomplete.ABC123_{finished.name}'
  os.rename(finished, stale)
  with pytest.raises(FileNotFoundError):
    prepared.Source(tmp_path)
  _drawn(tmp_path)
  assert not stale.exists()
  assert len(prepared.Source(tmp_path)) == 90


@pytest.mark.parametrize(
  'flag, value',
  [
    ('identities', 1),
    ('samples', 0),
    ('size', 8),
    ('difficulty', 1.5),
    ('devices', 0),
    ('seed', -1),
  ],
)
def test_numbers_out_of_range(tmp_path, capsys, flag, value):
  code = prepare.main(
    ['--dataset=drawn_palms', f'--data_dir={tmp_path}', f'--{flag}={value}']
  )
  captured = capsys.readouterr()
  assert code == 1
  assert captured.err.startswith(f'palmjax: --{flag}={value}: give ')
  assert captured.err.count('\n') == 1
  assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written(tmp_path, capsys, calls):
  (tmp_path / 'file').write_text('')
  code = prepare.main(
    ['--dataset=drawn_palms', f'--data_dir={tmp_path}/file', '--size=16']
  )
  assert code == 1
  error = capsys.readouterr().err.splitlines()[-1]
  assert error.startswith('palmjax: ')


def test_a_full_disk_is_told_in_one_line(tmp_path, capsys, calls, monkeypatch):
  # The writer of records raises a RuntimeError, and TFDS wraps it.
  _, limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit))
  try:
    code = prepare.main(
      [
        *('--dataset=drawn_palms', f'--data_dir={tmp_path}'),
        *('--identities=40', '--samples=4', '--size=32'),
      ]
    )
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
  assert code == 1
  error = capsys.readouterr().err.splitlines()[-1]
  assert error.startswith(f'palmjax: cannot write {tmp_path}/drawn_palms/')
  assert 'File too large; allow larger files there and run the same' in error
  assert not list(tmp_path.glob('**/incomplete*'))


def test_the_second_of_two_at_once_waits_and_finds_the_set(tmp_path, calls):
  numbers = {'identities': 4, 'samples': 2}
  directory = pathlib.Path(_drawn(tmp_path / 'first', **numbers))
  folder = (
    tmp_path / 'second' / directory.parent.relative_to(tmp_path / 'first')
  )
  held = files.lock(files.make_folder(folder) / '.lock', wait=False)
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    second = pool.submit(_drawn, tmp_path / 'second', **numbers)
    with pytest.raises(TimeoutError):
      second.result(timeout=2)
    # What the first is at work on stays.
    assert [path.name for path in folder.iterdir()] == ['.lock']
    drawn = len(calls)
    shutil.copytree(directory, folder / directory.name)
    held.close()
    assert second.result(timeout=60) == str(folder / directory.name)
  assert len(calls) == drawn
