"""The command line that a run was made with, of the config that it kept.

For the README files of shipped weights: paths of the machine that trained have
other names there.
"""

import json


def training(run, *, path, usual, names, workdir='RUN'):
  """The command that trained a run.

  Args:
    run: path of its workdir.
    path: of the configuration and its variant, 'configs/gesture.py:weights'.
    usual: ConfigDict of that variant; what is the same there is not named.
    names: {key: what stands in place of its value, unless that is empty}.
    workdir: name of the workdir in the command.

  Returns:
    str of several lines.

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
  lines = [f'python -m palmjax.main --config={path}']
  return ' \\\n  '.join([*lines, *changes, f'--workdir={workdir}'])


def _plain(value):
  """A value as it stands on a command line; lists of JSON are tuples."""
  if isinstance(value, (list, tuple)):
    return f'"{tuple(value)!r}"'
  return str(value)


def _flat(values, prefix=''):
  """{'train.steps': …} of nested dicts."""
  found = {}
  for name, value in values.items():
    if isinstance(value, dict):
      found |= _flat(value, f'{prefix}{name}.')
    else:
      found[prefix + name] = value
  return found
