"""Folders whose names are odd, and what in them is left out."""

import os
import unicodedata

import numpy as np
import pytest
from absl import logging
from PIL import Image

from palmjax.data.sets import folder, splits
from palmjax.images import image_tree


@pytest.fixture
def warnings(monkeypatch):
  """The log's warnings, formatted."""
  lines = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *args: lines.append(text % args)
  )
  return lines


def _save(root, *names):
  for k, name in enumerate(names):
    path = os.path.join(os.fsencode(root), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    suffix = os.fsdecode(path).rpartition('.')[2].upper()
    with open(path, 'wb') as file:
      Image.fromarray(np.full((8, 8, 3), 9 * k, np.uint8)).save(file, suffix)


def test_names_that_are_not_utf_8(tmp_path, warnings):
  names = [b'p%d\xe9/\xe4%d.png' % (k, n) for k in range(8) for n in range(3)]
  _save(tmp_path, *names)
  os.truncate(os.path.join(os.fsencode(tmp_path), names[0]), 20)
  data = folder.read(tmp_path, size=4)
  assert data.identities == tuple(rf'p{k}\xe9' for k in range(8))
  assert data.skipped == (r'p0\xe9/\xe40.png',)
  assert data.ids[0] == r'p0\xe9/\xe41.png'
  # What a run does with them: hashes them and writes them down.
  split = splits.by_identity(
    data.labels, seed=0, evaluation=0.5, groups=data.groups
  )
  assert len(split.evaluation) in (11, 12)
  for text in (*data.ids, *data.identities, *data.skipped, *warnings):
    text.encode()


def test_webp_is_read(tmp_path, warnings):
  _save(tmp_path, 'a/1.webp', 'a/2.WEBP', 'b/1.png')
  assert folder.read(tmp_path, size=4).ids == (
    'a/1.webp',
    'a/2.WEBP',
    'b/1.png',
  )
  assert warnings == []


def test_folders_that_look_like_one_are_refused(tmp_path):
  apart = unicodedata.normalize('NFD', 'Müller')
  _save(tmp_path, 'Müller/1.png', f'{apart}/1.png', 'a/1.png')
  with pytest.raises(ValueError, match='two folders that look like') as caught:
    folder.read(tmp_path, size=4)
  # Both names are told, by their codes.
  assert r'(M\xfcller)' in str(caught.value)
  assert r'(Mu\u0308ller)' in str(caught.value)


def test_what_is_left_out_is_named(tmp_path, warnings):
  _save(tmp_path, 'a/1.png', 'b/1.png', 'loose.png', 'a/deep/1.png')
  for name in ('a/2.heic', 'c/1.tif', 'c/notes.txt', 'readme.txt'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  data = folder.read(tmp_path, size=4)
  assert data.ids == ('a/1.png', 'b/1.png')
  reason = 'not read; give a JPEG, PNG, BMP or WebP image'
  assert warnings == [
    f'left out loose.png in {tmp_path}: an image outside an identity folder',
    f'left out c in {tmp_path}: a folder without an image',
    f'left out a/2.heic in {tmp_path}: {reason}',
    f'left out a/deep in {tmp_path}: a folder that lies too deep; not read',
    f'left out c/1.tif in {tmp_path}: {reason}',
    f'left out 5 images and folders of {tmp_path}',
  ]


def test_an_identity_that_cannot_be_listed_stops(tmp_path, monkeypatch):
  _save(tmp_path, 'a/1.png', 'b/1.png', 'c/1.png')
  scandir = os.scandir

  def refuse(path):
    if os.path.basename(path) == 'b':
      raise PermissionError(13, 'Permission denied', path)
    return scandir(path)

  monkeypatch.setattr(image_tree.os, 'scandir', refuse)
  with pytest.raises(ValueError, match='/b: Permission denied; make it read'):
    folder.read(tmp_path, size=4)
