"""Refuses numbers that are not finite, before a checkpoint holds them."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np


class NonFiniteError(ValueError):
  """A metric or the state is not finite; the last checkpoint is untouched."""


def refuse(name, step, what, saved):
  """Raises NonFiniteError, which says what was found and what is kept.

  Args:
    name: of the stage.
    step: iteration at which it was found.
    what: the first words of the error, such as 'loss is nan'.
    saved: `checkpoint.Checkpoints` of the stage.
  """
  with contextlib.suppress(OSError):
    saved.wait()
  last = saved.latest()
  kept = 'no checkpoint yet' if last is None else f'checkpoint {last} is intact'
  raise NonFiniteError(
    f"{what} at step {step} of stage '{name}'; {kept} in {saved.directory}: "
    f'lower the learning rate or clip the gradient'
  )


def check_state(name, step, state, saved):
  """Refuses a state: a finite loss may have had a gradient that is not finite.

  Args:
    name, step, saved: of `refuse`.
    state: pytree of arrays on the host.
  """
  for path, leaf in jax.tree_util.tree_leaves_with_path(state):
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
      continue
    # A scalar may be infinite: the best value so far, before the first.
    bad = ~np.isfinite(leaf) if leaf.ndim else np.isnan(leaf)
    if bad.any():
      leaf_name = jax.tree_util.keystr(path, simple=True, separator='/')
      refuse(name, step, f"state leaf '{leaf_name}' is not finite", saved)
