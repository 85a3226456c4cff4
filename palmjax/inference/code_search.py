"""The best of all shifts and rotations of two orientation codes.

`full` computes every inner product as it is defined. `fast` shares products
between shifts (`ops.shifted_products`, `ops.row_products`). Both try all poses.
Their scores differ by rounding. With shifts of up to 3 cells they differed by
4e-6 at most, 1e-7 as a rule, in 960,000 pairs of drawn palms, and with 6 cells
by 1e-6 at most in 16,000 pairs. A pair in a block of 64 × 128 on one core, with
5 rotations and shifts of up to 3 and 6 cells:

  full  22 and 50 µs, and 0.2 s to compile
  fast  2.3 and about 5 µs, and 1 s to compile

The 5 µs were measured on a busy core, as 0.8 to 0.9 of the time by
`ops.shifted_products`, which was 5.9 µs on an idle one.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import lax

from palmjax.networks import compiled
from palmjax.ops import chunks, row_products, shifted_products

_SCALE = 127  # int8 of a code's 1.
# A crop of a smaller norm is like none; the unit is that of one cell.
_LEAST_NORM = 1e-3
# Fewer probes, or templates, than this go one by one through `full`: a program
# for them takes longer to compile.
FEW = 8
PROBES = (16,)  # Sizes of other blocks of `full` …
GALLERY = (16, 256)
MANY_PROBES = (16, 64)  # … and of `fast`.
MANY_GALLERY = (64, 128)
HELD = 2048  # Templates with transforms, 41 kB at most, in memory at a time.
_MANY_SHIFTS = 4  # From such a shift on, rows are transformed alone.


def full(probes, gallery, mean, shift):
  """Best scores of all shifts and rotations, computed by the definition.

  Args:
    probes: int8 [P, R, S, S, 2], codes times 127.
    gallery: int8 [G, S, S, 2].
    mean: float32 [S, S, 2], on the scale of codes, taken off both.
    shift: m, in cells.

  Returns:
    float32 [P, G] in [-1, 1].
  """
  compare = _full(shift)

  def columns(block):
    return chunks.apply(
      lambda rows: compare(rows, block, mean),
      probes,
      sizes=(1,) if len(probes) < FEW else PROBES,
    ).T

  return chunks.apply(
    columns, gallery, sizes=(1,) if len(gallery) < FEW else GALLERY
  ).T


def fast(probes, gallery, mean, shift):
  """Best scores like `full`, faster for many pairs; `shift` at least 2."""
  of_probes, of_gallery, compare = _fast(shift)
  parts = []
  for start in range(0, len(gallery), HELD):
    part = gallery[start : start + HELD]
    size = next((s for s in MANY_GALLERY if len(part) <= s), MANY_GALLERY[-1])
    blocks = [
      of_gallery(part[index], mean) for index in chunks.indices(len(part), size)
    ]

    def rows(block, blocks=blocks):
      signals, norms = of_probes(block, mean)
      return jnp.concatenate([compare(signals, norms, b) for b in blocks], 1)

    scores = chunks.apply(rows, probes, sizes=MANY_PROBES)
    parts.append(scores[:, : len(part)])
  return np.concatenate(parts, axis=1)


@functools.cache
def _full(shift):
  """compare(probes, gallery, mean) of `full`, one program."""

  def compare(probes, gallery, mean):
    count, _, size = probes.shape[:3]
    probes = _centred(probes.reshape(-1, *probes.shape[2:]), mean)
    gallery = _unit_centres(_centred(gallery, mean), shift)
    inside = slice(shift, size - shift)
    products = lax.conv_general_dilated(
      probes,
      jnp.moveaxis(gallery[:, inside, inside], 0, -1),
      window_strides=(1, 1),
      padding='VALID',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      precision='highest',
    )
    products *= _inverse_norms(probes, shift)[..., None]
    # Rounding leaves a palm and itself beyond 1.
    best = products.reshape(count, -1, len(gallery)).max(axis=1)
    return jnp.clip(best, -1.0, 1.0)

  return compiled.network(compare, 'full search of codes', shift)


@functools.cache
def _fast(shift):
  """(of_probes, of_gallery, compare) of `fast`, three programs."""
  n = 2 * shift + 1
  by_rows = shift >= _MANY_SHIFTS
  ops = row_products if by_rows else shifted_products

  def of_probes(probes, mean):
    """int8 [P, R, …] → transforms [R, …], 1 / norms [R, n², P, 1]."""
    signals, norms = [], []
    for rotation in range(probes.shape[1]):
      codes = _centred(probes[:, rotation], mean)
      signals.append(ops.transform_signals(codes, shift))
      inverse = _inverse_norms(codes, shift).reshape(len(codes), n * n)
      norms.append(inverse.T[..., None])
    return jnp.stack(signals), jnp.stack(norms)

  def of_gallery(gallery, mean):
    centres = _unit_centres(_centred(gallery, mean), shift)
    return ops.transform_kernels(centres, shift)

  # What is made of one rotation, or of one column, stays in the cache.
  def best_of_shifts(signals, norms, kernels, scores):
    products = shifted_products.products(signals, kernels, shift)
    return jnp.maximum(scores, jnp.max(products * norms, axis=0))

  def best_of_columns(signals, norms, kernels, scores):
    norms = norms.reshape(n, n, -1, 1)

    def best(j, scores):
      products = row_products.column(signals, kernels, shift, j)
      products *= lax.dynamic_index_in_dim(norms, j, axis=1, keepdims=False)
      return jnp.maximum(scores, jnp.max(products, axis=0))

    return lax.fori_loop(0, n, best, scores)

  best = best_of_columns if by_rows else best_of_shifts

  def compare(signals, norms, kernels):
    scores = lax.fori_loop(
      0,
      len(signals),
      lambda r, scores: best(signals[r], norms[r], kernels, scores),
      jnp.full((norms.shape[2], kernels.shape[-1]), -1.0),
    )
    return jnp.minimum(scores, 1.0)

  name = 'fast search of codes'
  return (
    compiled.network(of_probes, f'{name}: probes', shift),
    compiled.network(of_gallery, f'{name}: gallery', shift),
    compiled.network(compare, f'{name}: pairs', shift),
  )


def _centred(codes, mean):
  """Codes [B, S, S, 2] less the mean; a code of zeros stays like none."""
  shown = jnp.any(codes != 0, axis=(1, 2, 3), keepdims=True)
  return codes / jnp.float32(_SCALE) - jnp.where(shown, mean, 0.0)


def _unit_centres(codes, shift):
  """Codes [G, S, S, 2] over the norms of their central crops."""
  size = codes.shape[1]
  centres = codes[:, shift : size - shift, shift : size - shift]
  norms = jnp.sqrt(jnp.sum(centres**2, axis=(1, 2, 3), keepdims=True))
  return codes / jnp.maximum(norms, _LEAST_NORM)


def _inverse_norms(codes, shift):
  """1 / norm of each crop: [P, S, S, 2] → [P, n, n]."""
  size, shifts = codes.shape[1], 2 * shift + 1
  offset = np.arange(size) - np.arange(shifts)[:, None]
  inside = ((offset >= 0) & (offset < size - 2 * shift)).astype(np.float32)
  squares = jnp.sum(codes**2, axis=-1)
  # 'highest', as the products that they divide.
  squares = jnp.matmul(inside, squares, precision='highest')
  squares = jnp.matmul(squares, inside.T, precision='highest')
  norms = jnp.sqrt(jnp.maximum(squares, 0.0))
  return 1.0 / jnp.maximum(norms, _LEAST_NORM)
