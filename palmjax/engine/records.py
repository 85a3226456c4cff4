"""Records of a run as JSON: read, and compared key by key."""

import json


def read(path):
  """The value of a JSON file.

  Args:
    path: `pathlib.Path`.

  Raises:
    ValueError: the file is not JSON; says to delete it.
  """
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise ValueError(f'{path} is not JSON ({error}): delete it') from error


def require_same(there, here, owner, advice):
  """Refuses a record that differs from the one that is stored.

  Args:
    there: dict of JSON values, the stored record.
    here: likewise, of this run.
    owner: what the record is of, in words.
    advice: what to do.

  Raises:
    ValueError: names the first three keys that differ, with both values.
  """
  there, here = _flatten(there), _flatten(here)
  differences = [
    f'{name} = {_show(there, name)} there and {_show(here, name)} here'
    for name in sorted(there.keys() | here.keys())
    if (name in there, there.get(name)) != (name in here, here.get(name))
  ]
  if differences:
    rest = len(differences) - 3
    more = f', and {rest} more' if rest > 0 else ''
    raise ValueError(
      f'{owner} was made otherwise: {", ".join(differences[:3])}{more}; '
      f'{advice}'
    )


def _flatten(value, name=''):
  """Nested dicts as one dict with dotted names."""
  if isinstance(value, dict) and (value or not name):
    return {
      k: v
      for key, item in value.items()
      for k, v in _flatten(item, f'{name}.{key}' if name else key).items()
    }
  return {name: value}


def _show(flat, name):
  return json.dumps(flat[name])[:60] if name in flat else 'nothing'
