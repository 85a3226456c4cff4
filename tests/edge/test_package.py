"""Packages of students: signed, and nothing in them that is not named."""

import io
import json
import tarfile

import numpy as np
import pytest

from palmjax.edge import package
from palmjax.networks import palm as palm_networks
from tests import untrained_network


@pytest.fixture(scope='module')
def student(tmp_path_factory):
  directory = tmp_path_factory.mktemp('student')
  untrained_network.save(directory)
  return directory


@pytest.fixture(scope='module')
def key():
  return package.load_private(bytes(range(32)))


@pytest.fixture(scope='module')
def impostors():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)


@pytest.fixture(scope='module')
def data(student, impostors, key):
  return package.build(
    student, impostors, impostors[:2] ^ 1, version=2, fmr=1e-3, private_key=key
  )


def members(data):
  with tarfile.open(fileobj=io.BytesIO(data)) as tar:
    return {m.name: tar.extractfile(m).read() for m in tar}


def tar_of(pairs):
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w') as tar:
    for name, content in pairs:
      member = tarfile.TarInfo(name)
      member.size = len(content)
      tar.addfile(member, io.BytesIO(content))
  return buffer.getvalue()


def signed(data, change):
  """The package with another manifest, signed by the right key."""
  contents = members(data)
  manifest = json.loads(contents['manifest.json'])
  change(manifest)
  contents['manifest.json'] = json.dumps(manifest).encode()
  private = package.load_private(bytes(range(32)))
  contents['signature'] = private.sign(contents['manifest.json'])
  return tar_of(contents.items())


def test_equal_content_has_equal_bytes(data, student, impostors, key):
  again = package.build(
    student, impostors, impostors[:2] ^ 1, version=2, fmr=1e-3, private_key=key
  )
  assert again == data
  other = package.build(
    student, impostors, impostors[:2] ^ 1, version=3, fmr=1e-3, private_key=key
  )
  assert package.digest_of(other) != package.digest_of(data)


def test_a_device_gets_what_the_server_packed(
  data, student, impostors, key, tmp_path
):
  read = package.read(data, public_key=package.public_text(key))
  assert read.digest == package.digest_of(data)
  assert (read.version, read.fmr) == (2, 1e-3)
  np.testing.assert_array_equal(read.impostors, impostors)
  np.testing.assert_array_equal(read.rehearsed, impostors[:2] ^ 1)
  package.unpack(read, tmp_path)
  np.testing.assert_array_equal(
    palm_networks.load(tmp_path).embed(impostors),
    palm_networks.load(student).embed(impostors),
  )


def changed(name):
  def change(data):
    contents = members(data)
    middle = len(contents[name]) // 2
    flipped = bytearray(contents[name])
    flipped[middle] ^= 1
    return tar_of((contents | {name: bytes(flipped)}).items())

  return change


def without(name):
  return lambda data: tar_of(
    (k, v) for k, v in members(data).items() if k != name
  )


def with_member(name, content=b'x'):
  return lambda data: tar_of([*members(data).items(), (name, content)])


def sparse(data):
  """A member that claims more than the package holds."""
  buffer = io.BytesIO(data)
  with tarfile.open(fileobj=buffer, mode='a', format=tarfile.PAX_FORMAT) as tar:
    member = tarfile.TarInfo('student/model.json')
    member.pax_headers = {
      'GNU.sparse.map': '0,0',
      'GNU.sparse.size': str(10**8),
    }
    tar.addfile(member)
  return buffer.getvalue()


def linked(data):
  buffer = io.BytesIO(data)
  with tarfile.open(fileobj=buffer, mode='a') as tar:
    link = tarfile.TarInfo('student/model.json')
    link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
    tar.addfile(link)
  return buffer.getvalue()


@pytest.mark.parametrize(
  'change, message',
  [
    (changed('student/weights.npz'), 'weights.npz of the package was changed'),
    (changed('student/model.json'), 'model.json of the package was changed'),
    (changed('palms.npz'), 'palms.npz of the package was changed'),
    (changed('manifest.json'), 'not signed by the server'),
    (changed('signature'), 'not signed by the server'),
    (without('signature'), 'has no signature'),
    (without('manifest.json'), 'has no manifest.json'),
    (without('palms.npz'), 'lacks a file'),
    (with_member('student/more'), "'student/more' does not belong"),
    (with_member('../student/model.json'), 'does not belong'),
    (with_member('/etc/passwd'), 'does not belong'),
    (with_member('student/model.json'), 'student/model.json is twice'),
    (sparse, "'student/model.json' does not belong"),
    (linked, "'student/model.json' does not belong"),
    (lambda data: data[: len(data) // 2], 'cannot be read|cut off|lacks|no '),
    (lambda data: b'', 'cannot be read|no manifest'),
    (lambda data: b'\x1f\x8b' + data, 'cannot be read'),
    (lambda data: bytes(package.MOST_BYTES + 1), 'at most 67108864 are read'),
    (lambda d: signed(d, lambda m: m.update(format=9)), 'reads a student of'),
    (lambda d: signed(d, lambda m: m.update(kind='x')), 'reads a student of'),
    (lambda d: signed(d, lambda m: m.pop('version')), "'version' is missing"),
    (lambda d: signed(d, lambda m: m.update(fmr=2)), 'fmr=2'),
    (lambda d: signed(d, lambda m: m['files'].popitem()), 'files='),
  ],
)
def test_what_is_not_as_the_server_packed_it_is_refused(
  data, key, change, message
):
  with pytest.raises(package.PackageError, match=message):
    package.read(change(data), public_key=package.public_text(key))


def test_another_servers_package_is_refused(data):
  other = package.public_text(package.load_private(bytes(32)))
  with pytest.raises(package.PackageError, match='not signed by the server'):
    package.read(data, public_key=other)


@pytest.mark.parametrize('text', ['', 'zz', '00' * 31])
def test_a_wrong_public_key_is_named(data, text):
  with pytest.raises(package.PackageError, match='is no public key'):
    package.read(data, public_key=text)
