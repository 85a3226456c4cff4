"""Tokens of devices and of the administrator: good, wrong, and ended."""

import datetime

import pytest
import sqlalchemy as sa

from palmjax.edge.server import database, tokens
from tests.edge import served


def _device_row(server, headers):
  value = tokens.hash_of(headers['Authorization'].removeprefix('Bearer '))
  return sa.select(database.DeviceRow).where(
    database.DeviceRow.token_hash == value
  )


@pytest.mark.parametrize(
  'headers, words',
  [
    ({}, 'send the token'),
    ({'Authorization': 'Bearer palm_wrong'}, 'unknown'),
    ({'Authorization': 'Basic cGFsbTpwYWxt'}, 'send the token'),
    ({'Authorization': "Bearer ' OR 1=1 --"}, 'unknown'),
  ],
)
def test_no_token_and_wrong_ones(server, headers, words):
  answer = server.client.get('/v1/labels', headers=headers)
  assert answer.status_code == 401
  assert words in answer.json()['detail']
  assert answer.headers['WWW-Authenticate'] == 'Bearer'


def test_expired_and_revoked_tokens(server, device):
  with database.session(server.service.engine) as session:
    row = session.scalar(_device_row(server, device))
    row.expires = database.now() - datetime.timedelta(seconds=1)
  answer = server.client.get('/v1/labels', headers=device)
  assert answer.status_code == 401
  assert 'expired' in answer.json()['detail']
  with database.session(server.service.engine) as session:
    row = session.scalar(_device_row(server, device))
    row.expires = database.now() + datetime.timedelta(days=1)
    name = row.id
  answer = server.client.delete(f'/v1/devices/{name}', headers=server.admin)
  assert answer.status_code == 204
  answer = server.client.get('/v1/labels', headers=device)
  assert answer.status_code == 401
  assert 'revoked' in answer.json()['detail']
  assert 'new code, then run join CODE' in answer.json()['detail']


def test_tokens_are_rotated_and_old_ones_end(server, device):
  answer = server.client.post('/v1/token/rotate', headers=device)
  fresh = served.bearer(answer.json()['token'])
  get = server.client.get
  # The answer may be lost, so the old one is good for a while.
  assert get('/v1/labels', headers=device).status_code == 200
  assert get('/v1/labels', headers=fresh).status_code == 200
  with database.session(server.service.engine) as session:
    row = session.scalar(_device_row(server, fresh))
    row.old_expires = database.now()
    name = row.id
  assert get('/v1/labels', headers=device).status_code == 401
  answer = server.client.post(
    f'/v1/devices/{name}/rotate', headers=server.admin
  )
  assert get('/v1/labels', headers=fresh).status_code == 401
  again = served.bearer(answer.json()['token'])
  assert get('/v1/labels', headers=again).status_code == 200


def test_a_label_is_free_again_once_its_device_is_revoked(server):
  def add(label):
    return server.client.post(
      '/v1/devices', json={'label': label}, headers=server.admin
    )

  first = add('porch')
  assert first.status_code == 201
  taken = add('porch')
  assert taken.status_code == 409
  assert "a device 'porch'" in taken.json()['detail']
  path = f'/v1/devices/{first.json()["device"]}'
  assert server.client.delete(path, headers=server.admin).status_code == 204
  assert add('porch').status_code == 201


def test_a_token_is_nowhere_in_the_database(server):
  token = server.admin['Authorization'].removeprefix('Bearer ')
  with database.session(server.service.engine) as session:
    values = session.scalars(sa.select(database.SettingRow.value)).all()
  assert tokens.hash_of(token) in values
  assert token not in values


@pytest.mark.parametrize(
  'seconds, written', [(None, True), (61, True), (50, False)]
)
def test_when_a_device_was_seen_is_written_once_a_minute(
  server, device, seconds, written
):
  before = None
  if seconds is not None:
    before = database.now() - datetime.timedelta(seconds=seconds)
  with database.session(server.service.engine) as session:
    session.scalar(_device_row(server, device)).seen = before
  start = database.now()
  server.client.get('/v1/labels', headers=device)
  with database.session(server.service.engine) as session:
    seen = session.scalar(_device_row(server, device)).seen
  assert seen >= start if written else seen == before
