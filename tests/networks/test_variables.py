"""Variables of an export are those of its network, or refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.networks import export, shipped, variables


def _variables():
  generator = np.random.default_rng(0)
  return {
    'params': {
      'conv': {
        'kernel': generator.normal(size=(3, 3, 1, 4)).astype(np.float32),
        'bias': np.zeros(4, np.float32),
      },
      'scale': np.float32(2.5),
    },
    'batch_stats': {'bn': {'count': np.arange(3, dtype=np.int32)}},
  }


def test_variables_that_do_not_fit_the_network(tmp_path):
  export.save(tmp_path, variables=_variables(), model={}, preprocess={})
  loaded = export.load(tmp_path)
  shapes = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, _variables()))
  variables.check(loaded, shapes, tmp_path)

  wrong = jax.tree.map(lambda leaf: leaf, shapes)
  wrong['params']['conv']['kernel'] = jax.ShapeDtypeStruct(
    (3, 3, 1, 8), jnp.float32
  )
  with pytest.raises(
    ValueError,
    match=r'does not fit .* params/conv/kernel is float32\[3, 3, 1, 4\] in the '
    r'export and '
    r'float32\[3, 3, 1, 8\] in the network',
  ):
    variables.check(loaded, wrong, tmp_path)

  wrong = jax.tree.map(lambda leaf: leaf, shapes)
  wrong['params']['scale'] = jax.ShapeDtypeStruct((), jnp.int32)
  with pytest.raises(ValueError, match=r'scale is float32\[\] .* int32\[\]'):
    variables.check(loaded, wrong, tmp_path)

  wrong = jax.tree.map(lambda leaf: leaf, shapes)
  del wrong['batch_stats']
  with pytest.raises(ValueError, match=r'bn/count is int32.* none in the net'):
    variables.check(loaded, wrong, tmp_path)

  wrong = jax.tree.map(lambda leaf: leaf, shapes)
  wrong['params']['extra'] = jax.ShapeDtypeStruct((1,), jnp.float32)
  with pytest.raises(ValueError, match='params/extra is none in the export'):
    variables.check(loaded, wrong, tmp_path)


def test_the_digests_of_the_package():
  for directory in (shipped.PALM, shipped.HAND, shipped.PALM_FRAME):
    assert export.recorded_digests(directory) == export.digests(directory)
    assert shipped.holds(export.digests(directory))


def test_other_exports_are_not_the_package(tmp_path):
  export.save(tmp_path, variables=_variables(), model={}, preprocess={})
  assert not shipped.holds(export.digests(tmp_path))
  assert export.recorded_digests(tmp_path / 'none') == {}
