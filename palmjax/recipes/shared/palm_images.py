"""Palms of a recipe, split into training and test."""

import dataclasses
import hashlib
import pathlib
from typing import NamedTuple

import jax
import numpy as np

from palmjax.data import streams
from palmjax.data.sets import prepared, splits, stored_images
from palmjax.data.sets.builders import layout
from palmjax.inference import cohort
from palmjax.recipes.shared import (
  config_keys,
  ending,
  lying,
  palm_source,
  whole_hands,
)

# Strangers that thresholds are set on: their pairs measure an FMR of 1e-3.
_MOST_STRANGERS = 400
# Held out for this where a recipe would train on all identities that are left:
# at most so many, and at most half of them.
_HELD_OUT = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
  """Some images. `labels` are dense within the part.

  Attributes:
    images: uint8 [N, size, size, 3], or `StoredImages` where the training part
      of a prepared set is to stay on disk (`config.data.stream`).
    labels: int32 [N].
    identities: K names.
    sessions: int64 [N]; `layout.NO_SESSION` where nobody knows.
  """

  images: np.ndarray | stored_images.StoredImages
  labels: np.ndarray
  identities: tuple[str, ...]
  sessions: np.ndarray


class SpareIdentities(NamedTuple):
  """One image of each of some identities that no network is trained on.

  Attributes:
    ids: of the images.
    tested: whether they are identities of the evaluation.
  """

  ids: tuple[str, ...]
  tested: bool


@dataclasses.dataclass(frozen=True, eq=False)
class PalmImages:
  """Labelled few, and the identities kept apart for evaluation.

  Attributes:
    labelled: what is trained on.
    unseen: further images of the labelled identities, not trained on; may be
      empty. Labels are those of `labelled`.
    evaluation: all images of identities that no training sees.
    skipped: names of unreadable images.
    validation: all images of training identities that are held out to tell when
      a training is over; None if none are.
    fingerprint: digest of images, labels and split (of a streamed set, of
      its name and the ids in place of the images); a stage whose data changed
      is refused instead of resumed.
    strangers: `SpareIdentities`: held out or not in the budget, or the tested
      ones where there are too few of these.
    unlabelled: uint8 [M, size, size, 3], images of training identities that the
      budget left out, for recipes that train on them; else none.
  """

  labelled: Part
  unseen: Part
  evaluation: Part
  skipped: tuple[str, ...]
  fingerprint: str
  strangers: SpareIdentities
  validation: Part | None = None
  unlabelled: np.ndarray | tuple = ()

  def counts(self):
    """Says how many images and identities there are."""
    more = (
      f', {len(self.unlabelled)} unlabelled' if len(self.unlabelled) else ''
    )
    return (
      f'{len(self.labelled.labels)} images of '
      f'{len(self.labelled.identities)} identities{more}; evaluation: '
      f'{len(self.evaluation.labels)} images of '
      f'{len(self.evaluation.identities)} others'
    )


