"""Real sets, from the owners' files to `prepared.load`."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from palmjax import prepare
from palmjax.data.sets import prepared
from palmjax.data.sets.builders import real_palms, real_sets
from palmjax.images import image_file

_ROOT = pathlib.Path(__file__).parents[1]


def _noise(palm, sample, size):
  generator = np.random.default_rng([palm, sample])
  return generator.integers(0, 256, (size, size, 3), np.uint8)


def _tongji(source):
  """Two people's four palms, two images of each in each session."""
  for session in (1, 2):
    for palm in range(4):
      for sample in (1, 2):
        path = source / f'session{session}' / f'{10 * palm + sample:05}.bmp'
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = _noise(palm, 2 * session + sample, 24)[..., 0]
        Image.fromarray(grey).save(path)
  return source


def test_real_set_comes_back_pixel_for_pixel(tmp_path, monkeypatch):
  monkeypatch.setattr(real_palms, 'BATCH', 3)  # Several, and a rest.
  source = _tongji(tmp_path / 'tongji')
  directory = real_sets.prepare('tongji', tmp_path / 'sets', source=source)
  data = prepared.load(directory, size=24)
  assert data.identities == ('palm 001', 'palm 002', 'palm 003', 'palm 004')
  np.testing.assert_array_equal(data.labels, np.repeat(np.arange(4), 4))
  np.testing.assert_array_equal(data.groups, np.repeat(['001', '002'], 8))
  np.testing.assert_array_equal(data.sessions, np.tile([1, 1, 2, 2], 4))
  assert set(data.devices.tolist()) == {''}
  assert data.ids[:3] == (
    'session1/00001.bmp',
    'session1/00002.bmp',
    'session2/00001.bmp',
  )
  assert data.skipped == ()
  for image, label, name in zip(
    data.images, data.labels, data.ids, strict=True
  ):
    session, sample = int(name[7]), int(name[-5])
    grey = _noise(label, 2 * session + sample, 24)[..., 0]
    np.testing.assert_array_equal(image, np.stack([grey] * 3, axis=-1))


def test_real_photographs_keep_their_bytes_and_take_any_size(tmp_path):
  source = tmp_path / 'xjtu'
  for hand in 'LR':
    for n in (1, 2):
      path = source / 'iPhone' / 'Flash' / f'{hand}_007' / f'IMG_{n}.JPG'
      path.parent.mkdir(parents=True, exist_ok=True)
      picture = Image.fromarray(_noise(ord(hand), n, 48)[:, :40])
      picture.save(path, quality=90)
  directory = real_sets.prepare('xjtu_up', tmp_path / 'sets', source=source)
  for size in (16, 31):
    data = prepared.load(directory, size=size)
    assert data.images.shape == (4, size, size, 3)
    assert data.identities == ('007 left', '007 right')
    assert set(data.groups.tolist()) == {'007'}
    assert set(data.sessions.tolist()) == {-1}
    assert set(data.devices.tolist()) == {'iphone flash'}
    for image, name in zip(data.images, data.ids, strict=True):
      expected = image_file.decode(source / name, size=size)
      np.testing.assert_array_equal(image, expected)
  records = prepared.builder(directory).as_data_source(
    'train', decoders={'image': tfds.decode.SkipDecoding()}
  )
  first = records[0]
  assert first['image'] == (source / first['id'].decode()).read_bytes()
  assert (first['hand'], records[3]['hand']) == (0, 1)
  assert [record['sample'] for record in records] == [1, 2, 1, 2]
  with pytest.raises(ValueError, match='many sizes; give a size'):
    prepared.Source(directory)


