"""Input of a network as its export describes it: preprocess.json, checked.

One class for all networks that look at images. Each kind of network adds its
own values: palms in `images.preprocess`, hands in `networks.hand`, crops of
palm frames in `networks.palm_frame`.
"""

import dataclasses
from typing import ClassVar

from palmjax import json_values

CHANNELS = {'grey': 1, 'rgb': 3}


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkInput:
  """The values of preprocess.json that all networks have.

  Attributes:
    image_size: side of the network's input in pixels.
    channels: 'grey' or 'rgb'.
    value_range: of the images that the network's pre-processing is given.
  """

  image_size: int
  channels: str = 'rgb'
  value_range: tuple[float, float] = (-1.0, 1.0)

  RULES: ClassVar[dict[str, json_values.Rule]] = {
    'image_size': json_values.Rule(
      json_values.whole(8).holds, 'give 8 pixels or more'
    ),
    'channels': json_values.one_of('rgb'),
    'value_range': json_values.Rule(
      lambda value: value == (-1.0, 1.0), 'this code works in (-1.0, 1.0)'
    ),
  }

  def __post_init__(self):
    """Raises ValueError on values that no image can be brought to."""
    for key, rule in self.RULES.items():
      json_values.check_value(key, getattr(self, key), rule)

  @property
  def shape(self):
    """Shape (h, w, c) of one image of the network's input."""
    return (self.image_size, self.image_size, CHANNELS[self.channels])

  def to_json(self):
    """Returns the plain values for preprocess.json."""
    return {
      key: list(value) if isinstance(value, tuple) else value
      for key, value in dataclasses.asdict(self).items()
      # An empty value of a key that may be missing says nothing.
      if self.RULES[key].needed or value
    }

  @classmethod
  def from_json(cls, values):
    """Builds it from `to_json`'s values.

    Raises:
      ValueError: a key is missing, unknown, or has an impossible value.
    """
    json_values.check_keys(values, cls.RULES)
    return cls(
      **{
        key: tuple(value) if isinstance(value, list) else value
        for key, value in values.items()
      }
    )
