"""What the server knows: teacher, student, keys, limits; and its folder."""

import dataclasses
import hashlib
import os

import numpy as np
import sqlalchemy as sa

from palmjax import files
from palmjax.edge import package, sealing, thresholds
from palmjax.edge.server import database, tokens
from palmjax.images import image_file
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks

_SEALING, _SIGNING, _DATABASE = 'sealing.key', 'signing.key', 'server.db'
# A row that only the key of the database opens.
_SEALED = 'sealed'


@dataclasses.dataclass(frozen=True)
class Limits:
  """What one device, and all together, may ask for.

  Attributes:
    rate, burst: requests a second of a device, and at once.
    waiting: images that may wait for the teacher, of all devices.
    batch: images that the teacher embeds at once.
  """

  rate: float = 50.0
  burst: float = 200.0
  waiting: int = 10_000
  batch: int = 16


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Service:
  """A server without its network: teacher, tables and keys.

  Attributes:
    engine: of the database.
    teacher: `PalmNetwork`.
    threshold: cosine below which a palm is a stranger to the teacher.
    scale: of the teacher's logits.
    sealer: `sealing.Sealer` of images and embeddings.
    cookie_key: bytes that sessions of the page are signed with.
    public_key: that devices trust.
    limits: `Limits`.
  """

  engine: sa.Engine
  teacher: palm_networks.PalmNetwork
  threshold: float
  scale: float
  sealer: sealing.Sealer
  cookie_key: bytes
  public_key: str
  limits: Limits


def start(
  *,
  folder,
  teacher,
  student,
  impostors,
  rehearsed,
  fmr,
  scale=None,
  database_url=None,
  limits=None,
):
  """Opens or makes a server's folder, tables, keys and package.

  Args:
    folder: of keys and, without `database_url`, of the database.
    teacher: export folder.
    student: export folder; a student that changed becomes the next version.
    impostors: list of uint8 [S, S, 3], one image of each of W palms.
    rehearsed: likewise, of other palms, for updates of devices.
    fmr: false match rate that thresholds are set for.
    scale: s of the teacher's logits; None: that of its export.
    database_url: of SQLAlchemy.
    limits: `Limits`.

  Returns:
    (`Service`, the administrator's token at the first start, else None).

  Raises:
    ValueError, OSError: one line that says what to do.
  """
  folder = files.make_folder(folder)
  os.chmod(folder, 0o700)
  network = palm_networks.load(teacher)
  scale = scale or network.description.get('scale')
  if scale is None:
    raise ValueError(
      f'{teacher} does not tell the scale of its logits: give --scale, which '
      'is 32 in configs/distill.py'
    )
  side = exports.load(student).preprocess['image_size']
  embeddings = network.embed(_resized(impostors, network.preprocess.image_size))
  key = sealing.key_of_file(folder / _SEALING, make=True)
  signing = package.load_private(
    sealing.key_of_file(folder / _SIGNING, make=True)
  )
  service = Service(
    engine=database.connect(database_url or f'sqlite:///{folder / _DATABASE}'),
    teacher=network,
    threshold=thresholds.cosine(embeddings, fmr),
    scale=scale,
    sealer=sealing.Sealer(key),
    cookie_key=hashlib.sha256(b'cookie' + key).digest(),
    public_key=package.public_text(signing),
    limits=limits or Limits(),
  )
  with database.session(service.engine) as session:
    _require_key(session, service.sealer, folder / _SEALING)
    token = tokens.first_admin(session)
    palms = [_resized(images, side) for images in (impostors, rehearsed)]
    _offer(session, student, palms, fmr, signing)
  return service, token


def _require_key(session, sealer, path):
  """Raises ValueError if the database was sealed with another key."""
  table = database.SettingRow
  sealed = sealer.seal(b'', _SEALED).hex()
  if database.insert(session, table, name=_SEALED, value=sealed):
    return
  kept = session.get(table, _SEALED).value
  try:
    sealer.open(bytes.fromhex(kept), _SEALED)
  except sealing.SealError as error:
    raise ValueError(
      f'{path} is not the key that this database was sealed with: put that '
      'file back, or give another --database'
    ) from error


def _resized(images, side):
  return np.stack([image_file.square(image, size=side) for image in images])


def _offer(session, student, palms, fmr, key):
  """Adds the student as the next version, unless it is the latest one."""
  latest = latest_package(session)
  if latest is not None:
    again = package.build(
      student, *palms, version=latest.version, fmr=fmr, private_key=key
    )
    if package.digest_of(again) == latest.digest:
      return
  version = 1 if latest is None else latest.version + 1
  content = package.build(
    student, *palms, version=version, fmr=fmr, private_key=key
  )
  session.add(
    database.PackageRow(
      digest=package.digest_of(content),
      version=version,
      made=database.now(),
      content=content,
    )
  )


def latest_package(session):
  """(digest, version, size) of the package to ship by name, or None."""
  table = database.PackageRow
  size = sa.func.length(table.content).label('size')
  query = sa.select(table.digest, table.version, size)
  return session.execute(
    query.order_by(table.version.desc()).limit(1)
  ).one_or_none()
