"""A step on one and on eight devices; see devices_program.py."""

import jax
import numpy as np

from palmjax.engine import mesh as meshes
from palmjax.engine import optim

# Leaves made of signs of a gradient: rounding turns the sign of one that is
# nearly 0. Share of the values that may.
SIGNS = 'perturbation'
TURNED = 1e-4
BATCH = 16
SIZE = 32
RANDOM = np.random.default_rng(0)
# Plain gradient descent: Adam turns rounding into whole steps.
RATE = {'num_steps': 10, 'warmup_steps': 0, 'max_norm': 5.0}
PLAIN = optim.sgd(0.1, momentum=0.0, weight_decay=0.0, **RATE)
MOMENTUM = optim.sgd(0.1, momentum=0.9, weight_decay=5e-4, **RATE)


def compare(name, step, state, batch, *, frozen=None, tolerance=1e-4):
  """Prints the name of a step that gives the same on one and eight devices."""
  results = []
  for count in (1, 8):
    mesh = meshes.make(count)
    results.append(
      jax.device_get(
        meshes.jit_step(step, mesh)(
          meshes.copy_to_devices(state, mesh),
          meshes.replicate(frozen, mesh),
          meshes.shard_batch(batch, mesh),
          meshes.replicate(jax.random.key(1), mesh),
        )
      )
    )
  (one, metrics), (eight, other_metrics) = results
  for (path, a), b in zip(
    jax.tree_util.tree_leaves_with_path(one),
    jax.tree.leaves(eight),
    strict=True,
  ):
    if SIGNS in jax.tree_util.keystr(path):
      assert np.mean(np.abs(a - b) > tolerance) <= TURNED, name
      continue
    np.testing.assert_allclose(
      a,
      b,
      rtol=tolerance,
      atol=tolerance,
      err_msg=name + jax.tree_util.keystr(path),
    )
  assert metrics.keys() == other_metrics.keys()
  for key, value in metrics.items():
    np.testing.assert_allclose(
      value, other_metrics[key], rtol=1e-3, atol=1e-4, err_msg=f'{name} {key}'
    )
  moved = [
    (np.asarray(new) != np.asarray(old)).any()
    for new, old in zip(
      jax.tree.leaves(one), jax.tree.leaves(state), strict=True
    )
  ]
  assert any(moved), name
  print(name, flush=True)


def pictures(size):
  return RANDOM.integers(0, 256, (BATCH, size, size, 3), np.uint8)
