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
