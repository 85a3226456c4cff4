"""Palm networks as StableHLO, by `jax.export`: for JAX without palmjax."""

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
  exported = export.export(
    jax.jit(program.embedder(network)), platforms=PLATFORMS
  )(program.images(network, size))
  return bytes(exported.serialize())
