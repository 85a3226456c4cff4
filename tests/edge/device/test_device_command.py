"""The command of a device, in this process."""

import time

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from palmjax.edge import package
from palmjax.edge.device import __main__ as command
from palmjax.edge.device import (
  arguments,
  capture,
  client,
  joining,
  learning,
  models,
  tables,
  watch,
)
from tests.edge import devices, world

TOKEN = 'palm_' + 'x' * 43
CODE = f'{TOKEN}.{package.public_text(devices.KEY)}'


@pytest.fixture
def run(device, capsys):
  """run(words…) → (exit code, standard output, standard error)."""

  def run(*argv):
    code = command.main([f'--store={device.path}', *map(str, argv)])
    return (code, *capsys.readouterr())

  return run


@pytest.fixture
def nobody():
  """Address that nobody listens on."""
  return f'http://127.0.0.1:{world.free_port()}'


@pytest.fixture
def answers(monkeypatch):
  """A list whose last answer every server gives."""
  given = []

  def connect(joined, *, tries=1):
    return client.Server(
      joined.url,
      joined.token,
      transport=httpx.MockTransport(lambda request: given[-1]),
    )

  monkeypatch.setattr(joining, 'connect', connect)
  return given


def photo(path, seed):
  Image.fromarray(devices.palm(seed)).save(path)
  return path


def address(device):
  with device.session() as session:
    return joining.address(device, session)


def latest():
  return httpx.Response(200, json={'digest': '0' * 64, 'version': 1, 'size': 1})


def refusal():
  return httpx.Response(
    401, json={'detail': 'the token was revoked; ask the administrator'}
  )


def test_join_keeps_the_server_it_does_not_reach(
  device, run, nobody, monkeypatch
):
  code, out, err = run(f'--server={nobody}', 'join', CODE)
  assert (code, out) == (3, '')
  assert err.startswith('palmjax: the code is kept, but not checked: ')
  assert nobody in err
  assert f'server: {nobody}' in run('status')[1]
  # Later commands ask this server, unless another one is given.
  monkeypatch.setattr(client.time, 'sleep', lambda seconds: None)
  for name in ('sync', 'rotate-token'):
    code, _, err = run(name)
    assert code == 3
    assert f'{nobody} cannot be reached (' in err
  other = f'http://127.0.0.1:{world.free_port()}'
  assert f'{other} cannot be reached' in run('sync', f'--server={other}')[2]
  assert address(device) == nobody


def test_join_asks_the_server(device, run, answers):
  answers.append(latest())
  code, out, _ = run('join', CODE, '--server=http://door/')
  assert (code, out) == (0, 'joined http://door; now run sync\n')
  assert address(device) == 'http://door'


def test_a_code_that_is_refused_is_not_kept(device, run, answers):
  for answer, words in (
    (refusal(), 'was revoked; ask the administrator for a new code, then run'),
    (httpx.Response(404), 'there is no palmjax server at http://door'),
  ):
    answers.append(answer)
    code, _, err = run('--server=http://door', 'join', CODE)
    assert code == 1
    assert words in err
  assert address(device) is None


def test_a_token_that_is_refused_ends_every_command_with_1(run, answers):
  answers.append(latest())
  run('join', CODE)
  answers.append(refusal())
  for name in ('sync', 'rotate-token'):
    code, _, err = run(name)
    assert code == 1
    assert 'http://127.0.0.1:8443 refuses this device' in err


def test_options_of_images_and_servers_stand_where_one_likes():
  def parse(*argv):
    return arguments.parse(['--store=s', *argv], 'text')

  for words in (
    ['enrol', 'Ann', 'x.jpg'],
    ['identify', 'x.jpg'],
    ['run', 'inbox'],
  ):
    assert parse('--photos', *words).photos
    assert parse(*words, '--photos').photos
    assert not parse(*words).photos
  for words in (['join', 'code'], ['sync'], ['rotate-token']):
    before = parse('--server=http://a', '--certificate=b', *words)
    after = parse(*words, '--server=http://a', '--certificate=b')
    assert before == after
    assert (after.server, after.certificate) == ('http://a', 'b')


