"""A small training in a process of its own, to be killed.

python toy_run.py WORKDIR [die_at=STEP] [die_in_save=STEP] [file_limit=BYTES]
                  [rule=plateau|threshold]

Batch statistics, momentum, a moving average, a step that runs on every third
iteration only, and an evaluation that keeps the best state: all that has to
survive. Prints a digest of the final state,
its step and why it ended.
"""

import hashlib
import os
import pathlib
import resource
import signal
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax

from palmjax.engine import checkpoint, loop, mesh, state, stop

NUM_STEPS = 60
TX = optax.sgd(0.05, momentum=0.9)


def initial():
  params = {'w': jnp.ones((64, 512)) / 64, 'b': jnp.zeros((512,))}
  stats = {'mean': jnp.zeros((512,))}
  return {
    'net': state.create(params, stats, TX, ema=True),
    'best': jnp.asarray(jnp.inf),
    'best_ema': jax.tree.map(jnp.copy, params),
    'penalties': jnp.zeros((), jnp.int32),
  }


def step(all_state, frozen, batch, key):
  net = all_state['net']
  key = jax.random.fold_in(key, net.step)

  def loss_fn(params):
    x = batch['x'] + 0.1 * jax.random.normal(key, batch['x'].shape)
    h = x @ params['w'] + params['b']
    mean = h.mean(0)
    loss = jnp.mean((h - mean - frozen['shift'] * batch['y']) ** 2)
    return loss, {'mean': 0.9 * net.stats['mean'] + 0.1 * mean}

  (loss, stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(net.params)
  net, _ = state.apply_gradients(net, TX, grads, stats=stats, ema_decay=0.9)
  script = 61.0 - net.step.astype(jnp.float32)
  return {**all_state, 'net': net}, {'loss': loss, 'script': script}


def penalty(all_state, frozen, batch, key):
  del frozen, batch, key
  net = all_state['net']
  params = jax.tree.map(lambda p: 0.999 * p, net.params)
  new = {
    **all_state,
    'net': net.replace(params=params),
    'penalties': all_state['penalties'] + 1,
  }
  return new, {'penalty': jnp.sum(params['w'] ** 2)}


def batches(start):
  i = start
  while True:
    random = np.random.default_rng(i)
    yield {
      'x': random.normal(size=(8, 64)).astype(np.float32),
      'y': random.normal(size=(8, 512)).astype(np.float32),
    }
    i += 1


def evals(all_state, i):
  score = jnp.abs(all_state['net'].ema['w']).sum() + i % 7
  if score < all_state['best']:
    # Shares buffers with the average on purpose.
    all_state = {
      **all_state,
      'best': score,
      'best_ema': all_state['net'].ema,
    }
  return all_state, {'score': score, 'measure': abs(15 - i) + i % 2}


RULES = {
  # The scripted measure is best at 15: 20, 25, 30, 35 and 40 are no better.
  'plateau': stop.Plateau('measure', delta=0.5, patience=5),
  # The scripted loss of the steps falls by 1 a step: 60, 59, …; the mean of the
  # epoch of steps 30 to 39 is 25.5, that of the one before 35.5.
  'threshold': stop.Threshold('script', 25.5, epoch_steps=10),
}


def digest(tree):
  total = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    total.update(jax.tree_util.keystr(path).encode())
    total.update(np.asarray(leaf).tobytes())
  return total.hexdigest()


def main(workdir, die_at=None, die_in_save=None, file_limit=None, rule=None):
  def kill():
    os.kill(os.getpid(), signal.SIGKILL)

  def mortal_batches(start):
    for i, batch in enumerate(batches(start), start):
      if die_at is not None and i == int(die_at):
        kill()
      if file_limit is not None and i == 25:
        while not (pathlib.Path(workdir) / 'toy/ckpt/20').exists():
          pass
        limit = int(file_limit)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
      yield batch

  if die_in_save is not None:
    save = checkpoint.Checkpoints.save

    def mortal_save(self, step, all_state):
      if step == int(die_in_save):

        def kill_when_writing():
          while not any(self.directory.glob(f'{step}.*/*/ocdbt*/d/*')):
            pass
          kill()

        threading.Thread(target=kill_when_writing, daemon=True).start()
      save(self, step, all_state)

    checkpoint.Checkpoints.save = mortal_save

  devices = mesh.make(1)
  train_step, penalty_step = (
    mesh.jit_step(f, devices) for f in (step, penalty)
  )
  final, ended = loop.fit(
    lambda i: (train_step, penalty_step) if i % 3 == 2 else (train_step,),
    initial(),
    frozen={'shift': jnp.float32(0.5)},
    batches=mortal_batches,
    num_steps=NUM_STEPS,
    key=jax.random.key(1),
    workdir=pathlib.Path(workdir),
    mesh=devices,
    name='toy',
    evals=evals,
    eval_every=5 if rule else 20,
    stop=(RULES[rule],) if rule else (),
    ckpt_every=10,
    log_every=4,
  )
  print('digest', digest(final), int(final['net'].step), ended)


if __name__ == '__main__':
  main(sys.argv[1], **dict(option.split('=') for option in sys.argv[2:]))
