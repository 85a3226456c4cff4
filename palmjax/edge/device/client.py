"""A server as its device speaks to it: requests that are sent again.

A network that is cut and a server that is busy are waited for.
"""

import random
import time

import httpx

from palmjax.edge import protocol

TRIES = 5  # Of a request.
_LONGEST = 60.0  # Seconds of a pause.
_AGAIN = (429, 502, 503, 504)


class UnreachableError(ValueError):
  """The server does not answer as it should now; nothing is lost."""


class DeniedError(ValueError):
  """The server was reached, and does not serve this device."""


class Server:
  """A server as its device speaks to it."""

  def __init__(
    self, url, token, *, verify=True, transport=None, sleep=None, tries=TRIES
  ):
    """Takes the address and the token.

    Args:
      url: of `address`.
      token: of the device.
      verify: True, or an `ssl.SSLContext`.
      transport: of httpx, for tests.
      sleep: seconds → None.
      tries: of a request.
    """
    self.url = url
    self._sleep, self._tries = sleep or time.sleep, tries
    self._client = httpx.Client(
      base_url=url,
      headers={'Authorization': f'Bearer {token}'},
      timeout=30.0,
      verify=verify,
      transport=transport,
    )

  def ask(self, method, path, **options):
    """The answer to a request, which is sent again where that may help.

    Raises:
      UnreachableError: no answer.
      DeniedError: the token is not good.
    """
    for number in range(self._tries):
      pause = min(2.0**number, _LONGEST) * random.uniform(0.5, 1.0)
      try:
        answer = self._client.request(method, path, **options)
      except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        advice = 'see that the server runs there, or give its --server=URL'
        if 'CERTIFICATE' in reason:
          advice = "give the server's --certificate=FILE"
      else:
        if answer.status_code == 401:
          # What to do is said here: the server does not know the commands.
          text = detail(answer).partition(';')[0]
          raise DeniedError(
            f'{self.url} refuses this device: {text}; ask the administrator '
            'for a new code, then run join CODE'
          )
        if answer.status_code not in _AGAIN:
          return answer
        reason = f'it answers {answer.status_code}'
        advice = 'try again later'
        pause = _retry_after(answer, pause)
      if number + 1 < self._tries:
        self._sleep(pause)
    raise UnreachableError(
      f'{self.url} cannot be reached ({reason}); {advice}; all is kept here'
    )

  def latest(self):
    """The `protocol.LatestPackage` of the server.

    Raises:
      UnreachableError, DeniedError: as of `ask`, or it is another program.
    """
    return self._told('GET', '/v1/packages/latest', protocol.LatestPackage)

  def rotate_token(self):
    """Another token for this device; the old one ends soon.

    Raises:
      UnreachableError, DeniedError: as of `ask`, or it is another program.
    """
    return self._told('POST', '/v1/token/rotate', protocol.Granted).token

  def _told(self, method, path, kind):
    """The answer to a request as a class of `protocol`."""
    answer = self.ask(method, path)
    if answer.status_code >= 500:
      raise UnreachableError(
        f'{self.url} answers {answer.status_code}; try again later'
      )
    try:
      return kind(**answer.json())
    except (ValueError, TypeError) as error:
      raise DeniedError(
        f'there is no palmjax server at {self.url}: give the --server=URL that '
        'it printed'
      ) from error


def address(text):
  """The address of a server, as it is asked.

  Raises:
    ValueError: it is none.
  """
  try:
    url = httpx.URL(text)
  except httpx.InvalidURL:
    url = httpx.URL('')
  if url.scheme not in ('http', 'https') or not url.host:
    raise ValueError(f'give http://HOST:PORT or https://HOST:PORT, not {text}')
  return str(url).rstrip('/')


def detail(answer):
  """What the server says of an error, one line."""
  try:
    return str(answer.json()['detail'])
  except (ValueError, KeyError, TypeError):
    return f'status {answer.status_code}'


def _retry_after(answer, pause):
  text = answer.headers.get('Retry-After', '')
  seconds = float(text) if text.isdigit() else pause
  return min(max(seconds, pause), _LONGEST)