def load(config, key, *, unlabelled=False):
  """Reads or draws the images of a run and splits them.

  Args:
    config: with `data`, `image_size`, `labelled`, `evaluation_share`, `stop`.
    key: random key of the data: palms drawn and identities chosen.
    unlabelled: whether identities that the budget leaves out are trained on
      without their labels. Then some of them are held out as strangers, unless
      the run draws its palms, and strangers with them.

  Returns:
    `PalmImages`.

  Raises:
    ValueError, OSError: one line that says what is wrong with the data.
  """
  seed = streams.seed_of(jax.random.fold_in(key, 1))
  palm_set = palm_source.read(config, key)
  whole_hands.check(config.data, palm_set)
  lying.warn_of_run(config.data, palm_set)
  with config_keys.named('evaluation_share'):
    split = splits.by_identity(
      palm_set.labels,
      seed=seed,
      evaluation=float(config.evaluation_share),
      validation=ending.share(config) * (1 - config.evaluation_share),
      groups=palm_set.groups,
    )
  chosen = split.train
  # A recipe without a budget trains on all there is.
  if config.labelled.identities or config.labelled.images:
    with config_keys.named('labelled'):
      budget = splits.budget(
        palm_set.labels[split.train],
        identities=config.labelled.identities,
        images=config.labelled.images,
        seed=seed,
      )
    chosen = chosen[budget]
  others = np.setdiff1d(split.train, chosen)
  budgeted = np.isin(palm_set.labels[others], palm_set.labels[chosen])
  others, left_out = others[budgeted], others[~budgeted]
  if unlabelled and config.data.name != 'palms':
    left_out = _without_strangers(palm_set, left_out, seed)
  trained = np.union1d(chosen, left_out) if unlabelled else chosen
  labelled = _part(palm_set, chosen)
  old = np.unique(palm_set.labels[chosen])
  unseen = Part(
    palm_set.images[others],
    np.searchsorted(old, palm_set.labels[others]).astype(np.int32),
    labelled.identities,
    _sessions(palm_set)[others],
  )
  evaluation = _held(_part(palm_set, split.evaluation))
  if np.bincount(evaluation.labels).max() < 2:
    raise ValueError(
      f'none of the {len(evaluation.identities)} identities of the evaluation '
      'has two images, so no genuine pair exists: add images or change '
      '--config.evaluation_share'
    )
  digest = hashlib.sha256()
  if isinstance(palm_set.images, stored_images.StoredImages):
    # The name of a prepared set tells what it was made of.
    name = pathlib.Path(config.data.dir).resolve().parts[-3:]
    text = '\n'.join([*name, *palm_set.ids])
    digest.update(text.encode('utf-8', 'surrogateescape'))
  else:
    digest.update(np.ascontiguousarray(palm_set.images))
  digest.update(np.ascontiguousarray(palm_set.labels))
  for indices in (trained, split.evaluation, split.validation):
    digest.update(np.asarray(indices, np.int64).tobytes())
  return PalmImages(
    labelled=labelled,
    unseen=unseen,
    evaluation=evaluation,
    skipped=palm_set.skipped,
    fingerprint=digest.hexdigest(),
    strangers=_strangers(palm_set, split, trained),
    validation=(
      _held(_part(palm_set, split.validation))
      if len(split.validation)
      else None
    ),
    unlabelled=(
      _held(_part(palm_set, left_out)).images
      if unlabelled and len(left_out)
      else ()
    ),
  )


def turned(part):
  """Every identity turned and mirrored in one of the 8 ways of a square.

  Args:
    part: `Part`.

  Returns:
    `Part`; identity k lies in way k mod 8, all its images alike.
  """
  ways = part.labels % 8
  if isinstance(part.images, stored_images.StoredImages):
    images = dataclasses.replace(part.images, ways=ways)
  else:
    images = part.images.copy()
    for way in range(1, 8):
      images[ways == way] = stored_images.turn(images[ways == way], way)
  return dataclasses.replace(part, images=images)


def _without_strangers(palm_set, indices, seed):
  """Images of the identities that may be trained on; persons stay whole."""
  labels = palm_set.labels[indices]
  count = len(np.unique(labels))
  held_out = min(_HELD_OUT, count // 2)
  if held_out < cohort.LEAST:
    # Too few for a cohort: the strangers are those of the test, and say so.
    return indices
  groups = None if palm_set.groups is None else palm_set.groups[indices]
  split = splits.by_identity(
    labels, seed=seed, evaluation=held_out, groups=groups
  )
  return indices[split.train]


def _strangers(palm_set, split, chosen):
  trained = np.unique(palm_set.labels[chosen])
  spare = np.concatenate([split.train, split.validation])
  spare = spare[~np.isin(palm_set.labels[spare], trained)]
  tested = len(np.unique(palm_set.labels[spare])) < cohort.LEAST
  among = np.sort(split.evaluation if tested else spare)
  _, first = np.unique(palm_set.labels[among], return_index=True)
  # By no order of names: it may be that of the capture.
  order = np.random.default_rng(0).permutation(len(first))
  images = among[first[order[:_MOST_STRANGERS]]]
  return SpareIdentities(tuple(palm_set.ids[i] for i in images), tested)


def _part(palm_set, indices):
  labels, names = splits.dense(palm_set.labels[indices])
  return Part(
    palm_set.images[indices],
    labels,
    tuple(palm_set.identities[k] for k in names),
    _sessions(palm_set)[indices],
  )


def _held(part):
  """A part whose images are in memory."""
  if isinstance(part.images, stored_images.StoredImages):
    return dataclasses.replace(part, images=part.images.read())
  return part


def _sessions(palm_set):
  if isinstance(palm_set, prepared.PreparedImages):
    return palm_set.sessions
  return np.full(len(palm_set.labels), layout.NO_SESSION)
