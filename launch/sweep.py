"""Runs a configuration's sweep() and writes its table, mean ± s.d. over runs.

python -m launch.sweep --config configs/ssl.py --workdir runs/ssl_sweep

Every run is a process of its own in WORKDIR/<overrides>; the same command
again resumes what was cut off and skips what is done. WORKDIR/table.md is the
table, WORKDIR/table.json the same numbers for machines.
"""

import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys

from absl import app, flags

_CONFIG = flags.DEFINE_string('config', None, 'File with get_config, sweep.')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the whole sweep.')
_METRICS = flags.DEFINE_list(
  'metrics', ['eer', 'eer/control', 'tar@far=1e-2', 'tar@far=1e-3'], 'Columns.'
)
_ARGS = flags.DEFINE_multi_string(
  'override', [], 'KEY=VALUE for every run, e.g. data.difficulty=0.3.'
)


def summarise(runs, metrics):
  """Collects mean and standard deviation over runs.

  Args:
    runs: two or more parsed metrics.json.
    metrics: names of the columns.

  Returns:
    {model: {metric: {'mean', 'std', 'values'}}}; a metric that some run could
    not measure is {'reason': text}; one that a model lacks is left out.
  """
  table = {}
  for model in runs[0]['models']:
    rows = [run['models'][model] for run in runs]
    for metric in metrics:
      cells = [row.get(metric) for row in rows]
      if None in cells:
        continue
      missing = [cell['reason'] for cell in cells if cell['value'] is None]
      values = [cell['value'] for cell in cells]
      table.setdefault(model, {})[metric] = (
        {'reason': missing[0]}
        if missing
        else {
          'mean': statistics.fmean(values),
          'std': statistics.stdev(values),
          'values': values,
        }
      )
  return table


def markdown(table, metrics):
  """Returns the table as Markdown, one model a row."""
  lines = [
    '| model | ' + ' | '.join(metrics) + ' |',
    '| --- |' + ' --- |' * len(metrics),
  ]
  for model, cells in table.items():
    texts = [_text(cells.get(metric)) for metric in metrics]
    lines.append(f'| {model} | ' + ' | '.join(texts) + ' |')
  return '\n'.join(lines) + '\n'


def _text(cell):
  if cell is None:
    return '–'
  if 'reason' in cell:
    return cell['reason']
  return f'{cell["mean"]:.4f} ± {cell["std"]:.4f}'


def load(path):
  """Imports the configuration file at `path`, its argument cut off."""
  spec = importlib.util.spec_from_file_location('sweep_config', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def main(_):
  if not _CONFIG.value or not _WORKDIR.value:
    raise app.UsageError('give --config and --workdir')
  runs = []
  workdir = pathlib.Path(_WORKDIR.value)
  for overrides in load(_CONFIG.value.split(':')[0]).sweep():
    pairs = [f'{key}={value}' for key, value in overrides.items()]
    directory = workdir / '_'.join(pairs)
    command = [sys.executable, '-m', 'palmjax.main']
    command += [f'--config={_CONFIG.value}', f'--workdir={directory}']
    command += [f'--config.{pair}' for pair in pairs + _ARGS.value]
    print('+', ' '.join(command[1:]), flush=True)
    if subprocess.run(command, check=False).returncode:
      sys.exit(f'sweep: the run in {directory} failed; its last line says why')
    if not (directory / 'metrics.json').exists():
      sys.exit(f'sweep: stopped in {directory}; the same command resumes')
    runs.append(json.loads((directory / 'metrics.json').read_text()))
  table = summarise(runs, _METRICS.value)
  (workdir / 'table.json').write_text(json.dumps(table, indent=2) + '\n')
  text = markdown(table, _METRICS.value)
  (workdir / 'table.md').write_text(text)
  print(text)


if __name__ == '__main__':
  app.run(main)
