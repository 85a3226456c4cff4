"""An export with a missing, damaged or foreign file is refused in one line."""

import hashlib
import json

import numpy as np
import pytest

from palmjax.networks import export
from tests.networks import small_export


@pytest.mark.parametrize(
  'name, named',
  [
    ('weights.npz', 'weights.npz'),
    ('model.json', 'weights.npz'),
    ('preprocess.json', 'preprocess.json'),
  ],
)
def test_files_of_two_exports(tmp_path, name, named):
  small_export.save(tmp_path / 'a')
  small_export.save(
    tmp_path / 'b',
    variables={'params': {'x': np.ones(2, np.float32)}},
    preprocess={**small_export.PREPROCESS, 'image_size': 64},
  )
  (tmp_path / 'a' / name).write_bytes((tmp_path / 'b' / name).read_bytes())
  with pytest.raises(
    ValueError, match=f'{named} is damaged, edited or belongs to another'
  ) as caught:
    export.load(tmp_path / 'a')
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('key', ['weights_sha256', 'preprocess_sha256'])
def test_export_without_a_digest(tmp_path, key):
  path = small_export.save(tmp_path) / 'model.json'
  values = json.loads(path.read_text())
  del values[key]
  path.write_text(json.dumps(values))
  with pytest.raises(ValueError, match=f"has no '{key}'.* export the network"):
    export.load(tmp_path)


@pytest.mark.parametrize(
  'change',
  [
    lambda model: model.popitem(),
    lambda model: model.update(embedding_size=2),
    lambda model: model.clear(),
  ],
)
def test_edited_architecture(tmp_path, change):
  path = small_export.save(tmp_path) / 'model.json'
  values = json.loads(path.read_text())
  change(values['model'])
  path.write_text(json.dumps(values))
  with pytest.raises(ValueError, match=r'model.json is damaged or edited'):
    export.load(tmp_path)
  del values['model']
  path.write_text(json.dumps(values))
  with pytest.raises(ValueError, match=r'model.json is damaged or edited') as e:
    export.load(tmp_path)
  assert '\n' not in str(e.value)


@pytest.mark.parametrize(
  'name', ['weights.npz', 'model.json', 'preprocess.json']
)
def test_missing_file(tmp_path, name):
  small_export.save(tmp_path)
  (tmp_path / name).unlink()
  with pytest.raises(FileNotFoundError, match=f'{name} is missing; give') as e:
    export.load(tmp_path)
  assert '\n' not in str(e.value)


def test_missing_folder(tmp_path):
  with pytest.raises(FileNotFoundError, match='none: there is no such folder;'):
    export.load(tmp_path / 'none')


def test_the_folder_of_a_run_is_no_export(tmp_path):
  near, far = tmp_path / 'b' / 'export', tmp_path / 'a' / 'network' / 'export'
  small_export.save(near)
  small_export.save(far)
  for folder, meant in (
    (tmp_path, [near]),
    (tmp_path / 'a', [far]),
    (tmp_path / 'a' / 'network', [far]),
  ):
    with pytest.raises(FileNotFoundError) as error:
      export.load(folder)
    names = ' or '.join(map(str, meant))
    assert str(error.value).endswith(f'is missing; did you mean {names}?')


@pytest.mark.parametrize('keep', [0.0, 0.5, 0.99])
def test_truncated_weights(tmp_path, keep):
  path = small_export.save(tmp_path) / 'weights.npz'
  content = path.read_bytes()
  path.write_bytes(content[: int(keep * len(content))])
  with pytest.raises(ValueError, match=r'weights.npz is damaged') as e:
    export.load(tmp_path)
  assert '\n' not in str(e.value)


def test_damaged_archive_with_a_fitting_digest(tmp_path):
  small_export.save(tmp_path)
  path, description = tmp_path / 'weights.npz', tmp_path / 'model.json'
  path.write_bytes(path.read_bytes()[:-30])
  values = json.loads(description.read_text())
  values['weights_sha256'] = hashlib.sha256(path.read_bytes()).hexdigest()
  description.write_text(json.dumps(values))
  with pytest.raises(ValueError, match=r'weights.npz is damaged:'):
    export.load(tmp_path)


def test_pickles_are_not_opened(tmp_path):
  small_export.save(tmp_path)
  path, description = tmp_path / 'weights.npz', tmp_path / 'model.json'
  np.savez(path, a=np.array([{}], dtype=object))
  values = json.loads(description.read_text())
  values['weights_sha256'] = hashlib.sha256(path.read_bytes()).hexdigest()
  description.write_text(json.dumps(values))
  with pytest.raises(ValueError, match=r'damaged: .*allow_pickle'):
    export.load(tmp_path)


@pytest.mark.parametrize('name', ['model.json', 'preprocess.json'])
@pytest.mark.parametrize('text', ['{"format": 1', '', '[1, 2]', '\xff'])
def test_damaged_json(tmp_path, name, text):
  (small_export.save(tmp_path) / name).write_bytes(text.encode('latin-1'))
  with pytest.raises(ValueError, match=f'{name} is') as e:
    export.load(tmp_path)
  assert '\n' not in str(e.value)


def test_other_format(tmp_path):
  path = small_export.save(tmp_path) / 'model.json'
  values = json.loads(path.read_text())
  path.write_text(json.dumps({**values, 'format': 2}))
  with pytest.raises(
    ValueError, match=r'has format 2, this version .* reads 1'
  ):
    export.load(tmp_path)
