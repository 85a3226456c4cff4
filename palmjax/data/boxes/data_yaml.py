"""Reads the data.yaml of a YOLO data set."""

from typing import NamedTuple

import yaml


class DataYaml(NamedTuple):
  """Contents of a data.yaml: classes, folders, key points.

  Attributes:
    names: of the classes, {number: name}.
    root: `path`, to which the places are relative; '' where there is none.
    places: {'train', 'val', …: folders or lists of images, as they stand}.
    keypoints: `kpt_shape`, (key points of a box, numbers of each); None where
      there is none.
  """

  names: dict[int, str]
  root: str
  places: dict[str, tuple[str, ...]]
  keypoints: tuple[int, int] | None


def read(path) -> DataYaml:
  """Reads a data.yaml.

  Raises:
    ValueError: no YAML, or no class names; one line that names the file.
  """
  try:
    values = yaml.load(path.read_bytes(), Loader=_Loader)
  except (OSError, MemoryError):
    raise
  except Exception as error:
    # PyYAML also raises what Python's types raise, e.g. for 2024-13-13.
    text = ' '.join(str(error).split())
    raise ValueError(f'{path} cannot be read as YAML: {text}') from error
  if not isinstance(values, dict):
    values = {}
  root = values.get('path')
  return DataYaml(
    names=_names(path, values.get('names')),
    root=root if isinstance(root, str) else '',
    places={
      key: _places(path, key, values[key])
      for key in ('train', 'val', 'valid', 'test')
      if values.get(key)
    },
    keypoints=_keypoints(path, values.get('kpt_shape')),
  )


class _Loader(yaml.SafeLoader):
  """YAML's own types, and no key twice: PyYAML would keep the last."""

  def construct_mapping(self, node, deep=False):
    keys = [(key.tag, key.value) for key, _ in node.value if key.id == 'scalar']
    for key in keys:
      if keys.count(key) > 1:
        raise yaml.constructor.ConstructorError(
          None, None, f'the key {key[1]} stands twice', node.start_mark
        )
    return super().construct_mapping(node, deep)


def _names(path, value):
  """{number: name} of a list or a mapping."""
  if isinstance(value, list):
    entries = list(enumerate(value))
  elif isinstance(value, dict):
    entries = list(value.items())
  else:
    entries = []
  if not entries:
    raise ValueError(
      f"{path}: no class names; write them as names: ['one', 'two']"
    )
  names = {}
  for key, name in entries:
    try:
      number = int(key) if isinstance(key, (int, str)) else None
    except ValueError:
      number = None
    if number is None or isinstance(key, bool) or number < 0:
      raise ValueError(f'{path}: class {key!r} of names is no number from 0 on')
    if number in names:
      raise ValueError(f'{path}: class {number} of names stands twice')
    # `yes` and `no` are truth values in YAML, `null` is nothing.
    if isinstance(name, bool) or not isinstance(name, (str, int, float)):
      raise ValueError(
        f'{path}: the name of class {number} is {name!r} in YAML; put it in '
        'quotes'
      )
    names[number] = str(name).strip()
    if not names[number]:
      raise ValueError(f'{path}: class {number} has no name')
  return dict(sorted(names.items()))


def _places(path, key, value):
  entries = value if isinstance(value, list) else [value]
  for entry in entries:
    if not isinstance(entry, str):
      raise ValueError(f'{path}: {key}: {entry!r} is no folder')
  return tuple(entries)


def _keypoints(path, shape):
  if shape is None:
    return None
  is_shape = (
    isinstance(shape, list)
    and len(shape) == 2
    and all(type(number) is int for number in shape)
    and shape[0] > 0
    and shape[1] in (2, 3)
  )
  if not is_shape:
    raise ValueError(
      f'{path}: kpt_shape: {shape!r}; write it as [key points, 2 or 3 numbers]'
    )
  return tuple(shape)
