"""1:N identification in the words of ISO/IEC 19795-1: rank-k, FNIR and FPIR.

A search compares a probe with a gallery. The score of an identity there is the
highest of its templates; the rank of the searched identity is 1 plus the number
of others that score at least as high: a tie is an error.

  rank-k        = share of the mated searches with rank ≤ k (closed set)
  FPIR(t)       = share of the non-mated searches whose highest score is ≥ t
  FNIR(t)       = share of the mated searches with rank > 1 or score < t
  FNIR@FPIR=f   = the smallest FNIR(t) with FPIR(t) ≤ f (open set)

Rule of 30: an FPIR f is reported only where f times the non-mated searches is
at least 30. Intervals resample the searched identities and hold the gallery
fixed: all rates here depend on its size, which a resample would shrink.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, inputs

RANKS = (1, 5, 10)
FPIRS = (1e-1, 1e-2, 1e-3)
_ROWS = 512  # Probes compared with the gallery at a time: bounds the memory.


class Searches(NamedTuple):
  """Scores and ranks of M mated and Q non-mated searches.

  Attributes:
    mated: float32 [M], score of the searched identity.
    rank: int64 [M], its rank.
    mated_identity: integer [M], who was searched, in 0..K-1.
    nonmated: float32 [Q], highest score in a gallery without the identity.
    nonmated_identity: integer [Q], in 0..K-1.
    num_identities: K, identities of all probes.
    gallery_identities: the fewest that a mated search chose from.
  """

  mated: np.ndarray
  rank: np.ndarray
  mated_identity: np.ndarray
  nonmated: np.ndarray
  nonmated_identity: np.ndarray
  num_identities: int
  gallery_identities: int


def search(probes, probe_labels, gallery, gallery_labels) -> Searches:
  """Searches every probe in one gallery: mated where its identity is there.

  Args:
    probes: float [P, D], unit L2 norm.
    probe_labels: integer [P].
    gallery: float [N, D], unit L2 norm; several templates of an identity are
      welcome.
    gallery_labels: integer [N], of the same identities as `probe_labels`.

  Raises:
    ValueError: a value is not finite, a norm is not 1, no probe is mated, or
      the gallery holds fewer than two identities.
  """
  probes, probe_labels = inputs.labelled(probes, probe_labels)
  gallery, gallery_labels = inputs.labelled(gallery, gallery_labels)
  chex.assert_equal_shape_suffix([probes, gallery], 1)
  enrolled, templates = np.unique(gallery_labels, return_counts=True)
  column = np.searchsorted(enrolled, probe_labels)
  inside = np.minimum(column, max(len(enrolled) - 1, 0))
  mated = np.isin(probe_labels, enrolled)
  _require(mated.any(), len(enrolled))

  gallery = gallery[np.argsort(gallery_labels, kind='stable')]
  starts = np.cumsum(templates) - templates
  searches = [
    _read(
      np.maximum.reduceat(probes[rows] @ gallery.T, starts, axis=1),
      inside[rows],
      mated[rows],
    )
    for rows in _slices(len(probes))
  ]
  mated_scores, rank, rival = map(np.concatenate, zip(*searches, strict=True))
  _, identities = np.unique(probe_labels, return_inverse=True)
  return Searches(
    mated=mated_scores[mated],
    rank=rank[mated],
    mated_identity=identities[mated],
    nonmated=rival[~mated],
    nonmated_identity=identities[~mated],
    num_identities=int(identities.max()) + 1,
    gallery_identities=len(enrolled),
  )


def leave_one_out(embeddings, labels) -> Searches:
  """Searches every image twice in the gallery of all other images.

  Once as it is, mated where its identity has another image there; once with
  its identity taken out of the gallery: non-mated.

  Args:
    embeddings: float [N, D], unit L2 norm.
    labels: integer [N].

  Raises:
    ValueError: as `search`.
  """
  embeddings, labels = inputs.labelled(embeddings, labels)
  order = np.argsort(labels, kind='stable')
  _, identities, images = np.unique(
    labels[order], return_inverse=True, return_counts=True
  )
  _require((images > 1).any(), len(images))
  embeddings = embeddings[order]
  mated = images[identities] > 1
  starts = np.cumsum(images) - images
  searches = []
  for rows in _slices(len(labels)):
    similarities = embeddings[rows] @ embeddings.T
    similarities[np.arange(len(rows)), rows] = -np.inf
    scores = np.maximum.reduceat(similarities, starts, axis=1)
    searches.append(_read(scores, identities[rows], np.full(len(rows), True)))
  mated_scores, rank, rival = map(np.concatenate, zip(*searches, strict=True))
  return Searches(
    mated=mated_scores[mated],
    rank=rank[mated],
    mated_identity=identities[mated],
    nonmated=rival,
    nonmated_identity=identities,
    num_identities=len(images),
    gallery_identities=len(images),
  )


def det_points(searches, *, num_points=400):
  """(FPIR, FNIR), as `error_rates.det_points` gives FMR and FNMR."""
  fpir, fnir = error_rates.det_points(
    _accepted_at(searches), searches.nonmated, num_points=num_points
  )
  # No threshold saves a search whose identity is not first.
  return fpir, np.maximum(fnir, np.mean(searches.rank > 1))


def rates(
  searches: Searches,
  *,
  ranks: Sequence[int] = RANKS,
  fpirs: Sequence[float] = FPIRS,
  resampling=bootstrap.DEFAULT,
) -> dict:
  """Rank-k and FNIR@FPIR with bootstrap intervals over searched identities.

  Args:
    searches: from `search` or `leave_one_out`.
    ranks: each at least 1.
    fpirs: false positive identification rates, each in (0, 1).
    resampling: of the interval.

  Returns:
    {'rank1': …, 'fnir@fpir=1e-2': …}, each {'value', 'low', 'high'}, or
    {'value': None, 'reason': …} where the rule of 30 forbids a number, or the
    gallery has no more identities than the rank.
  """
  if not all(0.0 < fpir < 1.0 for fpir in fpirs):
    raise ValueError('A false positive rate must lie between 0 and 1.')
  if not all(rank >= 1 for rank in ranks):
    raise ValueError('A rank must be 1 or more.')
  num_nonmated, gallery = len(searches.nonmated), searches.gallery_identities
  ranked = [k for k in ranks if k < gallery]
  measured = [f for f in fpirs if error_rates.is_measurable(f, num_nonmated)]
  weights = bootstrap.draw(searches.num_identities, resampling)
  mated, nonmated = (
    np.bincount(identity, minlength=searches.num_identities)
    for identity in (searches.mated_identity, searches.nonmated_identity)
  )
  # Draws in which nobody was searched measure nothing.
  usable = weights @ mated > 0
  if measured:
    usable &= weights @ nonmated > 0

  values, *resamples = (
    np.concatenate(
      [_rank_rates(searches, w, ranked), fnirs(searches, w, measured)], axis=1
    )
    for w in (np.ones((1, searches.num_identities), int), weights[usable])
  )
  low, high = bootstrap.bounds(
    resamples[0],
    values[0],
    resampling.confidence,
    num_independent=np.count_nonzero(mated),
    best=np.repeat([1.0, 0.0], [len(ranked), len(measured)]),
  )
  names = [*(f'rank{k}' for k in ranked), *map(fnir_name, measured)]
  metrics = error_rates.metrics(names, values[0], low, high)
  reasons = {
    f'rank{k}': f'not measurable with {gallery} identities' for k in ranks
  } | {
    fnir_name(f): f'not measurable with {num_nonmated} non-mated searches'
    for f in fpirs
  }
  return {
    name: metrics.get(name, {'value': None, 'reason': reason})
    for name, reason in reasons.items()
  }


def fnir_name(fpir) -> str:
  """Name of a metric: 'fnir@fpir=1e-2' for 0.01."""
  return f'fnir@fpir={error_rates.short(fpir)}'


def _require(any_mated, num_enrolled):
  if not any_mated:
    raise ValueError('No mated search: no probe has its identity enrolled.')
  if num_enrolled < 2:
    raise ValueError('Identification needs a gallery of two identities.')


def _slices(count):
  indices = np.arange(count)
  return [indices[start : start + _ROWS] for start in range(0, count, _ROWS)]


def _read(scores, column, mated):
  """(score, rank, highest other score) of each probe, each [B].

  Args:
    scores: float [B, E] of the enrolled identities; changed.
    column: [B], the identity of the probe, where it is enrolled.
    mated: bool [B], whether it is.
  """
  rows = np.arange(len(scores))
  mated_scores = np.where(mated, scores[rows, column], -np.inf)
  scores[rows[mated], column[mated]] = -np.inf
  rank = 1 + np.count_nonzero(scores >= mated_scores[:, None], axis=1)
  return mated_scores, rank, scores.max(axis=1)


def _accepted_at(searches):
  """The highest threshold that still finds each searched identity: [M].

  Below all scores where it is not first: only FPIR = 1 would accept it.
  """
  lowest = min(searches.mated.min(), searches.nonmated.min(initial=0.0))
  return np.where(searches.rank == 1, searches.mated, lowest - 1.0)


def _rank_rates(searches, weights, ranks):
  """Rank-k at identities counted by weights [R, K]: [R, F]."""

  def count(of):
    identities = searches.mated_identity[of]
    return weights @ np.bincount(identities, minlength=weights.shape[1])

  hits = [count(searches.rank <= rank) for rank in ranks]
  searched = count(searches.rank > 0)
  return np.reshape(hits, (len(ranks), len(weights))).T / searched[:, None]


def fnirs(searches, weights, fpirs):
  """FNIR@FPIR of resampled identities, weights [R, K]: [R, F]."""
  accepted_at = _accepted_at(searches)
  mated, nonmated = np.argsort(-accepted_at), np.argsort(-searches.nonmated)
  levels = error_rates.find_levels(
    accepted_at[mated[::-1]], searches.nonmated[nonmated[::-1]]
  )
  answers = []
  for w in weights if fpirs else ():
    accepted = np.cumsum(w[searches.mated_identity[mated]])
    positive = np.cumsum(w[searches.nonmated_identity[nonmated]])
    positive = np.append(0, positive)
    weighted = error_rates.Levels(
      accepted[levels.accepted - 1],
      positive[levels.above],
      positive[levels.matched],
    )
    totals = accepted[-1], positive[-1]
    _, *tars = error_rates.read_levels(weighted, *totals, fpirs)
    answers.append(1.0 - np.array(tars))
  return np.reshape(answers, (len(weights), len(fpirs)))
