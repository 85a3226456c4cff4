"""The address of a server: its socket and its URL."""

import errno
import ipaddress
import socket

# Hosts that mean all addresses of a machine. No device can ask for them.
_ALL = ('0.0.0.0', '::', '')


def bind(host, port):
  """A socket of an address that listens to nobody yet.

  Args:
    host: name or address of this machine.
    port: 1 to 65535.

  Raises:
    OSError: the address cannot be used; one line that says what to do.
  """
  family = socket.AF_INET6 if ':' in host else socket.AF_INET
  bound = socket.socket(family, socket.SOCK_STREAM)
  bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    bound.bind((host, port))
  except OSError as error:
    bound.close()
    raise OSError(_advice(host, port, error)) from error
  return bound


def is_local(bound):
  """Whether this machine alone can reach a socket."""
  return ipaddress.ip_address(bound.getsockname()[0]).is_loopback


def url(host, port, *, tls):
  """The URL of a host, which may be an IPv6 address."""
  if ':' in host:
    host = f'[{host}]'
  return f'{"https" if tls else "http"}://{host}:{port}'


def to_ask(host):
  """The host that devices ask; ADDRESS, to be filled in, where it is open."""
  return 'ADDRESS' if host in _ALL else host


def _advice(host, port, error):
  if error.errno == errno.EADDRINUSE:
    return f'port {port} is in use; give --port=N, or end the other server'
  if error.errno == errno.EACCES:
    return f'port {port} is not free to all users; give --port=8443'
  return f'--host={host}: this machine has no such address ({error.strerror})'
