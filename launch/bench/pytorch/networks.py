"""Training steps beside PyTorch's, in one process; prints the ratios.

pip install torch && python -m launch.bench pytorch [--size=64] [--batch=32]

Both sides train the same network on the same shapes with a normalised softmax
of 1,000 classes and SGD with momentum: forward, backward, update. PyTorch is no
requirement of palmjax; it is needed here alone. Machines are shared: the two
take turns and the fastest of several repeats counts.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch import nn

from palmjax.engine import mesh as meshes
from palmjax.losses import metric
from palmjax.models import backbones, heads, mobilefacenet
from palmjax.steps import classify

_CLASSES, _LENGTH = 1000, 128


def conv(kind, before, after, stride=1, linear=False):
  """Convolution, BatchNorm and PReLU, as `models.layers.ConvLayer`."""
  size = 1 if kind == 'pointwise' else 3
  layers = [
    nn.Conv2d(
      before,
      after,
      size,
      stride,
      size // 2,
      groups=before if kind == 'depthwise' else 1,
      bias=False,
    ),
    nn.BatchNorm2d(after),
  ]
  return nn.Sequential(*layers, *([] if linear else [nn.PReLU(after)]))


class Residual(nn.Module):
  """x + f(x), or f(x) + shortcut(x)."""

  def __init__(self, inner, shortcut=None, after=None):
    super().__init__()
    self.inner = inner
    self.shortcut = shortcut or nn.Identity()
    self.after = after or nn.Identity()

  def forward(self, x):
    return self.after(self.shortcut(x) + self.inner(x))


def torch_mobilefacenet(size):
  """MobileFaceNet for grey images of a side that 16 divides."""
  features = mobilefacenet.STEM_FEATURES
  layers = [
    conv('dense', 1, features, 2),
    conv('depthwise', features, features),
  ]
  for expansion, after, blocks, stride in mobilefacenet.BOTTLENECKS:
    for block in range(blocks):
      step = stride if block == 0 else 1
      hidden = expansion * features
      inner = nn.Sequential(
        conv('pointwise', features, hidden),
        conv('depthwise', hidden, hidden, step),
        conv('pointwise', hidden, after, linear=True),
      )
      same = step == 1 and features == after
      layers.append(Residual(inner) if same else inner)
      features = after
  last = mobilefacenet.HEAD_FEATURES
  return nn.Sequential(
    *layers,
    conv('pointwise', features, last),
    nn.Conv2d(last, last, size // 16, groups=last, bias=False),
    nn.BatchNorm2d(last),
    nn.Conv2d(last, _LENGTH, 1, bias=False),
    nn.BatchNorm2d(_LENGTH),
    nn.Flatten(),
  )


def torch_resnet18(size):
  """ResNet-18 with the stem for small images."""
  del size
  layers = [
    nn.Conv2d(1, 64, 3, 1, 1, bias=False),
    nn.BatchNorm2d(64),
    nn.ReLU(),
  ]
  before = 64
  for stage, after in enumerate((64, 128, 256, 512)):
    for block in range(2):
      stride = 2 if stage and not block else 1
      inner = nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, 1, 1, bias=False),
        nn.BatchNorm2d(after),
      )
      shortcut = None
      if stride > 1 or before != after:
        shortcut = nn.Sequential(
          nn.Conv2d(before, after, 1, stride, bias=False),
          nn.BatchNorm2d(after),
        )
      layers.append(Residual(inner, shortcut, nn.ReLU()))
      before = after
  return nn.Sequential(
    *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, _LENGTH)
  )


def torch_step(network, images, labels):
  """One update; returns the function that makes it, and its parameter count."""
  head = nn.Parameter(torch.randn(_CLASSES, _LENGTH) * _LENGTH**-0.5)
  optimiser = torch.optim.SGD([*network.parameters(), head], 0.01, 0.9)

  def step():
    optimiser.zero_grad()
    logits = 32.0 * nn.functional.linear(
      nn.functional.normalize(network(images)), nn.functional.normalize(head)
    )
    nn.functional.cross_entropy(logits, labels).backward()
    optimiser.step()

  return step, sum(p.numel() for p in network.parameters())


def jax_step(name, images, labels):
  """The same with palmjax."""
  model = backbones.build(
    name,
    embedding_size=_LENGTH,
    width=1.0,
    dtype=jnp.float32,
    attention=False,
  )
  tx = optax.sgd(0.01, momentum=0.9)
  state = classify.create_state(
    model,
    tx,
    jax.random.key(0),
    input_shape=(*images.shape[1:3], 1),
    head=heads.init_head(jax.random.key(1), _CLASSES, _LENGTH),
  )
  count = sum(p.size for p in jax.tree.leaves(state.params['backbone']))
  update = meshes.jit_step(
    classify.make_step(
      model,
      tx,
      logits_fn=functools.partial(metric.normalised_logits, scale=32.0),
      preprocess=lambda x: x[..., :1],
      augment=lambda key, x: x,
    ),
    meshes.make(1),
  )
  batch = {'image': images, 'label': labels}
  held = [state]

  def step():
    held[0], _ = update(held[0], None, batch, jax.random.key(2))
    jax.block_until_ready(held[0])

  return step, count


def run(args):
  """Prints the ratio for MobileFaceNet and for ResNet-18."""
  size, count = args.size or 64, args.batch
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
  labels = rng.integers(0, _CLASSES, count, np.int32)
  grey = torch.from_numpy(images[..., 0] / np.float32(127.5) - 1)[:, None]
  for name, network in (
    ('mobilefacenet', torch_mobilefacenet),
    ('resnet18_small', torch_resnet18),
  ):
    theirs, their_count = torch_step(
      network(size), grey, torch.from_numpy(labels.astype(np.int64))
    )
    ours, our_count = jax_step(name, images, labels)
    seconds = {ours: [], theirs: []}
    for _ in range(args.repeats + 1):
      for step, times in seconds.items():
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    mine, other = (min(times[1:]) for times in seconds.values())
    print(
      f'{name:16} {size} px × {count}: palmjax {1e3 * mine:.0f} ms '
      f'({our_count:,} parameters), PyTorch {1e3 * other:.0f} ms '
      f'({their_count:,}), ratio {mine / other:.2f}',
      flush=True,
    )
