"""Tests of a trained palm network: which images and which pairs count.

all pairs         of the identities that were not trained on
across sessions   pairs of two sessions; the last is searched in the first
across devices    the same of what took the images
on another set    all of these, of sets that nothing was trained on

Scores are kept in lists, 50 bytes a pair. All pairs of a test of more than
`LISTED` images are counted on the device (`evals.recognition.streaming`). Lists
and controls are then of its first identities.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from palmjax import file_names
from palmjax.data.palms import palms
from palmjax.data.sets import prepared, protocols, stored_images
from palmjax.data.sets.builders import layout
from palmjax.evals.recognition import identification, streaming, verification
from palmjax.images import image_file
from palmjax.recipes.metric import other_sets
from palmjax.recipes.shared import controls

# Images of a test whose pairs are listed: 18 million, 900 MB a model.
LISTED = 6000
_NO_DEVICE = ''


@dataclasses.dataclass(frozen=True, eq=False)
class Test:
  """Images that a network is tested on.

  Attributes:
    name: of another set; '' for the identities kept apart of the run's own.
    images: uint8 [N, size, size, 3].
    labels: int [N].
    sessions: int [N]; `layout.NO_SESSION` where nobody knows.
    devices: int or str [N]; '' where nobody knows.
    captured: int [K], images of each identity of the whole set, trained on or
      not, that could be read.
    failed: int [K], those that could not.
    groups: int or str [N], people, of another set.
    read: (indices, size) → uint8 [n, size, size, 3], of another set: what is
      decided on may be larger than what the network sees.
  """

  name: str
  images: np.ndarray
  labels: np.ndarray
  sessions: np.ndarray
  devices: np.ndarray
  captured: np.ndarray
  failed: np.ndarray
  groups: np.ndarray | None = None
  read: Callable[[np.ndarray, int], np.ndarray] | None = None

  @property
  def suffix(self):
    """Suffix of this test for the names of models."""
    return f', on {self.name}' if self.name else ''


class Counted(NamedTuple):
  """All pairs of a large test, counted.

  Attributes:
    counts: `streaming.Counts`.
    embeddings: float32 [N, D].
    labels: int [N].
  """

  counts: streaming.Counts
  embeddings: np.ndarray
  labels: np.ndarray


class Compared(NamedTuple):
  """Scores of one test; the dicts are keyed by the models' names.

  Attributes:
    test: what was compared; of a large test its first identities.
    scores: `verification.PairScores`; the controls, which learn nothing, come
      first.
    searches: `identification.Searches`.
    counted: `Counted`; empty unless the test is large.
  """

  test: Test
  scores: dict
  searches: dict
  counted: dict


def held_out_test(config, run_palms):
  """The test of the identities that `palm_images.load` kept apart.

  Args:
    config: of configs/metric.py.
    run_palms: `palm_images.PalmImages`.

  Returns:
    `Test`.
  """
  data, part = config.data, run_palms.evaluation
  devices = np.full(len(part.labels), _NO_DEVICE)
  if data.name == 'palms':
    devices = palms.device_of(part.sessions)
    captured = np.full(data.identities, data.samples)
    failed = np.zeros_like(captured)
  elif data.name == 'folder':
    captured, failed = _of_folder(data.dir, run_palms.skipped)
  else:
    source = _source(config, run_palms)
    # All images of an identity are on one side, in the order of the set.
    names = np.array(source.identities)[source.labels]
    devices = source.devices[np.isin(names, part.identities)]
    captured, failed = _of_source(source)
  return Test(
    '', part.images, part.labels, part.sessions, devices, captured, failed
  )


def other_set(directory, *, size):
  """The test of all images of a prepared set, or of a folder of palms.

  Args:
    directory: as for `prepared.Source` or `folder.read`.
    size: side of the network's images in pixels.

  Returns:
    `Test`; a folder has the name of its last part.

  Raises:
    OSError, ValueError: as `other_sets.read`, or no palm has two images.
  """
  image_set = other_sets.read(directory, size=size)
  if np.bincount(image_set.labels).max() < 2:
    raise ValueError(
      f'no palm in {directory} has two images, so no genuine pair exists: take '
      'it out of --config.evaluation.sets'
    )
  if isinstance(image_set.source, prepared.Source):
    captured, failed = _of_source(image_set.source)
  else:
    captured, failed = _of_folder(directory, image_set.source.skipped)
  return Test(
    image_set.name,
    image_set.images,
    image_set.labels,
    image_set.sessions,
    image_set.devices,
    captured,
    failed,
    image_set.source.groups,
    image_set.again,
  )


def compare(test, embed):
  """Scores and searches of a network, and scores of its controls.

  Args:
    test: `Test`.
    embed: uint8 [N, H, W, 3] → [N, D], unit norm.

  Returns:
    `Compared`.

  Raises:
    ValueError: no genuine or no impostor pair.
  """
  name = f'network{test.suffix}'
  embeddings, counted, searches = embed(test.images), {}, {}
  if len(test.labels) > LISTED:
    every = embeddings, test.labels
    counts = streaming.count_pairs(*every)
    counted[f'{name}, all counted'] = Counted(counts, *every)
    searches[f'{name}, all counted'] = identification.leave_one_out(*every)
    test, embeddings = _first(test, embeddings)
  labels = test.labels
  alone = {
    f'{control}{test.suffix}': similarities
    for control, similarities in controls.scores(test.images).items()
  }
  scores = {
    **{
      control: verification.matrix_scores(similarities, labels)
      for control, similarities in alone.items()
    },
    name: verification.pair_scores(embeddings, labels),
  }
  searches[name] = identification.leave_one_out(embeddings, labels)
  for kind, (places, across) in _across(test).items():
    known = across.known
    for control, similarities in alone.items():
      scores[f'{control}, across {kind}'] = verification.matrix_scores(
        similarities[np.ix_(known, known)],
        labels[known],
        sessions=places[known],
      )
    scores[f'{name}, across {kind}'] = verification.pair_scores(
      embeddings[known], labels[known], sessions=places[known]
    )
    if across.first_last is not None:
      probe, gallery = across.first_last.probe, across.first_last.gallery
      searches[f'{name}, across {kind}'] = identification.search(
        embeddings[probe], labels[probe], embeddings[gallery], labels[gallery]
      )
  return Compared(test, scores, searches, counted)


def _first(test, embeddings):
  """The first identities of a test, `LISTED` images at most, or two of them."""
  _, identities, images = np.unique(
    test.labels, return_inverse=True, return_counts=True
  )
  kept = identities < max(2, np.searchsorted(np.cumsum(images), LISTED + 1))
  fields = ('images', 'labels', 'sessions', 'devices')
  part = {field: getattr(test, field)[kept] for field in fields}
  return dataclasses.replace(test, **part), embeddings[kept]


def _across(test):
  """{'sessions' or 'devices': (places [N], `protocols.Across`)}."""
  places = {'sessions': (test.sessions, layout.NO_SESSION)}
  if not protocols.same_parts(test.sessions, test.devices):
    places['devices'] = test.devices, _NO_DEVICE
  across = {
    kind: (of, protocols.across(test.labels, of, unknown=unknown))
    for kind, (of, unknown) in places.items()
  }
  return {kind: pair for kind, pair in across.items() if pair[1] is not None}


def _source(config, run_palms):
  """The prepared set of a run; opening it anew reads every record."""
  if isinstance(run_palms.labelled.images, stored_images.StoredImages):
    return run_palms.labelled.images.source
  return prepared.Source(config.data.dir, size=config.image_size)


def _of_source(source):
  """(captured, failed), each [K], of a `prepared.Source`."""
  names = np.array(source.identities)[source.labels]
  return _counts(collections.Counter(names.tolist()), source.failed)


def _of_folder(directory, skipped):
  """(captured, failed), each [K], of DIR/<identity>/<image>.

  The names in the folder tell, as `folder.read` keeps no identity without an
  image that can be read.
  """
  failed = collections.Counter(name.split('/')[0] for name in skipped)
  tried = collections.Counter(
    file_names.printable(path.parent.name)
    for path in pathlib.Path(directory).glob('*/*')
    if path.name.lower().endswith(image_file.SUFFIXES)
    and not path.is_dir()
    and not path.name.startswith('.')
    and not path.parent.name.startswith('.')
  )
  return _counts(tried - failed, failed)


def _counts(captured, failed):
  """Two vectors of two Counters of identities."""
  everyone = sorted({*captured, *failed})
  return tuple(
    np.array([counts.get(name, 0) for name in everyone])
    for counts in (captured, failed)
  )
