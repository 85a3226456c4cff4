"""What devices and the server say to each other: JSON bodies and join codes.

Ids are UUIDs that the device makes. A device sends pseudonyms and images, never
names. Every PUT may be sent again with the same bytes.
"""

import datetime
import re
import uuid
from typing import Annotated, Literal

import pydantic

# Bytes and pixels of an image that the server takes.
MOST_BYTES = 2 * 2**20
MOST_PIXELS = 4_000_000
LEAST_SIDE = 32


def _number(value):
  # Pydantic would read true as 1, and a text as the number in it.
  if isinstance(value, (bool, str)):
    raise ValueError('give a number')
  return value


def _written(value):
  # Pydantic would read a number as seconds since 1970.
  if isinstance(value, (str, datetime.datetime)):
    return value
  raise ValueError('write the time as in 2026-01-31T12:00:00Z')


_NUMBER = pydantic.BeforeValidator(_number)
Share = Annotated[float, pydantic.Field(ge=0, le=1), _NUMBER]
Count = Annotated[int, pydantic.Field(ge=0, le=10**9), _NUMBER]
Version = Annotated[int, pydantic.Field(ge=1, le=10**9), _NUMBER]
Score = Annotated[
  float, pydantic.Field(ge=0, le=100, allow_inf_nan=False), _NUMBER
]
Moment = Annotated[pydantic.AwareDatetime, pydantic.BeforeValidator(_written)]
Digest = Annotated[str, pydantic.Field(pattern=r'^[0-9a-f]{64}$')]


class _Body(pydantic.BaseModel):
  """A JSON body or a query: unknown keys are refused."""

  model_config = pydantic.ConfigDict(extra='forbid')


class Probability(_Body):
  """Probability that a sample shows the palm of a reference."""

  reference: uuid.UUID
  probability: Share


class Label(_Body):
  """What the teacher says of a second target sample (claim 5b).

  Attributes:
    sample: id.
    reference: the most probable one; None: a stranger to the teacher.
    confidence: probability of the most probable one, stranger or not.
    soft: of all references of the device when the sample was labelled.
  """

  sample: uuid.UUID
  reference: uuid.UUID | None
  confidence: Share
  soft: list[Probability]


class LabelsQuery(_Body):
  """How many labels a device takes at once."""

  limit: Annotated[int, pydantic.Field(ge=1, le=1000)] = 100


class LatestPackage(_Body):
  """The package that a device should have."""

  digest: Digest
  version: Version
  size: Count


class Update(_Body):
  """An update that a device tried."""

  at: Moment
  outcome: Literal['taken', 'refused', 'rolled back']
  samples: Count
  fnmr_before: Share
  fnmr_after: Share


class Report(_Body):
  """State of a device; holds no biometric data.

  Attributes:
    student: digest of the package that its student came from.
    version: of that package.
    updates: that were not reported yet.
    kept, waiting: samples that await training, and those without a label.
    score_mean, score_std: of accepted attempts since the last report.
    attempts: since the last report.
  """

  student: Digest
  version: Version
  kept: Count
  waiting: Count
  attempts: Count
  score_mean: Score | None
  score_std: Score | None
  updates: Annotated[list[Update], pydantic.Field(max_length=100)]


class NewDevice(_Body):
  """Request of an administrator: a device with a label of his choice."""

  label: Annotated[
    str, pydantic.Field(min_length=1, max_length=80, pattern=r'^[^\x00-\x1f]+$')
  ]


def is_label(text):
  """Whether a device may have this label; one of spaces alone names nothing."""
  try:
    NewDevice(label=text)
  except pydantic.ValidationError:
    return False
  return bool(text.strip())


class Granted(_Body):
  """A token, which is told once."""

  device: uuid.UUID
  token: str
  expires: datetime.datetime


class Device(_Body):
  """A device as the administrator sees it."""

  device: uuid.UUID
  label: str
  expires: datetime.datetime
  revoked: bool
  seen: datetime.datetime | None


_CODE = re.compile(r'(palm_[\w-]{43})\.([0-9a-f]{64})')


def join_code(token, public_key):
  """What an administrator gives to a device: its token and the server's key."""
  return f'{token}.{public_key}'


def read_join_code(code):
  """(token, public key) of a code.

  Raises:
    ValueError: the text is no code.
  """
  match = _CODE.fullmatch(code.strip())
  if not match:
    raise ValueError(
      'this is no join code: it is one word, printed by python -m '
      'palmjax.edge.server --add-device=LABEL'
    )
  return match[1], match[2]
