"""A training step with a million identities, on simulated devices.

The network is that of configs/metric.py; its embeddings have 128 numbers. Class
weights are on one device, or split over all; a step uses all classes, or a
tenth. Bytes are those of one device: class weights and their momentum, and what
the program of the step needs beside its arguments.
"""

import pathlib
import resource

import jax
import numpy as np

from configs import metric as metric_config
from launch.bench import timing
from palmjax import files
from palmjax.data.augment import palms as palm_augment
from palmjax.engine import mesh as meshes
from palmjax.models import heads
from palmjax.recipes.metric import class_shards
from palmjax.recipes.shared import palm_training

IDENTITIES = 1_000_000
SHARES = (1.0, 0.1)
_HEAD = jax.tree_util.DictKey('head')


def run(args):
  """Steps on one device, and on the `--devices` that the CPU pretends to be."""
  jax.config.update('jax_num_cpu_devices', args.devices)
  config = metric_config.get_config()
  measured = compare(config, (1, args.devices), args.repeats)
  # Linux counts in KB.
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  timing.report_size('peak memory of the process', peak)
  if args.out:
    batch_size = config.cnn.identities * config.cnn.images
    content = {
      'command': 'python -m launch.bench identities --out=docs/results',
      'measured_at': args.commit,
      'runs': (
        f'one process; {jax.devices()[0].device_kind}; {IDENTITIES:,} '
        f'identities; {batch_size} images of {config.image_size} px; jax '
        f'{jax.__version__}'
      ),
      'table': table(measured),
    }
    files.write_json(pathlib.Path(args.out) / 'identities.json', content)


def compare(config, devices, repeats):
  """Prints bytes and time of a step, on each number of devices.

  Args:
    config: of configs/metric.py.
    devices: numbers of devices; the class weights are split over all of them.
    repeats: the best of so many counts.

  Returns:
    {name: {'state', 'step', 'seconds'}}, the first two in bytes.
  """
  measured = {}
  for count in devices:
    for share in SHARES:
      config.loss.class_shards, config.loss.class_share = count, share
      name = f'devices {count}, classes {share:.0%}'
      one = _measure(config, meshes.make(count), repeats)
      measured[name] = one
      timing.report_size(f'{name}: state', one['state'])
      timing.report_size(f'{name}: step', one['step'])
      ratio = one['seconds'] / next(iter(measured.values()))['seconds']
      print(f'{name}: {ratio:.2f} of the time of the first', flush=True)
  return measured


def table(measured):
  """The table of docs/results.md, from the result of `compare`."""
  first = next(iter(measured.values()))
  return {
    name: {
      'state, MB': {'mean': round(one['state'] / 1e6, 1)},
      'step, MB': {'mean': round(one['step'] / 1e6, 1)},
      'time / first': {'mean': round(one['seconds'] / first['seconds'], 3)},
    }
    for name, one in measured.items()
  }


def _measure(config, mesh, repeats):
  """Bytes on a device, and the seconds of a step."""
  model, spec = palm_training.build(config)
  tx = palm_training.optimiser(config.cnn)
  mesh = class_shards.split(mesh, config.loss)
  made = class_shards.training(config.loss, mesh, IDENTITIES)
  init_head = made['init_head'] or heads.init_head
  state = made['create_state'](
    model,
    tx,
    jax.random.key(0),
    input_shape=spec.shape,
    head=init_head(jax.random.key(1), IDENTITIES, model.embedding_size),
  )
  placed = meshes.shardings(state, mesh)
  step = made['make_step'](
    model,
    tx,
    preprocess=spec.apply,
    augment=palm_augment.make_augment(**config.augment.to_dict()),
  )
  state = meshes.copy_to_devices(state, mesh, placed)
  batch = meshes.shard_batch(_batch(config), mesh)
  key = meshes.replicate(jax.random.key(2), mesh)
  program = meshes.jit_step(step, mesh, placed=placed)
  program = program.lower(state, None, batch, key).compile()
  size = sum(
    leaf.addressable_shards[0].data.nbytes
    for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    if path[-1] == _HEAD
  )

  def update():
    # The state before is given away: no two of them are in memory.
    nonlocal state
    state, metrics = program(state, None, batch, key)
    return metrics

  _, seconds = timing.best_of(update, repeats)
  return {
    'state': size,
    'step': program.memory_analysis().temp_size_in_bytes,
    'seconds': seconds,
  }


def _batch(config):
  """Noise, of any identities."""
  rng = np.random.default_rng(0)
  count = config.cnn.identities * config.cnn.images
  shape = count, config.image_size, config.image_size, 3
  return {
    'image': rng.integers(0, 256, shape, np.uint8),
    'label': rng.integers(0, IDENTITIES, count, np.int32),
  }
