"""Two sides take turns on one machine, and a row says how they compare."""

import contextlib
import functools
import time

import torch

from palmjax.engine import allocator

_CALLS = 4


def take_turns(made, repeats):
  """{name: fewest seconds} of functions that wait for their results.

  A turn is several calls, as a training makes steps of one kind. The first is
  not counted: it finds the caches, and PyTorch's waiting threads, of the turn
  before.
  """
  times = {name: [] for name in made}
  for turn in range(repeats + 1):
    if turn == 1:
      allocator.retire_holes()  # As in a training, of both sides.
    for name, step in made.items():
      for call in range(1 if turn == 0 else _CALLS):
        begun = time.perf_counter()
        step()
        if call > 0:
          times[name].append(time.perf_counter() - begun)
  return {name: min(each) for name, each in times.items()}


def report(name, mine, other, counts):
  """Prints a row and returns it.

  Args:
    name: of what both sides compute.
    mine, other: seconds of palmjax and of PyTorch.
    counts: their numbers of parameters.
  """
  print(
    f'{name:36} palmjax {1e3 * mine:.1f} ms ({counts[0]:,} parameters), '
    f'PyTorch {1e3 * other:.1f} ms ({counts[1]:,}), ratio {mine / other:.2f}',
    flush=True,
  )
  return {
    'name': name,
    'seconds': mine,
    'torch_seconds': other,
    'ratio': mine / other,
    'params': counts[0],
    'torch_params': counts[1],
  }


def device():
  """PyTorch's GPU if it has one, else the CPU."""
  return torch.device('cuda' if torch.cuda.is_available() else 'cpu')


def autocast(device, dtype):
  """Context manager's factory: on a GPU PyTorch computes in `dtype`, too."""
  if device.type == 'cpu' or dtype == 'float32':
    return contextlib.nullcontext
  return functools.partial(torch.autocast, 'cuda', getattr(torch, dtype))


def compiled(device):
  """`torch.compile` on a GPU, else a function that changes nothing."""
  return torch.compile if device.type == 'cuda' else lambda network: network


def synced(update):
  """An update that waits for the GPU."""

  def step():
    update()
    if torch.cuda.is_available():
      torch.cuda.synchronize()

  return step
