"""Bearer tokens: 256 random bits, of which the server keeps a hash."""

import datetime
import hashlib
import hmac
import secrets
import uuid

import sqlalchemy as sa

from palmjax.edge.server import database

LIFE = datetime.timedelta(days=365)
# The old token stays good so long after a rotation.
GRACE = datetime.timedelta(minutes=10)
_ADMIN = 'admin_hash'
_ADVICE = 'ask the administrator for a new code, then run join CODE'


class RefusedError(Exception):
  """A token is missing, wrong, expired or revoked; the text says which."""


class LabelError(ValueError):
  """A label is that of another device; the text says what to do."""


def new():
  """A fresh token."""
  return f'palm_{secrets.token_urlsafe(32)}'


def hash_of(token):
  """Hash of a token. It is random, so a slow hash would protect nothing."""
  return hashlib.sha256(token.encode()).hexdigest()


def first_admin(session):
  """Makes the administrator's token, if there is none yet; else None."""
  token = new()
  table, value = database.SettingRow, hash_of(token)
  made = database.insert(session, table, name=_ADMIN, value=value)
  return token if made else None


def new_admin(session):
  """Another token of the administrator; the old one and its logins end."""
  token = new()
  session.get(database.SettingRow, _ADMIN).value = hash_of(token)
  return token


def admin_hash(session):
  """Hash of the administrator's token."""
  return session.get(database.SettingRow, _ADMIN).value


def is_admin(session, token):
  """Whether a token is that of the administrator."""
  return hmac.compare_digest(admin_hash(session), hash_of(token))


def add_device(session, label, now):
  """Adds a device; returns (`Device`, its token).

  Raises:
    LabelError: another device has the label; it was not revoked.
  """
  table = database.DeviceRow
  # Of two that come at once the second one waits, and then sees the first.
  session.get(database.SettingRow, _ADMIN, with_for_update=True)
  query = sa.select(table.id).where(
    table.label == label, table.revoked.is_(False)
  )
  if session.scalar(query.limit(1)):
    raise LabelError(
      f'there is a device {label!r}: give another label, or revoke that device'
    )
  token = new()
  device = database.DeviceRow(
    id=uuid.uuid4(),
    label=label,
    token_hash=hash_of(token),
    expires=now + LIFE,
    revoked=False,
    made=now,
  )
  session.add(device)
  session.flush()
  return device, token


def revoke(session, device):
  """Ends a device for good: its token, and what it sent of people.

  Args:
    session: that holds the device for update.
    device: `database.DeviceRow`.
  """
  device.revoked = True
  # First the device: whoever labels meanwhile ends first, or finds it revoked.
  session.flush()
  gone = {'state': database.DELETED, 'digest': '', 'image': None}
  for table, content in (
    (database.ReferenceRow, 'embedding'),
    (database.SampleRow, 'label'),
  ):
    session.execute(
      sa.update(table)
      .where(table.device == device.id)
      .values(**gone, **{content: None})
    )


def rotate(device, now, used=None):
  """Gives a device another token.

  Args:
    device: `database.DeviceRow`.
    now: time.
    used: token that the device asked with, which is good for `GRACE` more;
      None: no older token is good.

  Returns:
    The token.
  """
  token = new()
  if used is None:
    device.old_hash = device.old_expires = None
  elif hash_of(used) == device.token_hash:
    device.old_hash = device.token_hash
    device.old_expires = min(now + GRACE, device.expires)
  # Else the old one asks again, as the answer did not reach the device: the old
  # one stays as it is, and the one that was lost ends.
  device.token_hash, device.expires = hash_of(token), now + LIFE
  return token


def device_of(session, token, now):
  """The device of a token.

  Raises:
    RefusedError: there is none, or its token is no longer good.
  """
  value = hash_of(token)
  table = database.DeviceRow
  device = session.scalar(
    sa.select(table).where(
      sa.or_(table.token_hash == value, table.old_hash == value)
    )
  )
  if device is None:
    raise RefusedError(f'the token is unknown; {_ADVICE}')
  if device.revoked:
    raise RefusedError(f'the token was revoked; {_ADVICE}')
  current = device.token_hash == value
  if now >= (device.expires if current else device.old_expires):
    raise RefusedError(f'the token has expired; {_ADVICE}')
  return device
