"""Which weights are those of the package, and what says that they are gone."""

import shutil

import pytest

from palmjax.networks import export, shipped


def test_another_folder_comes_first(tmp_path):
  path = shipped.folder(tmp_path, shipped.PALM, config='configs/metric.py')
  assert path == tmp_path
  path = shipped.folder(None, shipped.PALM, config='configs/metric.py')
  assert path == shipped.PALM


def test_a_package_without_weights_says_how_to_get_some(tmp_path):
  none = tmp_path / 'none'
  with pytest.raises(FileNotFoundError, match='install palmjax again') as e:
    shipped.folder(None, none, config='configs/metric.py')
  assert '--config=configs/metric.py' in str(e.value)
  assert '\n' not in str(e.value)


def test_a_copy_is_known_by_its_content(tmp_path):
  copy = tmp_path / 'copy'
  shutil.copytree(shipped.PALM_FRAME, copy)
  assert shipped.holds(export.digests(copy))
  (copy / 'preprocess.json').write_text('{}')
  assert not shipped.holds(export.digests(copy))
