"""Names of leaves, and JSON files beside checkpoints."""

import errno
import json

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax import files
from palmjax.engine import checkpoint


def test_any_name_of_a_leaf_is_kept(tmp_path):
  tree = {
    'file': np.ones(2),
    'types': {'args': [np.zeros(1)]},
    'a.b': np.ones(1),
  }
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, tree)
  chex.assert_trees_all_equal(checkpoints.restore(tree), tree)


def test_a_file_that_cannot_be_written_is_named_and_the_old_one_stays(tmp_path):
  path = tmp_path / 'metrics.json'
  files.write_file(path, 'old')

  def fill(file):
    file.write(b'new, but not')
    raise OSError(errno.ENOSPC, 'No space left on device')

  with pytest.raises(OSError, match='No space left on device; make') as caught:
    files.write_file(path, fill)
  assert str(caught.value).startswith(f'cannot write {path}: ')
  assert '\n' not in str(caught.value)
  assert path.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [path]


def test_json_is_sorted_plain_and_whole(tmp_path):
  path = tmp_path / 'x.json'
  files.write_json(
    path,
    {'b': np.float32(0.5), 'a': (jnp.int32(2), None), 'c': np.arange(2)},
  )
  text = path.read_text()
  assert list(json.loads(text)) == ['a', 'b', 'c']
  assert json.loads(text) == {'a': [2, None], 'b': 0.5, 'c': [0, 1]}
  with pytest.raises(ValueError, match='not JSON compliant'):
    files.write_json(path, {'a': float('nan')})
  with pytest.raises(ValueError, match='not a JSON value'):
    files.write_json(path, {'a': object()})
  assert path.read_text() == text
  assert [p.name for p in tmp_path.iterdir()] == ['x.json']
