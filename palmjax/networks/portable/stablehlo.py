"""Palm networks as StableHLO, by `jax.export`: for JAX without palmjax."""

import contextlib

import jax
from jax import export

from palmjax.networks.portable import program

# Lowered for each of them; the file says so.
PLATFORMS = 'cpu', 'cuda', 'rocm', 'tpu'


def to_bytes(network, *, size=None):
  """Serialises a network; equal networks give equal bytes.

  Args:
    network: `PalmNetwork`.
    size: see `program.images`.

  Returns:
    bytes for `jax.export.deserialize`, whose `call` takes uint8 [B, S, S, 3]
    and gives float32 [B, D], unit norm.
  """
  function = jax.jit(program.embedder(network))
  with _no_places():
    exported = export.export(function, platforms=PLATFORMS)(
      program.images(network, size)
    )
  return bytes(exported.serialize())


@contextlib.contextmanager
def _no_places():
  """Keeps paths of this machine out of the program."""
  name = 'jax_traceback_in_locations_limit'
  before = jax.config.values[name]
  jax.config.update(name, 0)
  try:
    yield
  finally:
    jax.config.update(name, before)
