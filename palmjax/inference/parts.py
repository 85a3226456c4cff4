"""The scores that a decision is made of, and their fusion.

Two palms are compared three ways, and each way errs elsewhere:

  fine      orientation code of fine lines (`inference.orientation_code`)
  wide      orientation code of long waves, which bears larger shifts
  network   cosine of the embeddings of a trained network

What all palms of a camera have in common is taken off each: the mean code, and
the mean embedding. Each score z_k is standardised on impostor pairs. The fused
score is

  s = log(1/K Σ_k exp z_k)

so that one part that is sure is enough: exp z_k stands for a likelihood ratio,
and s for the ratio where each part may be the one that knows. It was chosen on
drawn palms of difficulty 0.8 (200 identities of seed 14, by hand, no command):
the mean of z_k had an EER of 0.007 there, this one 0.002.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from palmjax.inference import orientation_code

NAMES = ('fine', 'wide', 'network')
CODES = NAMES[:2]
KINDS = {'fine': orientation_code.FINE, 'wide': orientation_code.WIDE6}
UPRIGHT = orientation_code.ROTATIONS.index(0)


class Templates(NamedTuple):
  """N palms, ready to be compared.

  Attributes:
    fine: int8 [N, R, 32, 32, 2], codes of R turns of the palm.
    wide: likewise.
    network: float32 [N, D], unit norm.
  """

  fine: np.ndarray
  wide: np.ndarray
  network: np.ndarray

  def take(self, index):
    """The palms of an index, slice or mask."""
    return Templates(*(part[index] for part in self))


class Means(NamedTuple):
  """What palms have in common.

  Attributes:
    fine: float32 [32, 32, 2].
    wide: float32 [32, 32, 2].
    network: float32 [D], the mean of unit embeddings, not of unit norm.
  """

  fine: np.ndarray
  wide: np.ndarray
  network: np.ndarray


class Standard(NamedTuple):
  """Impostor scores of each part, (mean, standard deviation), by `NAMES`."""

  mean: np.ndarray
  std: np.ndarray


def templates(embed, images):
  """Palms as `Templates`.

  Args:
    embed: uint8 [N, S, S, 3] → float32 [N, D], unit norm.
    images: uint8 [N, S, S, 3], N at least 1.
  """
  codes = [orientation_code.probes(images, KINDS[name]) for name in CODES]
  return Templates(*codes, embed(images))


def means(templates):
  """The `Means` of palms, each of which counts once."""
  return Means(
    *(orientation_code.mean(codes[:, UPRIGHT]) for codes in templates[:2]),
    templates.network.mean(axis=0),
  )


def no_means(size):
  """Nothing in common: zeros, for embeddings of `size` numbers."""
  code = np.zeros((orientation_code.SIZE, orientation_code.SIZE, 2), np.float32)
  return Means(code, code, np.zeros(size, np.float32))


def no_network(images):
  """Embeddings for scores that no network is part of: ones, float32 [N, 1]."""
  return np.ones((len(images), 1), np.float32)


def compare(probes, gallery, means):
  """Scores of all pairs by each part; those of (b, a) are those of (a, b).

  Args:
    probes: `Templates` of P palms.
    gallery: `Templates` of G palms. The same object as the probes takes half
      the time.
    means: `Means`, taken off both.

  Returns:
    float32 [3, P, G], in the order of `NAMES`.
  """
  scores = [
    orientation_code.two_way_scores(
      getattr(probes, name),
      getattr(gallery, name),
      KINDS[name],
      mean=getattr(means, name),
    )
    for name in CODES
  ]
  first, others = (
    _unit(side.network - means.network) for side in (probes, gallery)
  )
  # Rounding leaves a palm and itself beyond 1.
  return np.stack([*scores, np.clip(first @ others.T, -1.0, 1.0)])


def standardise(scores, standard):
  """Scores [K, …] in deviations from the mean of impostors, float64."""
  shape = (-1,) + (1,) * (np.ndim(scores) - 1)
  mean, std = (
    np.asarray(x, np.float64)[: len(scores)].reshape(shape) for x in standard
  )
  return (np.asarray(scores, np.float64) - mean) / std


def fuse(scores, standard):
  """Fused scores s of the module docstring.

  Args:
    scores: [K, …] of the first K of `NAMES`.
    standard: `Standard`.

  Returns:
    float64 […].
  """
  z = standardise(scores, standard)
  return special.logsumexp(z, axis=0) - np.log(len(z))


def _unit(embeddings):
  norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
  return embeddings / np.maximum(norms, 1e-6)
