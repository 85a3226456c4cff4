"""A palm network that goes on from an export: its backbone, not its classes."""

from palmjax.networks import described
from palmjax.networks import palm as palm_networks
from palmjax.recipes.shared import palm_training


def from_export(state, config, directory):
  """A fresh state with the backbone of an export; its class weights stay.

  Args:
    state: `TrainState` of a network that the config describes.
    config: as for `palm_training.build`.
    directory: export of `palm_training.train`, or the shipped weights.

  Returns:
    `TrainState`.

  Raises:
    ValueError, OSError: the export is damaged, or of another network or
      pre-processing; names what differs.
  """
  network = _read_start(config, directory)
  return state.replace(
    params={**state.params, 'backbone': network.params['backbone']},
    stats={**state.stats, **network.stats},
  )


def check(config):
  """Raises as `from_export` would, before anything is trained."""
  if config.cnn.start:
    _read_start(config, config.cnn.start)


def _read_start(config, directory):
  """The network that the config describes, and an export holds."""
  network = palm_networks.load(directory)
  _, spec = palm_training.build(config, comparison=network.preprocess.metric)
  for mine, theirs in (
    (config.network.to_dict(), network.description),
    (spec.to_json(), network.preprocess.to_json()),
  ):
    for key, value in mine.items():
      if key not in described.NOT_OF_WEIGHTS and theirs.get(key) != value:
        raise ValueError(
          f'--config.cnn.start={directory} has another {key}: '
          f'{theirs.get(key)}, not {value}'
        )
  return network
