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


def logged_in(server):
  """A browser of the administrator."""
  browser = testclient.TestClient(server.client.app)
  token = server.admin['Authorization'].removeprefix('Bearer ')
  assert browser.post('/login', data={'token': token}).status_code == 200
  return browser


def card(page, label):
  """The page's part about a device."""
  (part,) = [x for x in page.split('<section')[1:] if f'>{label}<' in x]
  return part.partition('</section>')[0]


def test_the_page_explains_scores_updates_and_packages(server):
  device = served.add_device(server.service, 'hall')
  scores = 80.25, 90.5, 85.0
  parts = []
  for score in scores:
    body = served.report(student='ab' * 32, score_mean=score)
    path = f'/v1/reports/{served.new_id()}'
    answer = server.client.post(path, json=body, headers=device)
    assert answer.status_code == 201
    parts.append(card(logged_in(server).get('/').text, 'hall'))
  assert 'one report: 80.2' in parts[0]
  assert '<svg' not in parts[0]
  assert '3 reports: first 80.2, last 85.0' in parts[2]
  for words in ('<span>90.5</span>', '<span>80.2</span>', '<svg'):
    assert words in parts[2]
  # Report and `status` of the device have this package.
  assert 'package abababab<' in parts[2]
  assert 'Own palms refused: before' in parts[2]
  assert 'FNMR' not in parts[2]
  # Narrow screens show names beside values.
  assert parts[2].count('data-name="Own palms refused: after"') == 3
  latest = server.client.get('/v1/packages/latest', headers=device).json()
  page = logged_in(server).get('/').text
  assert f'<dd>{latest["digest"][:8]}</dd>' in page


def test_revoked_devices_are_below_all_others_and_folded(server):
  made = server.client.post(
    '/v1/devices', json={'label': 'cellar'}, headers=server.admin
  ).json()
  page = logged_in(server).get('/').text
  assert f'ID {made["device"]}' in card(page, 'cellar')
  assert 'cellar' in page.partition('<details>')[0]
  path = f'/v1/devices/{made["device"]}'
  server.client.delete(path, headers=server.admin)
  served.add_device(server.service, 'attic')
  others, _, revoked = logged_in(server).get('/').text.partition('<details>')
  assert 'attic' in others
  assert 'cellar' not in others
  assert 'cellar' in revoked


def test_who_lost_the_token_is_told_what_to_do(server):
  assert '--new-admin-token' in server.client.get('/').text


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
