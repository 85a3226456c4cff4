"""Training steps beside PyTorch's, in one process; prints the ratios.

pip install torch && python -m launch.bench pytorch [--size=64] [--batch=32]

Both sides train the same network on the same shapes: a normalised softmax of
1,000 classes and SGD with momentum, the losses of the detector and AdamW, or
the four updates of the GAN without ADA. PyTorch has channels last; on a GPU
also autocast to the type that palmjax computes in, and torch.compile. Machines
are shared: the two take turns and the fastest of several repeats counts.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch import nn

from configs import robust as robust_config
from configs import ssl as ssl_config
from launch.bench import steps, training
from launch.bench.pytorch import gan as torch_gan
from launch.bench.pytorch import hands, networks, table, turns
from palmjax import files
from palmjax.engine import mesh as meshes
from palmjax.engine import optim
from palmjax.losses import metric
from palmjax.models import backbones, heads
from palmjax.recipes.ssl import gan as ssl_gan
from palmjax.steps import classify
from palmjax.steps.gan import networks as gan_networks
from palmjax.steps.gan import updates

_SCALE = 32.0


def run(args):
  """MobileFaceNet, ResNet-18, ResNet-50, the detector, the GAN of a run.

  With --out they go into torch.json, as docs/results.md shows them.

  Yields:
    {'name', 'seconds', 'torch_seconds', 'ratio'} of each.
  """
  rows = []
  for row in _rows(args):
    rows.append(row)
    yield row
  if args.out:
    made = table.content(
      rows,
      repeats=args.repeats,
      commit=args.commit,
      torch=torch.__version__.partition('+')[0],
    )
    files.write_json(pathlib.Path(args.out) / 'torch.json', made)


def _rows(args):
  size, count = args.size or (32 if args.small else 64), args.batch
  for name in networks.NETWORKS:
    yield recognition(name, size, count, 1000, args.repeats, 'float32')
  config = robust_config.get_config('smoke' if args.small else '')
  config.image_size = args.size or config.image_size
  yield hands.row(config, args.repeats)
  yield gan(ssl_config.get_config('smoke' if args.small else ''), args.repeats)


def recognition(name, size, count, classes, repeats, dtype):
  """The row of a recognition network.

  Args:
    name: of `networks.NETWORKS`.
    size: side of the images.
    count: of them.
    classes: of the softmax.
    repeats: the best of so many counts.
    dtype: that palmjax computes in; PyTorch too, on a GPU.
  """
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
  labels = rng.integers(0, classes, count, np.int32)
  theirs, their_count = _torch_step(name, images, labels, classes, dtype)
  ours, our_count = _jax_step(name, images, labels, classes, dtype)
  seconds = turns.take_turns({'ours': ours, 'theirs': theirs}, repeats)
  return turns.report(
    f'{name}, {size} px × {count}',
    seconds['ours'],
    seconds['theirs'],
    (our_count, their_count),
  )


def gan(config, repeats):
  """The row of the GAN without ADA: a batch of its schedule, on average."""
  device = turns.device()
  theirs, their_counts = torch_gan.updates(
    config,
    device,
    autocast=turns.autocast(device, config.gan.dtype),
    compiled=turns.compiled(device),
  )
  ours, our_counts = _jax_updates(config)
  seconds = turns.take_turns(
    {
      **{f'ours {name}': update for name, update in ours.items()},
      **{
        f'theirs {name}': turns.synced(update)
        for name, update in theirs.items()
      },
    },
    repeats,
  )
  mine, other = (
    training.schedule_seconds(
      {name: seconds[f'{side} {name}'] for name in theirs}, config.gan
    )
    for side in ('ours', 'theirs')
  )
  return turns.report(
    f'gan without ADA, {config.image_size} px × {config.gan.batch_size}',
    mine,
    other,
    (sum(our_counts), sum(their_counts.values())),
  )


def _torch_step(name, images, labels, classes, dtype):
  """(an update that waits, number of parameters) of PyTorch."""
  device = turns.device()
  network = networks.NETWORKS[name](images.shape[1])
  network = network.to(device, memory_format=torch.channels_last)
  grey = torch.from_numpy(images[..., 0] / np.float32(127.5) - 1)[:, None]
  grey = grey.to(device).contiguous(memory_format=torch.channels_last)
  labels = torch.from_numpy(labels.astype(np.int64)).to(device)
  length = networks.LENGTH
  head = nn.Parameter(
    torch.randn(classes, length, device=device) * length**-0.5
  )
  optimiser = torch.optim.SGD([*network.parameters(), head], 0.01, 0.9)
  embed, autocast = (
    turns.compiled(device)(network),
    turns.autocast(device, dtype),
  )

  def update():
    optimiser.zero_grad(set_to_none=True)
    with autocast():
      logits = _SCALE * nn.functional.linear(
        nn.functional.normalize(embed(grey)), nn.functional.normalize(head)
      )
      loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()
    optimiser.step()

  return turns.synced(update), sum(p.numel() for p in network.parameters())


def _jax_step(name, images, labels, classes, dtype):
  """The same of palmjax."""
  model = backbones.build(
    name,
    embedding_size=networks.LENGTH,
    width=1.0,
    dtype=jnp.dtype(dtype),
    attention=False,
  )
  tx = optax.sgd(0.01, momentum=0.9)
  state = classify.create_state(
    model,
    tx,
    jax.random.key(0),
    input_shape=(*images.shape[1:3], 1),
    head=heads.init_head(jax.random.key(1), classes, networks.LENGTH),
  )
  count = sum(p.size for p in jax.tree.leaves(state.params['backbone']))
  mesh = meshes.make(1)
  update = meshes.jit_step(
    classify.make_step(
      model,
      tx,
      logits_fn=functools.partial(metric.normalised_logits, scale=_SCALE),
      preprocess=lambda x: x[..., :1],
      augment=lambda key, x: x,
    ),
    mesh,
  )
  # On the device before the clock starts, as PyTorch's are.
  batch = jax.device_put({'image': images, 'label': labels})
  # One origin for the first and for later states: one compilation.
  held = [meshes.copy_to_devices(state, mesh)]

  def step():
    held[0], _ = update(held[0], None, batch, jax.random.key(2))
    jax.block_until_ready(held[0])

  return step, count


def _jax_updates(config):
  """({name: an update that waits}, parameters of both networks)."""
  section, models = config.gan, ssl_gan.networks(config)
  adam = functools.partial(
    optim.lazy_adam, section.learning_rate, b1=0.0, b2=0.99
  )
  optimisers = (
    adam(interval=section.path_length_interval),
    adam(interval=section.r1_interval),
  )
  made = updates.make_steps(
    *models, *optimisers, augment=lambda key, images, p: images, r1_gamma=1.0
  )
  batch = jax.device_put(
    {'image': steps.noise(section.batch_size, config.image_size)}
  )
  state = gan_networks.create_state(
    *models, *optimisers, batch, jax.random.key(0)
  )
  mesh = meshes.make(1)
  held = [meshes.copy_to_devices(state, mesh)]

  def waiting(step):
    compiled = meshes.jit_step(step, mesh)

    def update():
      held[0], _ = compiled(held[0], None, batch, jax.random.key(1))
      jax.block_until_ready(held[0])

    return update

  counts = [
    sum(p.size for p in jax.tree.leaves(state[name].params))
    for name in ('generator', 'discriminator')
  ]
  return {name: waiting(step) for name, step in made._asdict().items()}, counts
