"""Numbers that are not finite stop a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.engine import finite
from tests.engine import small_run


def exploding(at):
  def step(train_state, frozen, batch, key):
    new, metrics = small_run.descend(train_state, frozen, batch, key)
    bad = jnp.where(train_state.step == at, jnp.nan, 0.0)
    return new, {'fine': metrics['loss'], 'd/loss': metrics['loss'] + bad}

  return step


# Step 7 is the last before checkpoint 8; 9 is in the middle; 11 is the last.
@pytest.mark.parametrize('at, kept', [(7, [4]), (9, [4, 8]), (11, [4, 8])])
def test_a_metric_that_is_not_finite_stops_the_run(tmp_path, at, kept):
  with pytest.raises(finite.NonFiniteError) as caught:
    small_run.run(tmp_path, step=exploding(at))
  message = str(caught.value)
  assert message.startswith(f"d/loss is nan at step {at + 1} of stage 'small'")
  assert f'checkpoint {kept[-1]} is intact' in message
  assert '\n' not in message
  assert small_run.saved_steps(tmp_path) == kept


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_an_evaluation_that_is_not_finite_stops_the_run(tmp_path, value):
  with pytest.raises(
    finite.NonFiniteError, match=f"^kid is {value} at step 4 of stage 'small'"
  ):
    small_run.run(
      tmp_path,
      evals=lambda train_state, i: (train_state, {'kid': value}),
      eval_every=4,
    )


def test_it_stops_one_iteration_late(tmp_path):
  fetched = []

  def counted(start):
    for i, batch in enumerate(small_run.batches(start), start):
      fetched.append(i)
      yield batch

  with pytest.raises(finite.NonFiniteError):
    small_run.run(tmp_path, step=exploding(5), batches=counted, ckpt_every=100)
  assert fetched[-1] == 6


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
  def step(train_state, frozen, batch, key):
    new, metrics = small_run.descend(train_state, frozen, batch, key)
    bad = jnp.where(train_state.step == 7, jnp.nan, 0.0)
    params = jax.tree.map(lambda p: p + bad, new.params)
    return new.replace(params=params), metrics

  with pytest.raises(finite.NonFiniteError, match="leaf 'params/w' is not fin"):
    small_run.run(tmp_path, step=step)
  assert small_run.saved_steps(tmp_path) == [4]