def test_unreadable_real_images_are_skipped_and_named(tmp_path, capsys):
  source = tmp_path / 'polyu'
  source.mkdir()
  for palm in (1, 3, 4):
    for sample in range(1, 11):
      path = source / f'PolyU_{palm:03}_F_{sample:02}.bmp'
      Image.fromarray(_noise(palm, sample, 8)[..., 0]).save(path)
  (source / 'PolyU_002_F_01.bmp').write_bytes(b'no image')
  arguments = [
    '--dataset=polyu', f'--source={source}', f'--data_dir={tmp_path}/sets'
  ]  # fmt: skip
  assert prepare.main(arguments) == 0
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == '1 images cannot be read: PolyU_002_F_01.bmp'
  assert lines[1].startswith('30 images of 4 palms in ')
  assert '--config.data.name=polyu' in lines[2]
  source_of_set = prepared.Source(tmp_path / 'sets', size=8)
  assert source_of_set.name == 'polyu'
  assert source_of_set.failed == {'palm 002': 1}
  data = prepared.load(tmp_path / 'sets', size=8)
  assert data.skipped == ('PolyU_002_F_01.bmp',)
  assert data.identities == ('palm 001', 'palm 003', 'palm 004')
  np.testing.assert_array_equal(data.labels, np.repeat([0, 1, 2], 10))
  assert len(data.images) == len(data.ids) == 30

  (source / 'PolyU_003_F_01.bmp').write_bytes(b'no image')
  assert prepare.main(arguments) == 1
  error = capsys.readouterr().err.splitlines()[-1]
  assert 'at least 2 of 31 images' in error
  assert 'PolyU_002_F_01.bmp, PolyU_003_F_01.bmp; repair or remove' in error
  # The first set is still the only one.
  assert len(prepared.Source(tmp_path / 'sets', size=8)) == 30


def test_other_files_are_another_set(tmp_path):
  source = _tongji(tmp_path / 'tongji')
  first = real_sets.prepare('tongji', tmp_path / 'sets', source=source)
  assert real_sets.prepare('tongji', tmp_path / 'sets', source=source) == first
  (source / 'session2' / '00031.bmp').unlink()
  second = real_sets.prepare('tongji', tmp_path / 'sets', source=source)
  assert second != first
  assert len(prepared.Source(second, size=8)) == 15


def test_wrong_layout_prints_the_expected_tree(tmp_path, capsys):
  (tmp_path / 'empty').mkdir()
  code = prepare.main(
    [
      '--dataset=tongji',
      f'--source={tmp_path}/empty',
      f'--data_dir={tmp_path}/sets',
    ]
  )
  assert code == 1
  first, *tree = capsys.readouterr().err.splitlines()
  assert first.startswith(f'palmjax: {tmp_path}/empty holds no image where')
  assert '  DIR/session1/00001.bmp … 06000.bmp' in tree
  assert not (tmp_path / 'sets').exists()


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['--dataset=iitd'], '--dataset=iitd needs --source=DIR'),
    (['--dataset=iitd', '--source=/nowhere/x'], 'there is no folder'),
    (['--dataset=iitd', '--size=64'], '--size is for drawn_palms'),
  ],
)
def test_wrong_arguments(tmp_path, capsys, arguments, message):
  assert prepare.main([*arguments, f'--data_dir={tmp_path}']) == 1
  error = capsys.readouterr().err
  assert error.startswith(f'palmjax: {message}')
  assert error.count('\n') == 1


def test_command_line_never_imports_tensorflow(tmp_path):
  # A tensorflow that cannot be imported comes first on the path.
  trap = tmp_path / 'trap' / 'tensorflow'
  trap.mkdir(parents=True)
  (trap / '__init__.py').write_text('raise RuntimeError("tensorflow imported")')
  result = subprocess.run(
    [
      sys.executable,
      _ROOT / 'tests/data/sets/prepare_program.py',
      '--dataset=tongji',
      f'--source={_tongji(tmp_path / "tongji")}',
      f'--data_dir={tmp_path}/sets',
    ],
    cwd=_ROOT,
    env={**os.environ, 'PYTHONPATH': f'{trap.parent}:{_ROOT}'},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert result.returncode == 0, result.stderr
  lines = result.stdout.splitlines()
  assert json.loads(lines[-1]) == [0, 16, []]
  assert len(lines) == 3
