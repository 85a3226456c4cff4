"""Scores of orientation codes and network, and their fusion.

Two palms are compared three ways, and each way errs elsewhere:

  fine      orientation code of fine lines (`inference.orientation_code`)
  wide      orientation code of long waves, which bears larger shifts
  network   cosine of the embeddings of a trained network

What all palms of a camera have in common is taken off each: the mean code, and
the mean embedding. Embeddings are whitened, so that a direction in which all
palms of a camera vary counts less. Of each score, a cohort tells which share
p_k of impostor pairs reaches it. The fused score is the negative logarithm of
the weighted harmonic mean of the shares (Wilson 2019,
doi:10.1073/pnas.1814092116)

  s = log Σ_k w_k / p_k = log(1/K Σ_k exp z_k),  z_k = log(K w_k) − log p_k

so that one part that is sure is enough, and the parts need not be independent.
The network has half of the weight, and the two codes, which are much alike, a
quarter each: `launch.verifier_choice`.

Above the score that 5 % reach, shares fall off about exponentially, and z_k is
a straight line there. The line, with the weight in it, is used for all scores
(`Standard`).
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from palmjax.inference import orientation_code

# Share of impostor pairs that is the tail of a part …
_TAIL = 0.05
# … and its standard deviation in those of all impostor scores: 0.50 to 0.54 of
# the codes and 0.45 of the network on drawn palms. Few palms are helped by it.
_TYPICAL, _TYPICAL_PALMS = 0.5, 40

# Palms that the identity stands for in the covariance of embeddings: with 200
# palms its share is 0.98 (`launch.verifier_choice`; on the palms of
# `launch.verifier` a share of 1 had slightly more errors).
_PRIOR_PALMS = 9800
# Directions that few palms show vary by chance, and could tell who was there.
_PALMS_A_DIRECTION = 10

NAMES = ('fine', 'wide', 'network')
# w_k, up to a factor. Without the network the codes have half each.
WEIGHTS = (1.0, 1.0, 2.0)
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
  """Mean codes of palms, and mean and whitening of their embeddings.

  Attributes:
    fine: float32 [32, 32, 2].
    wide: float32 [32, 32, 2].
    network: float32 [D], the mean of unit embeddings, not of unit norm.
    whitening: float32 [R, D], rows of `whitening`; None: not whitened.
  """

  fine: np.ndarray
  wide: np.ndarray
  network: np.ndarray
  whitening: np.ndarray | None = None


class Standard(NamedTuple):
  """What makes scores comparable, by `NAMES`: z = (score − mean) / std.

  Attributes:
    mean: [K], where z is 0: the mean of impostor scores or, of `standard`, the
      start of an exponential distribution that has their tail.
    std: [K], the standard deviation of the one or the other.
  """

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


def require_finite(templates, names=None):
  """Raises ValueError where an embedding has NaN or infinity; one line.

  Args:
    templates: `Templates` of N palms.
    names: of the palms, N strings; by default 'images[0]', ….
  """
  broken = ~np.isfinite(templates.network).all(axis=1)
  if broken.any():
    first = int(np.argmax(broken))
    name = f'images[{first}]' if names is None else names[first]
    raise ValueError(
      f'{name}: its embedding has NaN or infinity, as those of '
      f'{broken.sum():,} of {len(broken):,} images: the network is damaged, '
      'train or export it again'
    )


def means(templates, strength=None):
  """The `Means` of palms, each of which counts once; see `network_means`."""
  network = network_means(templates, strength)
  return code_means(templates)._replace(
    network=network.network, whitening=network.whitening
  )


def code_means(templates):
  """The `Means` of palms for `code_scores`; those of the network are zero."""
  fine, wide = (orientation_code.mean(x[:, UPRIGHT]) for x in templates[:2])
  return no_means(templates.network.shape[1])._replace(fine=fine, wide=wide)


def network_means(templates, strength=None, shrinkage=None):
  """The `Means` of palms for `network_scores`; those of the codes are zero.

  Args:
    templates: `Templates`.
    strength, shrinkage: of `whitening`.
  """
  embeddings = templates.network
  return no_means(embeddings.shape[1])._replace(
    network=embeddings.mean(axis=0),
    whitening=whitening(embeddings, shrinkage, strength),
  )


def whitening(embeddings, shrinkage=None, strength=None):
  """Rows B of the whitening W x = x − BᵀB x of a camera's embeddings.

  With it embeddings vary more alike in all directions:
  W = √λs ((1 − λ) Σ + λ s I)^(−½), Σ the covariance of the embeddings and
  s = tr(Σ)/D (Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4), for the
  M/10 directions of most variance. The others keep their length.

  Args:
    embeddings: float [N, D], one of each palm.
    shrinkage: λ in (0, 1]; with 1, W is the identity. By default it falls as M
      grows.
    strength: M, the whitening is as strong as that of M palms; by default N.

  Returns:
    float32 [R, D], R = min(M/10, N, D) rounded down.
  """
  if strength is None:
    strength = len(embeddings)
  if shrinkage is None:
    shrinkage = _PRIOR_PALMS / (_PRIOR_PALMS + strength)
  centred = np.asarray(embeddings, np.float64)
  centred = centred - centred.mean(axis=0)
  # Of few palms Σ has a small rank, which its rows show and a D × D matrix not.
  _, singular, axes = np.linalg.svd(centred, full_matrices=False)
  variances = singular**2 / len(centred)
  # Embeddings that are alike but for rounding: W is the identity.
  kept = shrinkage * max(variances.sum() / centred.shape[1], 1e-9)
  gains = np.sqrt(kept / ((1 - shrinkage) * variances + kept))
  rows = np.sqrt(1 - gains)[:, None] * axes
  return rows[: strength // _PALMS_A_DIRECTION].astype(np.float32)


def no_means(size):
  """Zero `Means` without whitening, for embeddings of `size` numbers."""
  code = np.zeros((orientation_code.SIZE, orientation_code.SIZE, 2), np.float32)
  return Means(code, code, np.zeros(size, np.float32))


def no_network(images):
  """Placeholder embeddings for scores without a network: ones [N, 1]."""
  return np.ones((len(images), 1), np.float32)


def compare(probes, gallery, means):
  """Scores of all pairs by each part; those of (b, a) are those of (a, b).

  Args:
    probes: `Templates` of P palms.
    gallery: `Templates` of G palms. The same object as the probes takes half
      the time.
    means: `Means` of the camera, taken off both.

  Returns:
    float32 [3, P, G], in the order of `NAMES`.
  """
  network = network_scores(probes.network, gallery.network, means)
  return np.concatenate([code_scores(probes, gallery, means), network[None]])


def code_scores(probes, gallery, means):
  """The scores of `compare` by the codes alone: float32 [2, P, G]."""
  return np.stack(
    [
      orientation_code.two_way_scores(
        *(getattr(side, name) for side in (probes, gallery)),
        KINDS[name],
        mean=getattr(means, name),
      )
      for name in CODES
    ]
  )


def network_scores(probes, gallery, means):
  """Scores of all pairs by the part 'network': cosines.

  Args:
    probes: float32 [P, D].
    gallery: float32 [G, D].
    means: `Means` of the camera, taken off both.

  Returns:
    float32 [P, G].
  """
  first, others = (_embeddings(side, means) for side in (probes, gallery))
  # Rounding leaves a palm and itself beyond 1.
  return np.clip(first @ others.T, -1.0, 1.0)


def standard(impostors, num_palms):
  """The `Standard` with which z is log(K w) − log(share of impostor pairs).

  Args:
    impostors: [K, I], scores of pairs of different palms, of the first K of
      `NAMES`.
    num_palms: how many palms they are of.
  """
  impostors = np.asarray(impostors, np.float64)
  start = np.quantile(impostors, 1 - _TAIL, axis=1)
  excess = [x[x >= u].mean() - u for x, u in zip(impostors, start, strict=True)]
  typical = _TYPICAL * impostors.std(axis=1)
  std = np.average(
    [excess, typical], weights=[num_palms, _TYPICAL_PALMS], axis=0
  )
  weights = np.asarray(WEIGHTS[: len(std)])
  share = weights / weights.mean()
  return Standard(start + std * np.log(_TAIL / share), std)


def standardise(scores, standard):
  """z of scores [K, …], float64."""
  shape = (-1,) + (1,) * (np.ndim(scores) - 1)
  mean, std = (
    np.asarray(x, np.float64)[: len(scores)].reshape(shape) for x in standard
  )
  return (np.asarray(scores, np.float64) - mean) / std


def fuse(scores, standard):
  """Fused scores: log of the mean of exp of the standardised scores.

  Args:
    scores: [K, …] of the first K of `NAMES`.
    standard: `Standard`.

  Returns:
    float64 […].
  """
  z = standardise(scores, standard)
  return special.logsumexp(z, axis=0) - np.log(len(z))


def _embeddings(network, means):
  """Embeddings without what palms share, unit norm."""
  embeddings = np.asarray(network, np.float64) - means.network
  if means.whitening is not None:
    rows = means.whitening
    embeddings = embeddings - (embeddings @ rows.T) @ rows
  norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
  return (embeddings / np.maximum(norms, 1e-6)).astype(np.float32)
