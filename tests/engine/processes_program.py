"""One of the processes of a small training; without a coordinator, all of it.

python processes_program.py WORKDIR [num_steps=N] [wait_at=STEP] [fail_at=STEP]
                            [differ=folder|data]
                            [coordinator=HOST:PORT processes=N process=I]

The step and the evaluation of toy_run.py, on batches of grain and of a device
set. Prints the step that it begins at, a line where it waits, and the digest of
the final state. Ends as `palmjax.main` does.
"""

import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import toy_run

from palmjax.data import streams
from palmjax.engine import loop, mesh, processes, run_folder
from palmjax.engine import stage as stages


class Source:
  """Forty examples of 64 numbers."""

  def __len__(self):
    return 40

  def __getitem__(self, number):
    random = np.random.default_rng(number)
    return {'x': random.normal(size=64).astype(np.float32)}


def batches(devices):
  sharding = mesh.batch_sharding(devices)
  targets = np.random.default_rng(0).normal(size=(24, 512))
  return streams.merge(
    streams.grain_batches(Source(), 8, seed=1, sharding=sharding),
    streams.DeviceSet(
      {'y': targets.astype(np.float32)}, sharding=sharding
    ).batches(8, seed=2),
  )


def train(stage, config, *, num_steps, wait_at, fail_at):
  del config
  devices = mesh.make()

  def watched(start):
    print('begins at', start, flush=True)
    for i, batch in enumerate(batches(devices)(start), start):
      if i == wait_at:
        print('waits', flush=True)
        time.sleep(600 if processes.index() else 0)
      if i == fail_at and processes.index():
        raise ValueError('a mistake of process 1')
      yield batch

  state, ended = loop.fit(
    loop.always(mesh.jit_step(toy_run.step, devices)),
    toy_run.initial(),
    frozen={'shift': jnp.float32(0.5)},
    batches=watched,
    num_steps=num_steps,
    key=stage.key,
    workdir=stage.workdir,
    mesh=devices,
    name=stage.name,
    evals=toy_run.evals,
    eval_every=5,
    ckpt_every=4,
    log_every=1,
  )
  digest = toy_run.digest(jax.device_get(state))
  (stage.export / 'digest').write_text(digest)
  return {'ended': ended, 'process': processes.index()}


def run(
  workdir, *, num_steps=12, wait_at=None, fail_at=None, differ='', **joined
):
  processes.start(
    joined.get('coordinator'),
    int(joined['processes']) if joined else None,
    int(joined['process']) if joined else None,
    heartbeat=5,
  )
  workdir = pathlib.Path(workdir)
  if differ == 'folder':
    workdir = workdir / str(processes.index())
  with processes.named_losses():
    run_folder.take(workdir, {})
    result = stages.run(
      'toy',
      lambda stage, config: train(
        stage,
        config,
        num_steps=int(num_steps),
        wait_at=wait_at and int(wait_at),
        fail_at=fail_at and int(fail_at),
      ),
      workdir=workdir,
      key=jax.random.key(1),
      config={},
      sections=(),
      facts={'data': processes.index() if differ == 'data' else 0},
      inputs={},
    )
  print('digest', (result.path / 'digest').read_text(), result.metrics)


if __name__ == '__main__':
  code = 0
  try:
    run(sys.argv[1], **dict(option.split('=') for option in sys.argv[2:]))
  except loop.Interrupted as stop:
    # A stop at a checkpoint is a success: wait for the others, exit with 0.
    print(stop, file=sys.stderr, flush=True)
  except (ValueError, OSError) as error:
    print(error, file=sys.stderr, flush=True)
    code = 1
  processes.end(code)
  sys.exit(code)
