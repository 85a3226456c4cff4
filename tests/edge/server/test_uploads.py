"""What the server does not take: no palms, other paths, too much."""

import struct
import zlib

import pytest
from starlette import testclient

from palmjax.edge import protocol
from palmjax.edge.server import app, limits, service
from tests.edge import served


def _claiming(width, height):
  """A PNG that claims a size, and holds almost nothing."""

  def chunk(kind, data):
    return (
      struct.pack('>I', len(data))
      + kind
      + data
      + struct.pack('>I', zlib.crc32(kind + data))
    )

  head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', head)
    + chunk(b'IDAT', zlib.compress(bytes(1000)))
    + chunk(b'IEND', b'')
  )


@pytest.mark.parametrize(
  'content, status, words',
  [
    (b'', 415, 'is no image|empty'),
    (b'<script>alert(1)</script>', 415, 'is no image'),
    (b'GIF89a' + bytes(100), 415, 'is no image'),
    (served.png(1)[:20], 415, ''),
    (_claiming(60_000, 60_000), 415, 'megapixels'),
    (_claiming(4_000, 2_000), 415, 'more than 4000000'),
    (served.png(1, size=16), 415, 'needs 32 a side'),
    (bytes(protocol.MOST_BYTES + 1), 413, 'at most'),
  ],
)
def test_uploads_that_are_no_palms(server, device, content, status, words):
  for kind in ('samples', 'references'):
    answer = server.client.put(
      f'/v1/{kind}/{served.new_id()}', content=content, headers=device
    )
    assert answer.status_code == status, answer.text
    assert '\n' not in answer.json()['detail']
  assert any(word in answer.json()['detail'] for word in words.split('|'))


@pytest.mark.parametrize(
  'path',
  [
    '/v1/samples/..%2f..%2fetc%2fpasswd',
    '/v1/samples/not-a-uuid',
    '/v1/packages/..%2fsigning.key',
    '/v1/packages/' + '0' * 63,
    "/v1/packages/' OR 1=1",
  ],
)
def test_paths_lead_nowhere(server, device, path):
  answer = server.client.get(path, headers=device)
  assert answer.status_code in (404, 405, 422)
  assert 'key' not in answer.text.replace(path, '')


def test_buckets_refill():
  buckets = limits.Buckets(rate=2, burst=3)
  assert [buckets.wait('a', 0.0) for _ in range(4)] == [0, 0, 0, 1]
  assert buckets.wait('b', 0.0) == 0
  assert buckets.wait('a', 0.4) == 1
  assert buckets.wait('a', 0.6) == 0


def test_too_much_is_answered_with_a_time_to_come_again(tmp_path, export):
  started, _ = served.start(
    tmp_path, export, limits=service.Limits(rate=1, burst=3, waiting=0)
  )
  client = testclient.TestClient(app.create(started))
  device = served.add_device(started)
  for kind in ('samples', 'references'):
    full = client.put(
      f'/v1/{kind}/{served.new_id()}', content=served.png(1), headers=device
    )
    assert full.status_code == 503
    assert int(full.headers['Retry-After']) > 0
  statuses = [
    client.get('/v1/labels', headers=device).status_code for _ in range(4)
  ]
  assert 429 in statuses
  guesses = [client.get('/metrics').status_code for _ in range(5)]
  assert guesses[-1] == 429
