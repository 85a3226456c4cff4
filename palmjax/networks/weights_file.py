"""weights.npz: a tree of arrays as bytes that depend on the content alone."""

import io
import zipfile

import flax.traverse_util
import numpy as np

# The earliest time a zip file can hold.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def flatten(variables):
  """A nested dict of arrays as {'a/b/c': array}.

  Raises:
    ValueError: a name that is no string, or holds a slash.
  """
  flat = {}
  for path, leaf in flax.traverse_util.flatten_dict(variables).items():
    if not all(isinstance(name, str) and '/' not in name for name in path):
      raise ValueError(f'variables named {path}: names are strings without /')
    flat['/'.join(path)] = leaf
  return flat


def pack(variables):
  """Packs variables into the bytes of weights.npz.

  Args:
    variables: nested dict of arrays of NumPy's own number types.

  Raises:
    ValueError: a leaf that is no array of numbers, or a name with '/'.
  """
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_STORED) as archive:
    for name, leaf in sorted(flatten(variables).items()):
      array = np.asarray(leaf)
      if array.dtype.kind not in 'biuf':
        raise ValueError(f'{name} holds {array.dtype}; exports hold numbers')
      # One byte order and C layout, whatever the array had.
      array = np.ascontiguousarray(array, array.dtype.newbyteorder('<'))
      entry = zipfile.ZipInfo(f'{name}.npy', _NO_TIME)
      entry.create_system = 3  # Else it tells the operating system.
      content = io.BytesIO()
      np.lib.format.write_array(
        # `reshape`: ascontiguousarray made vectors of scalars.
        content,
        array.reshape(np.shape(leaf)),
        version=(1, 0),
        allow_pickle=False,
      )
      archive.writestr(entry, content.getvalue())
  return buffer.getvalue()


def unpack(weights, path):
  """Unpacks variables from the bytes of weights.npz.

  Args:
    weights: bytes.
    path: of the file, for the error.

  Returns:
    Nested dict of arrays in buffers of their own.

  Raises:
    ValueError: the bytes are damaged.
  """
  try:
    with np.load(io.BytesIO(weights), allow_pickle=False) as archive:
      flat = {tuple(name.split('/')): archive[name] for name in archive.files}
  except (ValueError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(f'{path} is damaged: {error}') from error
  return flax.traverse_util.unflatten_dict(flat)
