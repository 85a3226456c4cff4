"""Protocols: which pairs of a test count, as papers choose them.

Identity-disjoint: the people of the test are in no training image. Papers write
'1:1' and '1:3' for the ratio of training to test identities (e.g. open-set
palm recognition in arXiv:2203.05703), not for one-to-one comparison; here they
are shares of 0.5 and 0.75 of `splits.by_identity`, whose groups keep a person's
left and right palm together: they resemble each other more than the palms of
two people do.

Cross-session: the gallery is of one session, the probes of another, and only
pairs across count; pairs within a session share light, camera and weather and
flatter every method. Cross-device: the same of what took the images. Cross-set:
trained on one set, tested on all of another.

Indices in, indices out; all are int64, ascending.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
  """Indices of the examples that are compared, each probe with all of gallery.

  Attributes:
    gallery: int64 [G].
    probe: int64 [P].
  """

  gallery: np.ndarray
  probe: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Across:
  """What can be compared across sessions, or across devices.

  Attributes:
    known: int64 [n], examples whose session is known; pairs of two of them
      count where their sessions differ.
    first_last: the first session as gallery and the last as probes, or None
      where fewer than two palms are in both.
  """

  known: np.ndarray
  first_last: Comparison | None


def across(labels, sessions, *, unknown):
  """Finds what can be compared across sessions, of any number of them.

  Args:
    labels: int [N].
    sessions: int or str [N]; devices make it a cross-device protocol.
    unknown: the session of examples of which nobody knows it.

  Returns:
    `Across`, or None where no palm is in two sessions or only one palm is.
  """
  labels, sessions = np.asarray(labels), np.asarray(sessions)
  known = np.flatnonzero(sessions != unknown)
  names, numbers = np.unique(sessions[known], return_inverse=True)
  visits = np.unique(np.stack([labels[known], numbers]), axis=1)[0]
  if not 1 < len(np.unique(visits)) < len(visits):
    return None
  ends = {'gallery': names[0], 'probe': names[-1]}
  both = _in_both(labels, sessions, **ends)
  return Across(
    known,
    cross_session(labels, sessions, **ends) if len(both) > 1 else None,
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
  both = _in_both(labels, sessions, gallery, probe)
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


def same_parts(sessions, devices):
  """Whether devices tell the examples apart just as sessions do."""
  pairs = {*zip(sessions.tolist(), devices.tolist(), strict=True)}
  return len(pairs) == len(np.unique(sessions)) == len(np.unique(devices))


def _in_both(labels, sessions, gallery, probe):
  return np.intersect1d(labels[sessions == gallery], labels[sessions == probe])
