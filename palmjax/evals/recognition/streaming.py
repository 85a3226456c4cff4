"""All-pairs verification counted on the device, without a list of scores.

Images are sorted by label and compared in blocks, upper triangle only; of a
block only its histogram leaves the device, over bins of width 2^-15:

  h_k = #{impostor pairs i < j with floor(2^15 x_i·x_j) + 2^15 = k}

A billion pairs need no more memory than a million. Genuine pairs are few: their
similarities are kept as they are. `binned_rates` says what follows from the
counts, and how exactly.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from palmjax.evals.recognition import error_rates, inputs

BINS = 2**16 + 1  # The last for similarity 1 and what rounding adds to it.
WIDTH = 2.0**-15
_BLOCK = 2048  # Images on a side of a block.


class Counts(NamedTuple):
  """Histogram of the similarities of all pairs: impostor bins, genuine scores.

  Attributes:
    impostor: int64 [BINS], impostor pairs in each bin.
    genuine: float32 [G], similarities of genuine pairs.
    genuine_identity: int64 [G], in 0..K-1.
    images: int64 [K], images of each identity.
  """

  impostor: np.ndarray
  genuine: np.ndarray
  genuine_identity: np.ndarray
  images: np.ndarray


class _Sorted(NamedTuple):
  """Images by label, padded to whole blocks for the device."""

  embeddings: np.ndarray  # [N, D]
  padded: jax.Array  # [N + padding, D]
  ends: jax.Array  # [N + padding], where the identity of the image ends.
  images: np.ndarray  # [K]


def count_pairs(embeddings, labels) -> Counts:
  """Counts the similarities of all pairs.

  Args:
    embeddings: float [N, D], unit L2 norm.
    labels: integer [N], any values.

  Returns:
    `Counts`; its identity k is the k-th smallest label.

  Raises:
    ValueError: as `verification.pair_scores`.
  """
  ordered = _sort(embeddings, labels)
  impostor = np.zeros(BINS, np.int64)
  for row, column in _blocks(ordered):
    # Summed here: 32 bits hold a block, not all pairs.
    impostor += np.asarray(
      _histogram(
        ordered.padded, ordered.ends, row, column, len(ordered.embeddings)
      )
    )
  return Counts(impostor, *_genuine(ordered), ordered.images)


def count_matches(embeddings, labels, thresholds) -> np.ndarray:
  """Impostor pairs of each identity at or above each threshold.

  Args:
    embeddings: float [N, D], unit L2 norm.
    labels: integer [N].
    thresholds: float [T], multiples of 2^-15.

  Returns:
    int64 [T, K]; a pair counts for both of its identities.
  """
  ordered = _sort(embeddings, labels)
  lowest = jnp.asarray(bin_of(thresholds))
  counts = np.zeros((len(lowest), len(ordered.padded)), np.int64)
  for row, column in _blocks(ordered):
    for start, side in zip(
      (row, column),
      _matches(
        ordered.padded,
        ordered.ends,
        row,
        column,
        len(ordered.embeddings),
        lowest,
      ),
      strict=True,
    ):
      counts[:, start : start + _BLOCK] += np.asarray(side)
  starts = np.cumsum(ordered.images) - ordered.images
  return np.add.reduceat(counts, starts, axis=1)


def edge_of(bins):
  """The lowest similarity of each bin."""
  return bins * WIDTH - 1.0


def bin_of(similarities):
  """The bin of each similarity, int32."""
  # A product with a power of 2 is exact; the sum comes after rounding.
  scaled = np.floor(np.asarray(similarities) / WIDTH) + 1.0 / WIDTH
  return np.clip(scaled, 0, BINS - 1).astype(np.int32)


def _sort(embeddings, labels):
  embeddings, labels = inputs.labelled(embeddings, labels)
  embeddings = embeddings[np.argsort(labels, kind='stable')]
  _, images = np.unique(labels, return_counts=True)
  num_genuine = int((images * (images - 1) // 2).sum())
  error_rates.require_pairs(
    num_genuine, len(labels) * (len(labels) - 1) // 2 - num_genuine
  )
  padding = -len(labels) % _BLOCK
  ends = np.repeat(np.cumsum(images), images).astype(np.int32)
  return _Sorted(
    embeddings,
    jnp.asarray(np.pad(embeddings, ((0, padding), (0, 0)))),
    jnp.asarray(np.pad(ends, (0, padding), constant_values=len(labels))),
    images,
  )


def _genuine(ordered):
  """Similarities of genuine pairs and their identities, both [G]."""
  embeddings, images = ordered.embeddings, ordered.images
  identities = np.repeat(np.arange(len(images)), images)
  similarities, owners = [], []
  # Sorted by label, the images of an identity are neighbours.
  for apart in range(1, images.max()):
    (first,) = np.nonzero(identities[apart:] == identities[:-apart])
    similarities.append(
      np.einsum('nd,nd->n', embeddings[first], embeddings[first + apart])
    )
    owners.append(identities[first])
  return np.concatenate(similarities), np.concatenate(owners)


def _blocks(ordered):
  """First row and first column of the blocks of the upper triangle."""
  starts = range(0, len(ordered.padded), _BLOCK)
  return ((row, column) for row in starts for column in starts if column >= row)


def _block_bins(embeddings, ends, row, column, num_images):
  """Bins of a block [_BLOCK, _BLOCK], BINS where no impostor pair is."""
  rows, columns = (
    lax.dynamic_slice_in_dim(embeddings, start, _BLOCK)
    for start in (row, column)
  )
  # 'highest': bfloat16 products would move scores by many bins.
  similarities = jnp.matmul(rows, columns.T, precision='highest')
  scaled = jnp.floor(similarities / WIDTH) + 1.0 / WIDTH
  bins = jnp.clip(scaled, 0, BINS - 1).astype(jnp.int32)
  others = column + jnp.arange(_BLOCK)
  ends = lax.dynamic_slice_in_dim(ends, row, _BLOCK)[:, None]
  return jnp.where((ends <= others) & (others < num_images), bins, BINS)


@jax.jit
def _histogram(embeddings, ends, row, column, num_images):
  """int32 [BINS], impostor pairs of a block in each bin."""
  bins = _block_bins(embeddings, ends, row, column, num_images)
  # Measured on one CPU core: 8 ns a pair, sorting 110; out of range is dropped.
  return jnp.zeros(BINS, jnp.int32).at[bins.ravel()].add(1, mode='drop')


@jax.jit
def _matches(embeddings, ends, row, column, num_images, lowest):
  """Pairs of each row, of each column, at or above bins [T]: [T, _BLOCK]."""
  bins = _block_bins(embeddings, ends, row, column, num_images)
  bins = jnp.where(bins < BINS, bins, -1)

  def count(bin_):
    matched = bins >= bin_
    return tuple(jnp.sum(matched, axis, dtype=jnp.int32) for axis in (1, 0))

  # One threshold after the other: two sums are fused, twelve are not.
  return lax.map(count, lowest)
