"""Runs a configuration's sweep() and writes its table, mean ± s.d. over seeds.

python -m launch.sweep --config configs/ssl.py --workdir runs/ssl_sweep
python -m launch.sweep --config configs/metric.py:losses --workdir runs/losses

sweep() returns dicts of overrides, columns() the metrics that the table shows.
Without the key 'row' every model of the recipe is a row of the table; with it,
every value of 'row' is one, for the model given by --model, or for the only
model of the run. A row of one run has no s.d.; its interval stands in brackets.

Every run is a process of its own in WORKDIR/<overrides>. The runs share their
compiled programs (`palmjax.compile_cache`). The same command again resumes what
was cut off and skips what is done. WORKDIR/table.md is the table. For machines
WORKDIR/table.json holds the same numbers, the value of each run and its
interval. --table writes a JSON file as docs/results has them.
"""

import json
import pathlib
import statistics
import subprocess
import sys

from absl import app, flags

from palmjax import config_file, files

_CONFIG = flags.DEFINE_string('config', None, 'File of the sweep.')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the whole sweep.')
_METRICS = flags.DEFINE_list(
  'metrics', None, "Columns, in place of the configuration's."
)
_MODEL = flags.DEFINE_string('model', 'network', 'Model of tables by row.')
_TABLE = flags.DEFINE_string('table', None, 'JSON file, as in docs/results.')
_COMMIT = flags.DEFINE_string('commit', '', 'Commit to name in that file.')
_ARGS = flags.DEFINE_multi_string(
  'override', [], 'KEY=VALUE for every run, e.g. data.difficulty=0.3.'
)


def summarise(groups, metrics):
  """Collects mean and standard deviation over runs.

  Args:
    groups: {row: one or more {metric: {'value', …}}, one of each run}.
    metrics: names of the columns.

  Returns:
    {row: {metric: {'mean', 'std', 'values', 'intervals'}}}; of one run there is
    no 'std', and of metrics without intervals no 'intervals', which are pairs
    (low, high) in the order of the values. A metric that some run could not
    measure is {'reason': text}; one that a row lacks is left out.
  """
  table = {}
  for name, rows in groups.items():
    for metric in metrics:
      cells = [row.get(metric) for row in rows]
      if None in cells:
        continue
      missing = [cell['reason'] for cell in cells if cell['value'] is None]
      table.setdefault(name, {})[metric] = (
        {'reason': missing[0]} if missing else _over_runs(cells)
      )
  return table


def _over_runs(cells):
  values = [cell['value'] for cell in cells]
  summary = {'mean': statistics.fmean(values)}
  if len(values) > 1:
    summary['std'] = statistics.stdev(values)
  summary['values'] = values
  if all('low' in cell for cell in cells):
    summary['intervals'] = [(cell['low'], cell['high']) for cell in cells]
  return summary


def markdown(table, metrics):
  """Returns the table as Markdown."""
  lines = [
    '| model | ' + ' | '.join(metrics) + ' |',
    '| --- |' + ' --- |' * len(metrics),
  ]
  for name, cells in table.items():
    texts = [_text(cells.get(metric)) for metric in metrics]
    lines.append(f'| {name} | ' + ' | '.join(texts) + ' |')
  return '\n'.join(lines) + '\n'


def _text(cell):
  if cell is None:
    return '–'
  if 'reason' in cell:
    return cell['reason']
  # Counts have no decimals.
  form = ',.0f' if all(isinstance(v, int) for v in cell['values']) else '.4f'
  text = format(cell['mean'], form)
  if 'std' in cell:
    return f'{text} ± {cell["std"]:{form}}'
  if 'intervals' not in cell:
    return text
  low, high = cell['intervals'][0]
  return f'{text} [{low:{form}}, {high:{form}}]'


