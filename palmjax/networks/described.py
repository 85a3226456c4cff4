"""Checks what an export says of its network, before the network is built."""

import contextlib
import math
import os

from palmjax import json_values

_BELOW_ONE = json_values.Rule(
  lambda value: json_values.is_number(value) and 0 <= value < 1,
  'give 0 or more and less than 1',
)

DTYPE = json_values.one_of('float32', 'bfloat16')
FACTOR = json_values.between(0, math.inf)  # Of channel counts.
# What model.json says of the training. Exports of earlier versions lack it.
OF_TRAINING = {
  'batch_norm_momentum': json_values.optional(_BELOW_ONE),
  'ended': json_values.optional(
    json_values.one_of('converged', 'threshold', 'cap')
  ),
}
# What says nothing of the weights: they are float32, whatever computed them.
NOT_OF_WEIGHTS = (*OF_TRAINING, 'dtype')


def build(export, rules, function, directory):
  """Builds the network that model.json describes.

  Args:
    export: `networks.export.Export`.
    rules: {key of `model`: `json_values.Rule`}.
    function: the values of `model` → flax module.
    directory: where the export came from, for the message.

  Raises:
    ValueError: names the file and the first key that is missing, unknown or has
      an impossible value.
  """
  with _named(directory, 'model.json'):
    json_values.check(export.model, rules)
    return function(export.model)


def read_input(export, kind, directory):
  """Reads and checks preprocess.json: a `NetworkInput`.

  Args:
    export: `networks.export.Export`.
    kind: subclass of `images.network_input.NetworkInput`.
    directory: where the export came from, for the message.

  Raises:
    ValueError: as `build`.
  """
  with _named(directory, 'preprocess.json'):
    return kind.from_json(export.preprocess)


def check_no_input(export, directory):
  """Raises ValueError where preprocess.json of a generator says anything."""
  with _named(directory, 'preprocess.json'):
    json_values.check(export.preprocess, {})


@contextlib.contextmanager
def _named(directory, name):
  """Errors say which file of which folder, and what to do."""
  try:
    yield
  except ValueError as error:
    raise ValueError(
      f'{os.path.join(directory, name)}: {error}; export the network again'
    ) from error
