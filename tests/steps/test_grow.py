"""A head that grows by identities, and the optimiser's memory with it."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.engine import optim
from palmjax.losses import metric
from palmjax.steps import self_distill
from tests.steps import tiny_exits

K, NEW = tiny_exits.CLASSES, 2
ROWS = np.random.default_rng(3).normal(
  size=(tiny_exits.EXITS, NEW, tiny_exits.SIZE)
)
ROWS = ROWS.astype(np.float32)
COMMON = {'num_steps': 9, 'warmup_steps': 0, 'max_norm': 5.0}
OPTIMISERS = {
  'sgd': optim.sgd(
    *(0.1,),
    momentum=0.9,
    weight_decay=1e-3,
    schedule='plateau',
    plateau=optim.RateDecay(),
    **COMMON,
  ),
  'adamw': optim.adamw(0.1, weight_decay=1e-3, **COMMON),
  'frozen backbone': optax.multi_transform(
    {'train': optax.adam(0.1), 'stay': optax.set_to_zero()},
    {'backbone': 'stay', 'head': 'train'},
  ),
}


def by_path(tree):
  return {
    jax.tree_util.keystr(path): np.asarray(leaf)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def remembered(state):
  """The state with a memory of some updates: no two values are alike."""
  rng = np.random.default_rng(0)

  def draw(leaf):
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
      return leaf + 3
    return rng.normal(size=leaf.shape).astype(np.float32)

  return state.replace(
    step=state.step + 3,
    opt_state=jax.tree.map(draw, state.opt_state),
    ema=jax.tree.map(draw, state.params),
  )


@pytest.mark.parametrize('name', OPTIMISERS)
def test_new_rows_and_nothing_else(name):
  tx = OPTIMISERS[name]
  state = remembered(tiny_exits.state(tx))
  grown = self_distill.grow(state, tx, ROWS)
  before, after = by_path(state), by_path(grown)
  assert before.keys() == after.keys()
  widened = []
  for path, old in before.items():
    new = after[path]
    if old.shape == new.shape:
      np.testing.assert_array_equal(old, new, err_msg=path)
      continue
    widened.append(path)
    np.testing.assert_array_equal(new[:, :K], old, err_msg=path)
    moments = path.startswith('.opt_state')
    np.testing.assert_array_equal(new[:, K:], 0 * ROWS if moments else ROWS)
  # Parameters, their average, and one or two moments.
  heads = [path for path in before if "['head']" in path]
  assert widened == heads
  assert len(heads) == 2 + (1 if name == 'sgd' else 2)
  # The shapes are those of a fresh state of this size.
  chex.assert_trees_all_equal_shapes_and_dtypes(
    grown.opt_state, tx.init(grown.params)
  )


def test_growth_by_nobody_changes_nothing():
  tx = OPTIMISERS['adamw']
  state = remembered(tiny_exits.state(tx))
  chex.assert_trees_all_equal(state, self_distill.grow(state, tx, ROWS[:, :0]))


def test_rows_that_do_not_fit_are_refused():
  tx = OPTIMISERS['adamw']
  state = tiny_exits.state(tx)
  for rows in (ROWS[:1], ROWS[..., :2], ROWS[0]):
    with pytest.raises(AssertionError):
      self_distill.grow(state, tx, rows)


def test_the_update_after_growth_goes_on_from_the_old_memory():
  """m ← 0.9 m + g for old rows, m ← g for new ones; labels of both kinds."""
  tx = optax.sgd(0.1, momentum=0.9)
  step = tiny_exits.quick_jit(
    self_distill.make_step(
      tiny_exits.MODEL,
      tx,
      logits_fn=metric.softmax_logits,
      preprocess=tiny_exits.same,
      augment=tiny_exits.no_augment,
    )
  )
  state = tiny_exits.state(tx)
  # Nothing learnt so far is the state with a memory of zeros.
  old, fresh = (
    self_distill.grow(x, tx, ROWS)
    for x in (
      state.replace(opt_state=remembered(state).opt_state),
      state,
    )
  )
  data = tiny_exits.batch() | {
    'label': np.arange(tiny_exits.BATCH, dtype=np.int32) % (K + NEW)
  }
  memory = by_path(old.opt_state)
  after, gradient = (
    by_path(step(x, None, data, tiny_exits.KEY)[0].opt_state)
    for x in (old, fresh)
  )
  assert len(memory) == len(jax.tree.leaves(state.params))
  for path, m in memory.items():
    np.testing.assert_allclose(
      after[path], 0.9 * m + gradient[path], atol=1e-6, err_msg=path
    )
  (head,) = (gradient[path] for path in memory if "['head']" in path)
  assert np.all(np.abs(head[:, K:]).max(axis=-1) > 1e-4)
