"""A step of the hand detector beside PyTorch's: network, targets, loss, AdamW.

Images are noise with three hands each and are not augmented. PyTorch's are
float32 before the clock starts; palmjax scales uint8 in its step.
"""

import jax
import numpy as np
import torch

from launch.bench import perturbed
from launch.bench.pytorch import detection, detector, turns
from palmjax.data.hands import hands
from palmjax.engine import mesh as meshes
from palmjax.networks import hand as hand_networks
from palmjax.recipes.shared import hand_settings
from palmjax.steps import detect


def row(config, repeats):
  """The row of a detector without strides.

  Args:
    config: as configs/robust.py: `image_size`, `dtype`, `detector`, `train`.
    repeats: the best of so many counts.
  """
  size, count = config.image_size, config.train.batch_size
  batch = perturbed.annotated_noise(count, size)
  theirs, their_count = _torch_step(config, batch)
  ours, our_count = _jax_step(config, batch)
  seconds = turns.take_turns({'ours': ours, 'theirs': theirs}, repeats)
  return turns.report(
    f'detector, {size} px × {count}',
    seconds['ours'],
    seconds['theirs'],
    (our_count, their_count),
  )


def to_torch(batch, device):
  """Annotations and float images in [-1, 1] of a batch, channels last."""
  batch = {name: torch.from_numpy(x).to(device) for name, x in batch.items()}
  images = batch.pop('image').permute(0, 3, 1, 2) / 127.5 - 1
  images = images.contiguous(memory_format=torch.channels_last)
  return images, {**batch, 'classes': batch['classes'].long()}


def build(config):
  """palmjax's detector of a configuration."""
  return hand_networks.build(
    {
      'classes': list(hands.GESTURES),
      'level': 1,
      'factor': 1,
      'dtype': config.dtype,
      **config.detector.to_dict(),
    }
  )


def _torch_step(config, batch):
  """(an update that waits, number of parameters) of PyTorch."""
  device, train = turns.device(), config.train
  num_classes = len(hands.GESTURES)
  network = detector.Detector(num_classes, **config.detector.to_dict())
  network = network.to(device, memory_format=torch.channels_last)
  optimiser = torch.optim.AdamW(
    network.parameters(), train.learning_rate, weight_decay=train.weight_decay
  )
  images, annotations = to_torch(batch, device)
  autocast = turns.autocast(device, config.dtype)
  look = turns.compiled(device)(network)
  side = config.image_size // 4

  def update():
    optimiser.zero_grad(set_to_none=True)
    wanted = detection.targets(annotations, (side, side), num_classes, 4)
    with autocast():
      maps = look(images)
    detection.loss(maps, wanted).backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), train.max_norm)
    optimiser.step()

  return turns.synced(update), sum(p.numel() for p in network.parameters())


def _jax_step(config, batch):
  """The same of palmjax."""
  model, tx = build(config), hand_settings.optimiser(config.train)
  size = config.image_size
  state = detect.create_state(
    model, tx, jax.random.key(0), input_shape=(size, size, 3)
  )
  count = sum(np.size(p) for p in jax.tree.leaves(state.params))
  mesh = meshes.make(1)
  update = meshes.jit_step(
    detect.make_step(model, tx, augment=lambda key, batch: batch), mesh
  )
  batch = jax.device_put(batch)
  # One origin for the first and for later states: one compilation.
  held = [meshes.copy_to_devices(state, mesh)]

  def step():
    held[0], _ = update(held[0], None, batch, jax.random.key(1))
    jax.block_until_ready(held[0])

  return step, count
