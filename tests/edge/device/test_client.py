"""What a device says of a server that does not answer, or is another one."""

import httpx
import pytest

from palmjax.edge.device import client


def server(answer, **options):
  """A `client.Server` that calls answer(request)."""
  return client.Server(
    'http://door:8443',
    'token',
    transport=httpx.MockTransport(answer),
    sleep=lambda seconds: None,
    **options,
  )


def says(*args, **options):
  return lambda request: httpx.Response(*args, **options)


@pytest.mark.parametrize(
  'text, address',
  [
    ('http://door:8443/', 'http://door:8443'),
    ('https://door/palms', 'https://door/palms'),
  ],
)
def test_an_address(text, address):
  assert client.address(text) == address


@pytest.mark.parametrize('text', ['', 'door:8443', 'ftp://door', 'http://[::1'])
def test_an_address_that_is_none(text):
  with pytest.raises(ValueError, match='give http://HOST:PORT or https://'):
    client.address(text)


@pytest.mark.parametrize(
  'cause, advice',
  [
    ('Connection refused', '--server=URL'),
    ('[SSL: CERTIFICATE_VERIFY_FAILED]', '--certificate=FILE'),
  ],
)
def test_who_is_not_reached_and_why(cause, advice):
  asked = []

  def fail(request):
    asked.append(request)
    raise httpx.ConnectError(cause)

  with pytest.raises(client.UnreachableError) as raised:
    server(fail, tries=3).latest()
  for part in ('http://door:8443', cause, advice, 'all is kept here'):
    assert part in str(raised.value)
  assert len(asked) == 3


def test_an_error_without_words_is_named():
  def fail(request):
    raise httpx.ReadTimeout('')

  with pytest.raises(client.UnreachableError, match='ReadTimeout'):
    server(fail).latest()


@pytest.mark.parametrize(
  'answer',
  [
    says(404, json={'detail': 'Not Found'}),
    says(200, text='<html>'),
    says(200, json=[]),
    says(301),
  ],
)
def test_another_program_is_no_server(answer):
  for ask in (client.Server.latest, client.Server.rotate_token):
    with pytest.raises(client.DeniedError, match='no palmjax server at http'):
      ask(server(answer))


def test_a_server_that_fails_is_not_another_program():
  for ask in (client.Server.latest, client.Server.rotate_token):
    with pytest.raises(client.UnreachableError, match='answers 500'):
      ask(server(says(500)))
