"""Reports of devices, and what the administrator sees."""

import json

import pytest
from starlette import testclient

from palmjax.edge.server import app, database, tokens
from tests.edge import served


def test_reports_count_once(server, device):
  path = f'/v1/reports/{served.new_id()}'
  post = server.client.post
  assert post(path, json=served.report(), headers=device).status_code == 201
  assert post(path, json=served.report(), headers=device).status_code == 200
  other = post(path, json=served.report(kept=4), headers=device)
  assert other.status_code == 409


@pytest.mark.parametrize(
  'changes',
  [
    {'name': 'Ann'},
    {'score_mean': 101},
    {'kept': -1},
    {'student': 'x'},
    {'updates': [{}]},
  ],
)
def test_reports_of_another_form_are_refused(server, device, changes):
  answer = server.client.post(
    f'/v1/reports/{served.new_id()}',
    json=served.report(**changes),
    headers=device,
  )
  assert answer.status_code == 422
  assert '\n' not in answer.json()['detail']


def test_the_page_shows_devices_to_the_administrator_alone(server):
  label = '<script>alert(1)</script>\'"; DROP TABLE device; --'
  answer = server.client.post(
    '/v1/devices', json={'label': label}, headers=server.admin
  )
  assert answer.status_code == 201
  device = served.bearer(answer.json()['token'])
  server.client.post(
    f'/v1/reports/{served.new_id()}', json=served.report(), headers=device
  )
  listed = server.client.get('/v1/devices', headers=server.admin).json()
  assert label in [one['label'] for one in listed]
  assert server.client.get('/v1/devices', headers=device).status_code == 401

  page = server.client.get('/')
  assert 'DROP TABLE' not in page.text
  token = server.admin['Authorization'].removeprefix('Bearer ')
  client = testclient.TestClient(server.client.app, follow_redirects=False)
  wrong = client.post('/login', data={'token': 'palm_wrong'})
  assert wrong.status_code == 401
  answer = client.post('/login', data={'token': token})
  assert answer.status_code == 303
  cookie = answer.headers['set-cookie']
  assert 'HttpOnly' in cookie
  assert 'samesite=strict' in cookie.lower()
  assert token not in cookie
  page = client.get('/').text
  assert '&lt;script&gt;alert(1)' in page
  assert '<script' not in page
  assert 'rolled back' in page
  for forged in ('9999999999.00', '9999999999', 'x.y'):
    client.cookies.clear()
    client.cookies.set('palmjax_session', forged)
    assert 'rolled back' not in client.get('/').text


def test_health_and_metrics(server, device):
  assert server.client.get('/healthz').json() == {
    'database': True,
    'teacher': True,
  }
  assert server.client.get('/metrics', headers=device).status_code == 401
  server.client.get('/v1/labels', headers=device)
  text = server.client.get('/metrics', headers=server.admin).text
  assert 'palmjax_images_waiting 0.0' in text
  assert 'route="/v1/labels"' in text


def test_answers_are_not_kept_or_framed(server):
  headers = server.client.get('/').headers
  assert headers['Cache-Control'] == 'no-store'
  assert "default-src 'none'" in headers['Content-Security-Policy']


def test_logs_hold_routes_and_no_content(server, device, capfd):
  name = served.new_id()
  server.client.put(
    f'/v1/samples/{name}', content=served.png(12), headers=device
  )
  server.client.get('/v1/none?name=Ann', headers=device)
  lines = [json.loads(x) for x in capfd.readouterr().err.splitlines()]
  routes = {line['route'] for line in lines if line['event'] == 'request'}
  assert {'/v1/samples/{name}', 'none'} <= routes
  text = json.dumps(lines)
  token = device['Authorization'].removeprefix('Bearer ')
  assert token not in text
  assert name not in text
  assert 'Ann' not in text


def test_another_token_of_the_administrator_ends_the_old_one(tmp_path, export):
  """In a server that runs, and for whoever is logged in."""
  started, token = served.start(tmp_path, export)
  client = testclient.TestClient(app.create(started))
  assert client.post('/login', data={'token': token}).status_code == 200
  assert 'Log out' in client.get('/').text
  with database.session(started.engine) as session:
    fresh = tokens.new_admin(session)
  assert 'Log out' not in client.get('/').text
  get = client.get
  assert get('/metrics', headers=served.bearer(token)).status_code == 401
  assert get('/metrics', headers=served.bearer(fresh)).status_code == 200
  assert client.post('/login', data={'token': token}).status_code == 401
  client.post('/login', data={'token': fresh})
  assert 'Log out' in client.get('/').text