def record(table, runs):
  """What a file of docs/results holds, from a table and its runs."""
  words = [f'--config {_CONFIG.value}', f'--workdir {_WORKDIR.value}']
  words += [f'--override {pair}' for pair in _ARGS.value]
  given = dict(pair.split('=', 1) for pair in _ARGS.value)
  seeds = [given['seed']] if 'seed' in given else [run['seed'] for run in runs]
  return {
    'command': ' '.join(['python -m launch.sweep', *words]),
    'measured_at': _COMMIT.value,
    'runs': f'seeds {", ".join(map(str, dict.fromkeys(seeds)))}',
    'table': _rounded(table),
  }


def _rounded(value):
  match value:
    case dict():
      return {name: _rounded(one) for name, one in value.items()}
    case list() | tuple():
      return [_rounded(one) for one in value]
    case float():
      return round(value, 6)
  return value


def is_done(directory, overrides):
  """Whether a run of this very configuration has written all it writes."""
  # Options of the command line are text, of which only a run knows the type.
  files = [directory / name for name in ('config.json', 'report.html')]
  if _ARGS.value or not all(file.exists() for file in files):
    return False
  config = config_file.read(_CONFIG.value)
  config.update_from_flattened_dict(overrides)
  wanted = json.loads(json.dumps(config.to_dict()))
  return json.loads(files[0].read_text()) == wanted


def read(directory):
  """The models of a run, with the time that each takes for an image."""
  models = json.loads((directory / 'metrics.json').read_text())['models']
  facts = json.loads((directory / 'run.json').read_text())
  times = facts.get('ms_per_image', {})
  if not isinstance(times, dict):  # Of one model: what tables by row show.
    times = {_MODEL.value: times}
  for name, milliseconds in times.items():
    models[name]['ms/image'] = {'value': milliseconds}
  return models


def runs_of(config):
  """The dicts of overrides of FILE or FILE:ARGUMENT."""
  path, arguments = config_file.find(config)
  return config_file.load(path).sweep(*arguments)


def columns_of(config):
  """The metrics that the table of FILE or FILE:ARGUMENT shows."""
  path, arguments = config_file.find(config)
  return config_file.load(path).columns(*arguments)


def main(argv):
  if argv[1:]:
    raise app.UsageError(f'{argv[1]} is no argument: options begin with --')
  if not _CONFIG.value or not _WORKDIR.value:
    raise app.UsageError('give --config and --workdir')
  groups = {}
  try:
    columns = _METRICS.value or columns_of(_CONFIG.value)
    runs = runs_of(_CONFIG.value)
  except ValueError as error:
    sys.exit(f'sweep: {error}')
  workdir = pathlib.Path(_WORKDIR.value).expanduser()
  for overrides in runs:
    row = overrides.pop('row', None)
    pairs = [f'{key}={value}' for key, value in overrides.items()]
    directory = workdir / '_'.join(pairs)
    command = [sys.executable, '-m', 'palmjax.main']
    command += [f'--config={_CONFIG.value}', f'--workdir={directory}']
    command += [f'--config.{pair}' for pair in pairs + _ARGS.value]
    if not is_done(directory, overrides):
      print('+', ' '.join(command[1:]), flush=True)
      if subprocess.run(command, check=False).returncode:
        sys.exit(
          f'sweep: the run in {directory} failed; its last line says why'
        )
    if not (directory / 'metrics.json').exists():
      sys.exit(f'sweep: stopped in {directory}; the same command resumes')
    models = read(directory)
    if row is not None:
      (only,) = models if len(models) == 1 else (_MODEL.value,)
      models = {row: models[only]}
    for name, values in models.items():
      groups.setdefault(name, []).append(values)
  table = summarise(groups, columns)
  (workdir / 'table.json').write_text(json.dumps(table, indent=2) + '\n')
  if _TABLE.value:
    files.write_json(pathlib.Path(_TABLE.value), record(table, runs))
  text = markdown(table, columns)
  (workdir / 'table.md').write_text(text)
  print(text)


if __name__ == '__main__':
  app.run(main)
