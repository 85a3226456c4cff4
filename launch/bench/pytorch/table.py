"""The table of docs/results.md from the rows of `compare`, without PyTorch."""

import os

import jax

# {first word of a row's name: (name in the table, at most so much time)}.
_NETWORKS = {
  'mobilefacenet': ('MobileFaceNet', 0.6),
  'resnet18_small': ('ResNet-18', 0.75),
  'resnet50': ('ResNet-50', None),
  'detector': ('detector', 0.8),
  'gan': ('GAN, D + G + R1 + path length', 0.8),
}


def content(rows, *, repeats, commit, torch):
  """What torch.json holds.

  Args:
    rows: of `compare.run`.
    repeats: turns of each side.
    commit: seven digits of the commit that was measured, or ''.
    torch: version of PyTorch.
  """
  table = {}
  for row in rows:
    name, goal = _NETWORKS[row['name'].replace(',', ' ').split()[0]]
    table[name] = {"time / PyTorch's": {'mean': round(row['ratio'], 2)}}
    if goal:
      table[name]['goal'] = {'mean': goal}
  sizes = '; '.join(row['name'] for row in rows)
  return {
    'command': f'python -m launch.bench pytorch --repeats={repeats} --out=DIR',
    'measured_at': commit,
    'runs': (
      f'one process; {jax.devices()[0].device_kind}, {os.cpu_count()} cores; '
      f'jax {jax.__version__}, torch {torch}; {sizes}'
    ),
    'table': table,
  }
