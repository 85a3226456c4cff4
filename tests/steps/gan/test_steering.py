"""Steering of p against hand-made scores."""

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.steps.gan import steering


def steer(logits, *, p, count, sign_sum=0.0, limit=1.0):
  state = {'p': p, 'sign_sum': sign_sum, 'sign': 0.0}
  return steering.steer(
    jax.tree.map(jnp.float32, state),
    jnp.asarray(logits, jnp.float32),
    count=jnp.int32(count),
    interval=4,
    target=0.6,
    ramp_kimg=500.0,
    limit=limit,
  )


def test_p_rises_when_real_scores_are_sure_and_falls_otherwise():
  # 2 images × 4 batches / 500,000 = 1.6e-5 per update of p.
  sure = steer([3.0, 1.0], p=0.5, count=4, sign_sum=3.0)
  np.testing.assert_allclose(sure['p'], 0.5 + 1.6e-5, rtol=1e-7)
  np.testing.assert_allclose(sure['sign'], 1.0)
  unsure = steer([3.0, -1.0], p=0.5, count=4, sign_sum=2.0)
  np.testing.assert_allclose(unsure['p'], 0.5 - 1.6e-5, rtol=1e-7)
  np.testing.assert_allclose(unsure['sign'], 0.5)
  assert sure['sign_sum'] == unsure['sign_sum'] == 0


def test_p_waits_for_four_batches():
  got = steer([3.0, 1.0, -2.0, 5.0], p=0.25, count=3, sign_sum=1.5)
  assert got['p'] == 0.25
  assert got['sign_sum'] == 2.0
  assert got['sign'] == 0.0


def test_p_is_bounded():
  assert steer([-1.0], p=0.0, count=4)['p'] == 0.0
  assert steer([1.0], p=0.8, count=4, sign_sum=3.0, limit=0.8)['p'] == (
    jnp.float32(0.8)
  )