def test_enrolling_warns_of_a_palm_of_somebody_else(run, tmp_path):
  path = photo(tmp_path / 'hal.png', 1)
  _, out, err = run('enrol', 'Hal', path)
  assert out.startswith('Hal is enrolled with 1 image; give two or more')
  assert err == ''
  code, out, err = run('enrol', 'Ann', path)
  assert code == 0
  assert f'warning: {path} is identified as Hal' in err
  assert 'run forget Ann' in err
  assert run('enrol', 'Hal', path)[1] == '1 image added; Hal has 2\n'


def whole_hand(path):
  """An image of which verify says that it seems to show a whole hand."""
  image = np.full((100, 100, 3), 240, np.uint8)
  image[20:95, 20:80] = [220, 160, 120]
  image[40:70, 30:70] = [200, 140, 100]
  Image.fromarray(image).save(path)
  return path


def test_a_whole_hand_is_doubted(run, tmp_path):
  run('enrol', 'Ann', photo(tmp_path / 'ann.png', 1))
  (tmp_path / 'inbox').mkdir()
  path = whole_hand(tmp_path / 'inbox' / 'hand.png')
  for words in (
    ['enrol', 'Bob', path],
    ['identify', path],
    ['run', path.parent, '--once'],
  ):
    err = run(*words)[2]
    assert f'warning: {path} seems to show a whole hand' in err, words
    assert 'add --photos' in err
  assert run('identify', tmp_path / 'ann.png')[2] == ''


def test_run_says_what_it_watches_unless_it_ends(run, tmp_path, monkeypatch):
  monkeypatch.setattr(watch, 'folder', lambda path, *, once: iter([]))
  assert run('run', tmp_path)[1] == f'watching {tmp_path}; Ctrl-C ends it\n'
  assert run('run', tmp_path, '--once')[1] == ''
  monkeypatch.setattr(watch, 'palms', lambda *args: iter([]))
  assert run('run', '--camera=3')[1] == 'watching camera 3; Ctrl-C ends it\n'


def keep_sample(device):
  """Ann, and a sample of hers that an update may learn from."""
  image = devices.palm(1)
  devices.enrol(device, 'Ann', image, devices.near(image, 1))
  student = devices.student(device)
  student = student.__class__(**{**vars(student), 'preset': 0.0})
  settings = capture.KeepingRules(interval=(0.0, 0.9999))
  with device.session() as session:
    probe = devices.near(image, 2, amount=30)
    capture.identify(device, session, student, probe, settings, time.time())
    assert session.scalars(sa.select(tables.KeptSample.held)).all() == [False]


def test_an_update_without_samples_says_which_are_kept(device, run):
  code, out, _ = run('update')
  assert code == 0
  assert 'it is not time for an update: 0 of 40 samples' in out
  preset = devices.student(device).preset
  span = 100 - preset
  scores = f'from {preset + 0.1 * span:.1f} to {preset + 0.9 * span:.1f}'
  assert scores in out
  code, _, err = run('update', '--now')
  assert code == 1
  assert scores in err


def test_status_counts_as_update_does(device, run):
  keep_sample(device)
  words = '1 of 3 samples'
  assert f'samples to learn from: {words}' in run('--enough=3', 'status')[1]
  assert words in run('--enough=3', 'update')[1]
  status = run('status')[1]
  # The id is the one that the server's page shows.
  digest = models.facts(device.folder)['package']
  assert f'student: of package {digest[:8]}, version 1' in status
  assert 'server: none yet; run join CODE' in status


def test_now_does_not_wait(device, run, monkeypatch):
  keep_sample(device)
  monkeypatch.setattr(learning, 'STEPS', 2)
  code, out, _ = run('update', '--now')
  assert code == 0
  assert 'taken: the new student refuses ' in out
  assert 'trained on 1 sample\n' in out
