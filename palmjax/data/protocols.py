"""Which images are trained on and which are compared, as papers do it.

Identity-disjoint: the people of the test are in no training image. Papers write
'1:1' and '1:3' for the ratio of training to test identities (e.g. open-set
palm recognition in arXiv:2203.05703), not for one-to-one comparison. A person's
left and right palm stay on one side: they resemble each other more than the
palms of two people do.

Cross-session: the gallery is of one session, the probes of another, and only
pairs across count; pairs within a session share light, camera and weather and
flatter every method. Cross-set: trained on one set, tested on another.

Indices in, indices out; all are int64, ascending. To combine two protocols,
take the second's of the first's: with `split = identity_disjoint(...)` and
`test = split.evaluation`,
`across = cross_session(labels[test], sessions[test], ...)` gives the gallery
`test[across.gallery]`.
"""

import dataclasses

import numpy as np

from palmjax.data import splits

RATIOS = {'1:1': (1, 1), '1:3': (1, 3)}


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
  """Indices of the examples that are compared, each probe with all of gallery.

  Attributes:
    gallery: int64 [G].
    probe: int64 [P].
  """

  gallery: np.ndarray
  probe: np.ndarray


def identity_disjoint(labels, persons, *, ratio, seed):
  """Splits people into training and test; all pairs of the test count.

  Args:
    labels: int [N], the palm of each example.
    persons: int or str [N], whose palm it is.
    ratio: a name of `RATIOS`, training to test.
    seed: int; another seed is another split.

  Returns:
    `splits.Split` without validation. People are never cut, so a side may
    exceed its share of palms by less than one person's.

  Raises:
    ValueError: no such ratio, a palm of two people, or a side with fewer than
      two palms.
  """
  if ratio not in RATIOS:
    raise ValueError(f'no ratio {ratio!r}; choose one of {list(RATIOS)}')
  train, test = RATIOS[ratio]
  return splits.by_identity(
    labels, seed=seed, evaluation=test / (train + test), groups=persons
  )


def cross_session(labels, sessions, *, gallery, probe):
  """Takes the gallery from one session and the probes from another.

  Palms that are missing in one of the two are left out: a probe without a mate
  in the gallery has no genuine pair.

  Args:
    labels: int [N].
    sessions: int or str [N]; devices make it a cross-device protocol.
    gallery: session of the gallery.
    probe: session of the probes.

  Returns:
    `Comparison`.

  Raises:
    ValueError: one session twice or one that no example is of, or fewer than
      two palms in both.
  """
  labels, sessions = np.asarray(labels), np.asarray(sessions)
  if labels.shape != sessions.shape or labels.ndim != 1:
    raise ValueError(
      f'labels {labels.shape} and sessions {sessions.shape} must be two '
      'vectors of one length'
    )
  if gallery == probe:
    raise ValueError(
      f'gallery and probe are both of session {gallery!r}; give two sessions'
    )
  for session in (gallery, probe):
    if not np.any(sessions == session):
      raise ValueError(
        f'no image of session {session!r}; there are '
        f'{np.unique(sessions).tolist()}'
      )
  both = np.intersect1d(labels[sessions == gallery], labels[sessions == probe])
  if len(both) < 2:
    raise ValueError(
      f'{len(both)} palms are in both sessions, {gallery!r} and {probe!r}; at '
      'least 2 are needed'
    )
  kept = np.isin(labels, both)
  return Comparison(
    gallery=np.flatnonzero(kept & (sessions == gallery)),
    probe=np.flatnonzero(kept & (sessions == probe)),
  )


def cross_set(sets, *, train, test):
  """Trains on one data set and tests on another.

  Nobody is expected in two sets; where people are, e.g. in two releases of
  one laboratory, this is not identity-disjoint.

  Args:
    sets: str [N], the set of each example.
    train: name of the set to train on.
    test: name of the set to test on.

  Returns:
    `splits.Split` without validation; other sets are on neither side.

  Raises:
    ValueError: one set twice, or one that no example is of.
  """
  sets = np.asarray(sets)
  if train == test:
    raise ValueError(f'train and test are both {train!r}; give two sets')
  for name in (train, test):
    if not np.any(sets == name):
      raise ValueError(
        f'no image of set {name!r}; there are {np.unique(sets).tolist()}'
      )
  return splits.Split(
    train=np.flatnonzero(sets == train),
    validation=np.zeros(0, np.int64),
    evaluation=np.flatnonzero(sets == test),
  )
