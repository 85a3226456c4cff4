"""Splits identities into training, validation and test, and labels some.

All choices rank by a hash of (seed, name): the k best ranked are taken. A
choice therefore depends on no order and no random stream, a larger budget
contains the smaller one, and identities that join a data set later push at
most as many others across the border as they are themselves, as long as the
names of the old ones stay. Dense labels are names in a drawn set; in a folder a
new identity shifts them, so pass the identity's own name as its group there.
"""

import dataclasses
import hashlib

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
  """Indices of examples, ascending; no identity is in two of the parts.

  Attributes:
    train: int64 [n].
    validation: int64 [m], empty if none was asked for.
    evaluation: int64 [k].
  """

  train: np.ndarray
  validation: np.ndarray
  evaluation: np.ndarray


def by_identity(labels, *, seed, evaluation, validation=0, groups=None):
  """Splits examples so that no identity, and no group, is on two sides.

  Args:
    labels: int [N], the identity of each example.
    seed: int; another seed is another split.
    evaluation: identities to test on: a count if int, a share in (0, 1) if
      float.
    validation: the same for a second held-out part; 0 is none.
    groups: int or str [N], what must stay together, e.g. the person, whose
      left and right palm are two identities; None takes each identity alone.
      Groups are never cut, so a part may exceed its size by less than a group.

  Returns:
    `Split`.

  Raises:
    ValueError: a part or the rest would have fewer than two identities, or an
      identity lies in two groups.
  """
  labels = np.asarray(labels)
  groups = labels if groups is None else np.asarray(groups)
  members = _members(labels, groups)
  total = sum(len(identities) for identities in members.values())
  wanted = {
    'evaluation': _count(evaluation, total, 'evaluation'),
    'validation': _count(validation, total, 'validation'),
  }
  queue = _ranked(members, f'split/{seed}')
  parts = {}
  for name, count in wanted.items():
    chosen = []
    while queue and sum(len(members[g]) for g in chosen) < count:
      chosen.append(queue.pop(0))
    parts[name] = chosen
  parts['train'] = queue

  sizes = {
    name: sum(len(members[g]) for g in chosen) for name, chosen in parts.items()
  }
  asked_for = {
    name: size
    for name, size in sizes.items()
    if name == 'train' or wanted[name]
  }
  if min(asked_for.values()) < 2:
    raise ValueError(_too_few(total, asked_for))

  def indices(name):
    return np.flatnonzero(np.isin(groups, parts[name]))

  return Split(indices('train'), indices('validation'), indices('evaluation'))


def budget(labels, *, identities, images, seed):
  """The labelled few: `images` examples of each of `identities` identities.

  Identities with too few examples are passed over. The choices nest: a larger
  budget with the same seed contains the smaller one.

  Args:
    labels: int [N].
    identities: int, how many.
    images: int, how many of each.
    seed: int.

  Returns:
    int64 [identities · images], indices into `labels`, ascending.

  Raises:
    ValueError: too few identities, or too few with that many images.
  """
  labels = np.asarray(labels)
  if identities < 1 or images < 1:
    raise ValueError(
      f'a labelled budget of {identities} identities × {images} images is '
      'empty; set `identities` and `images` to 1 or more'
    )
  names, counts = np.unique(labels, return_counts=True)
  if len(names) < identities:
    raise ValueError(
      f'the labelled budget asks for {identities} identities, but the training '
      f'part has {len(names)}; lower `identities`'
    )
  enough = names[counts >= images]
  if len(enough) < identities:
    # The most images that so many identities have.
    possible = np.sort(counts)[-identities]
    raise ValueError(
      f'the labelled budget asks for {images} images of each of {identities} '
      f'identities, but only {len(enough)} have that many; lower `images` to '
      f'{possible} or `identities` to {len(enough)}'
    )
  chosen = []
  for name in _ranked(enough.tolist(), f'identity/{seed}')[:identities]:
    examples = np.flatnonzero(labels == name)
    order = _ranked(range(len(examples)), f'image/{seed}/{name}')
    chosen.append(examples[order[:images]])
  return np.sort(np.concatenate(chosen))


def dense(labels):
  """Renumbers labels without gaps.

  Args:
    labels: int [N].

  Returns:
    (int32 [N] in 0 … K − 1, the K old labels, ascending).
  """
  names, inverse = np.unique(np.asarray(labels), return_inverse=True)
  return inverse.astype(np.int32), names


def _members(labels, groups):
  """Returns {group: its identities}."""
  if labels.shape != groups.shape or labels.ndim != 1:
    raise ValueError(
      f'labels {labels.shape} and groups {groups.shape} must be two vectors of '
      'one length'
    )
  group_of, members = {}, {}
  pairs = zip(labels.tolist(), groups.tolist(), strict=True)
  for label, group in dict.fromkeys(pairs):
    if label in group_of:
      raise ValueError(
        f'identity {label} lies in two groups, {group_of[label]!r} and '
        f'{group!r}'
      )
    group_of[label] = group
    members.setdefault(group, []).append(label)
  return members


def _too_few(total, sizes):
  """The message for parts of too few identities; sizes: {part: identities}."""
  *most, last = (f'{size} for {name}' for name, size in sizes.items())
  least = 2 * len(sizes)
  advice = (
    f'add identities, {least} or more are needed'
    if total < least
    else 'change the share, or add identities'
  )
  return (
    f'of {total} identities there are {", ".join(most)} and {last}; each part '
    f'needs 2 or more: {advice}'
  )


def _count(wanted, total, name):
  """Turns a share or a count of identities into a count."""
  if isinstance(wanted, float):
    if not 0 <= wanted < 1:
      raise ValueError(
        f'the {name} share is {wanted}; it must be at least 0 and below 1'
      )
    return round(wanted * total)
  if wanted < 0:
    raise ValueError(f'{wanted} {name} identities; give 0 or more')
  return wanted


def _ranked(names, salt):
  """Sorts by a hash of salt and name: random, and each name by itself."""

  def rank(name):
    # A name need not be UTF-8.
    text = f'{salt}/{name}'.encode('utf-8', 'surrogateescape')
    return hashlib.sha256(text).digest()

  return sorted(names, key=rank)
