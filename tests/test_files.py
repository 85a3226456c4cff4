"""Advice that fits the error, and locks that die with their process."""

import errno
import os
import pathlib
import subprocess
import sys

import pytest

from palmjax import files

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize(
  'name,advice',
  [
    ('file', 'a file has this name; choose another name'),
    ('file/below', 'a part of this path is a file'),
    ('n' * 300, 'choose a shorter name'),
  ],
)
def test_advice_on_folders_fits_the_error(tmp_path, name, advice):
  (tmp_path / 'file').touch()
  with pytest.raises(OSError, match=advice) as caught:
    files.make_folder(tmp_path / name)
  text = str(caught.value)
  assert text.startswith(f'cannot make the folder {tmp_path / name}: ')
  assert 'make room' not in text
  assert '\n' not in text


@pytest.mark.parametrize(
  'number,advice',
  [
    (errno.ENOSPC, 'make room there and run the same command again'),
    (errno.EROFS, 'choose a folder on a disk that is not read-only'),
    (errno.EACCES, 'choose a folder in which you may write'),
    (errno.EIO, 'run the same command again'),
  ],
)
def test_advice_on_files_fits_the_error(tmp_path, number, advice):
  def fail(_):
    raise OSError(number, os.strerror(number))

  with pytest.raises(OSError, match=advice) as caught:
    files.write_file(tmp_path / 'x', fail)
  assert caught.value.errno == number
  assert os.strerror(number) in str(caught.value)
  assert ('make room' in str(caught.value)) == (number == errno.ENOSPC)
  assert list(tmp_path.iterdir()) == []


def test_folders_are_made_with_those_above(tmp_path):
  folder = tmp_path / 'a' / 'b'
  assert files.make_folder(folder) == files.make_folder(str(folder)) == folder
  assert folder.is_dir()


def test_a_lock_is_one_process_s_until_it_ends(tmp_path):
  path = tmp_path / '.lock'
  code = (
    'import sys; from palmjax import files; '
    'held = files.lock(sys.argv[1], wait=False); print("in", flush=True); '
    'sys.stdin.read()'
  )
  other = subprocess.Popen(
    [sys.executable, '-c', code, path],
    cwd=ROOT,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    assert other.stdout.readline() == 'in\n'
    with pytest.raises(BlockingIOError):
      files.lock(path, wait=False)
  finally:
    other.kill()
    other.communicate()
  with files.lock(path, wait=True), pytest.raises(BlockingIOError):
    files.lock(path, wait=False)
  files.lock(path, wait=False).close()


def test_a_text_with_names_that_are_not_utf_8(tmp_path):
  files.write_file(tmp_path / 'a.html', 'é \udce9')
  assert (tmp_path / 'a.html').read_text() == r'é \udce9'
