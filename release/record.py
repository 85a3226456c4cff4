"""What is kept of a training beside the weights that it made.

Its configuration, its log, and its command for made_by.json, in which
placeholders stand for the paths of the machine that trained.
"""

import json
import re
import shutil

from palmjax import files
from release import made_by

# {identities}x{samples}_{size}px_difficulty{difficulty}_devices…_seed….
_SET = re.compile(
  r'(?P<identities>\d+)x(?P<samples>\d+)_(?P<size>\d+)px'
  r'_difficulty(?P<difficulty>[\d.]+)_devices(?P<devices>\d+)_seed(?P<seed>\d+)'
)


def training(run, *, path, usual, names, workdir='run'):
  """The command that trained a run.

  Args:
    run: path of its workdir.
    path: of the configuration and its variant, 'configs/gesture.py:weights'.
    usual: ConfigDict of that variant; equal values are left out.
    names: {key: what stands in place of its value, unless that is empty}.
    workdir: folder of {workdir} in which the command trains.

  Returns:
    A command of `release.made_by`.

  Raises:
    ValueError: the config of the run has other keys than the variant has now.
  """
  usual = _flat(usual.to_dict())
  config = _flat(json.loads((run / 'config.json').read_text()))
  if odd := sorted(usual.keys() ^ config.keys()):
    raise ValueError(
      f'{run}/config.json and {path.split(":")[0]} differ in the key {odd[0]}: '
      'train again'
    )
  changes = [
    f'--config.{key}={_plain(names.get(key, value) if value else value)}'
    for key, value in sorted(config.items())
    if _plain(value) != _plain(usual[key])
  ]
  words = [f'--config={path}', *changes, f'--workdir={{workdir}}/{workdir}']
  return command('palmjax.main', words, seed=config['seed'])


def command(module, words, *, seed):
  """A command of `release.made_by`: words of a module's command line."""
  return {'argv': ['python', '-m', module, *words], 'seed': seed}


def options(parser, args, *, names):
  """The options of a command line that differ from their defaults.

  Args:
    parser: `argparse.ArgumentParser`.
    args: what it parsed.
    names: {option: what stands in place of its value}; None leaves it out.

  Returns:
    List of words of the command line.
  """
  words = []
  for name, given in vars(args).items():
    value = names.get(name, given)
    if value is None or given == parser.get_default(name):
      continue
    if isinstance(value, list):
      words += [f'--{name}', *map(str, value)]
    else:
      words.append(f'--{name}={value}')
  return words


def drawn_set(directory):
  """The command that drew the set in a folder of `palmjax.data.sets.prepared`.

  Raises:
    ValueError: the folder holds other images than drawn palms.
  """
  match = _SET.search(directory)
  if match is None:
    raise ValueError(
      f'{directory} is no set of drawn palms: weights that anyone may use are '
      'trained on those alone'
    )
  return command(
    'palmjax.prepare',
    [
      '--dataset=drawn_palms',
      '--data_dir={workdir}/sets',
      *(f'--{name}={value}' for name, value in match.groupdict().items()),
    ],
    seed=int(match['seed']),
  )


def keep(run, out, *, prefix=''):
  """Writes configuration and log of a training into a folder.

  Args:
    run: path of the workdir.
    out: path of the folder.
    prefix: of the names of the files.
  """
  config = json.loads((run / 'config.json').read_text())
  # Paths of the machine that trained.
  for section, key in (('data', 'dir'), ('train', 'start'), ('cnn', 'start')):
    if key in config.get(section, {}):
      config[section][key] = ''
  files.write_json(out / f'{prefix}config.json', config)
  shutil.copyfile(run / 'metrics.jsonl', out / f'{prefix}training.jsonl')


def keep_start(start, out):
  """Keeps what is known of the weights that a training went on from.

  Args:
    start: path of shipped weights.
    out: path of the folder; may be the same.

  Returns:
    The commands that made those, in the folder `start` of {workdir}.

  Raises:
    ValueError: those went on from others.
    OSError: a file is missing.
  """
  if (start / 'start_config.json').exists():
    raise ValueError(
      f'{start} went on from other weights: train in one or two steps'
    )
  commands = made_by.read(start)['commands']
  for name in ('config.json', 'training.jsonl'):
    files.write_file(out / f'start_{name}', (start / name).read_bytes())
  return made_by.inside(commands, 'start')


def _plain(value):
  """A value as it stands on a command line; lists of JSON are tuples."""
  return repr(tuple(value)) if isinstance(value, (list, tuple)) else str(value)


def _flat(values, prefix=''):
  """{'train.steps': …} of nested dicts."""
  flat = {}
  for name, value in values.items():
    if isinstance(value, dict):
      flat |= _flat(value, f'{prefix}{name}.')
    else:
      flat[prefix + name] = value
  return flat
