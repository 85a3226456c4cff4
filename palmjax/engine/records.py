"""Records that a run keeps of itself: read, and compared with what is now."""

import json


def read(path):
  """The JSON value of a file.

  Raises:
    ValueError: it is not JSON; says what to do.
  """
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise ValueError(f'{path} is not JSON ({error}): delete it') from error


def require_same(there, here, owner, advice):
  """Refuses values that differ, with the first three differences by name.

  Args:
    there: nested dict of JSON values, as it was written.
    here: the same, as it would be written now.
    owner: what was made of `there`, for the error.
    advice: what to do, for the error.

  Raises:
    ValueError: a value differs, or is on one side only.
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
