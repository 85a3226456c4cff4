"""A run on a state small enough to compile at once."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax

from palmjax.engine import checkpoint, loop, mesh, state

TX = optax.sgd(0.1, momentum=0.9)


def initial():
  return state.create({'w': jnp.ones((3,))}, {}, TX, ema=True)


def descend(train_state, frozen, batch, key):
  noise = jax.random.normal(jax.random.fold_in(key, train_state.step), (3,))

  def loss_fn(params):
    return jnp.mean((batch['x'] * params['w'] - frozen - noise) ** 2)

  loss, grads = jax.value_and_grad(loss_fn)(train_state.params)
  new, _ = state.apply_gradients(train_state, TX, grads, ema_decay=0.5)
  return new, {'loss': loss}


def batches(start):
  for i in range(start, 1000):
    yield {'x': np.full((2, 3), 1 / (1 + i), np.float32)}


def run(workdir, **changes):
  """The state at the end."""
  return fit(workdir, **changes)[0]


def fit(workdir, *, step=descend, **changes):
  devices = mesh.make(1)
  arguments = {
    'frozen': jnp.float32(0.1),
    'batches': batches,
    'num_steps': 12,
    'key': jax.random.key(0),
    'workdir': workdir,
    'mesh': devices,
    'name': 'small',
    'ckpt_every': 4,
    'log_every': 3,
  }
  schedule = changes.pop('schedule', None)
  if schedule is None:
    schedule = loop.always(mesh.jit_step(step, devices))
  first = changes.pop('state', None)
  first = initial() if first is None else first
  return loop.fit(schedule, first, **(arguments | changes))


def saved_steps(workdir):
  return checkpoint.Checkpoints(workdir / 'small/ckpt').steps()


def interrupting_batches(at, number):
  def begin(start):
    for i, batch in enumerate(batches(start), start):
      if i == at:
        os.kill(os.getpid(), number)
      yield batch

  return begin
