import hashlib
import json
import os
import time
import zipfile

import chex
import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.networks import export
from tests.networks import small_export

# Of weights.npz with the one array of `test_golden_bytes`.
_GOLDEN = 'b9f277f4380be8fd39788a5e231187a457c1a3a8b3e4eaa5e249fe5cb2639f58'


def _bytes(directory):
  return {p.name: p.read_bytes() for p in sorted(directory.iterdir())}


def test_round_trip(tmp_path):
  loaded = export.load(small_export.save(tmp_path / 'e'))
  chex.assert_trees_all_equal_structs(
    loaded.variables, small_export.variables()
  )
  chex.assert_trees_all_equal(loaded.variables, small_export.variables())
  dtypes = jax.tree.map(lambda leaf: leaf.dtype.name, loaded.variables)
  assert dtypes['batch_stats']['bn']['count'] == 'int32'
  assert loaded.variables['params']['scale'].shape == ()
  assert loaded.model == small_export.MODEL
  assert loaded.preprocess == small_export.PREPROCESS


def test_weights_open_without_this_code(tmp_path):
  small_export.save(tmp_path)
  with np.load(tmp_path / 'weights.npz') as archive:
    assert archive.files == [
      'batch_stats/bn/count',
      'params/conv/bias',
      'params/conv/kernel',
      'params/scale',
    ]
    np.testing.assert_array_equal(
      archive['params/conv/kernel'],
      small_export.variables()['params']['conv']['kernel'],
    )


def test_bytes_depend_on_the_content_alone(tmp_path, monkeypatch):
  first = _bytes(small_export.save(tmp_path / 'a'))
  monkeypatch.setattr(time, 'time', lambda: 2e9)
  monkeypatch.setattr(time, 'localtime', lambda *_: time.gmtime(2e9))
  variables = small_export.variables()
  conv = variables['params']['conv']
  reordered = {
    'batch_stats': variables['batch_stats'],
    'params': flax.core.freeze(
      {
        'scale': jnp.float32(2.5),
        'conv': {
          'bias': jnp.asarray(conv['bias']),
          # Column-major memory, big-endian numbers: equal values.
          'kernel': np.asfortranarray(conv['kernel']).astype('>f4'),
        },
      }
    ),
  }
  second = _bytes(
    small_export.save(
      tmp_path / 'b',
      variables=reordered,
      model=dict(reversed(small_export.MODEL.items())),
    )
  )
  assert first == second
  changed = small_export.variables()
  changed['params']['conv']['bias'][0] = 1e-6
  assert _bytes(small_export.save(tmp_path / 'c', variables=changed)) != first


def test_golden_bytes(tmp_path):
  # A change of the format needs a new `export.FORMAT`.
  small_export.save(
    tmp_path, variables={'params': {'a': np.arange(3, dtype=np.float32)}}
  )
  digest = hashlib.sha256((tmp_path / 'weights.npz').read_bytes()).hexdigest()
  assert digest == _GOLDEN
  description = json.loads((tmp_path / 'model.json').read_text())
  assert description['format'] == 1
  assert description['weights_sha256'] == digest


def test_loaded_arrays_own_their_memory(tmp_path):
  small_export.save(tmp_path)
  a, b = export.load(tmp_path), export.load(tmp_path)
  kernel = a.variables['params']['conv']['kernel']
  kernel[:] = 0.0
  assert b.variables['params']['conv']['kernel'].any()
  chex.assert_trees_all_equal(export.load(tmp_path).variables, b.variables)


def test_saving_over_an_export_replaces_it(tmp_path):
  small_export.save(tmp_path, variables={'params': {'old': np.ones(2)}})
  small_export.save(tmp_path)
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    'model.json',
    'preprocess.json',
    'weights.npz',
  ]
  chex.assert_trees_all_equal(
    export.load(tmp_path).variables, small_export.variables()
  )


def test_full_disk_keeps_the_old_export(tmp_path, monkeypatch):
  small_export.save(tmp_path)

  def full(_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(os, 'fsync', full)
  with pytest.raises(OSError, match='No space left'):
    small_export.save(tmp_path, variables={'params': {'new': np.ones(2)}})
  monkeypatch.undo()
  chex.assert_trees_all_equal(
    export.load(tmp_path).variables, small_export.variables()
  )


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


def test_digests_are_those_of_the_files(tmp_path):
  small_export.save(tmp_path)
  description = json.loads((tmp_path / 'model.json').read_text())
  digests = export.digests(tmp_path)
  for name, key in (
    ('weights.npz', 'weights_sha256'),
    ('preprocess.json', 'preprocess_sha256'),
  ):
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert digests[key] == description[key] == digest


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


@pytest.mark.parametrize(
  'variables, message',
  [
    ({'params': {'a/b': np.ones(1)}}, 'names are strings without /'),
    ({'params': {'a': jnp.ones(1, jnp.bfloat16)}}, 'params/a holds bfloat16'),
    ({'params': {'a': None}}, 'params/a holds object'),
    ({'params': {'a': 'text'}}, 'params/a holds'),
  ],
)
def test_variables_that_cannot_be_saved(tmp_path, variables, message):
  with pytest.raises(ValueError, match=message):
    small_export.save(tmp_path / 'e', variables=variables)
  assert not (tmp_path / 'e').exists()


def test_archive_entries_carry_no_time(tmp_path):
  small_export.save(tmp_path)
  with zipfile.ZipFile(tmp_path / 'weights.npz') as archive:
    assert {e.date_time for e in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_a_training_starts_from(tmp_path):
  assert export.start_digests('') == {}
  small_export.save(tmp_path)
  digests = export.start_digests(tmp_path)
  assert digests == export.digests(tmp_path)
  with pytest.raises(FileNotFoundError, match='there is no such folder; give'):
    export.start_digests(tmp_path / 'none')
