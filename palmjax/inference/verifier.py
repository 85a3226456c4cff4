"""Are two palms one? The one place where that is decided.

  v = verifier.load()                   # or load(export_directory)
  v.compare(a, b)                       # decision, score, threshold, what for
  v.scores(probes, gallery)             # float32 [P, G]
  same = scores >= v.threshold(1e-3)

A palm is an image that shows it alone, uint8 [H, W], [H, W, 1] or [H, W, 3]
(RGB), fingers up; of each image the centred square is taken. Or it is a
`palm_files.Palm` that was cut out of a photo: a left and a right palm are two,
whatever the score. The scores are those of `inference.matcher`.
"""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np

from palmjax.images import image_file
from palmjax.inference import correlation as correlations
from palmjax.inference import matcher, palm_files
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks
from palmjax.networks import shipped
from palmjax.ops import vectors


class Decision(NamedTuple):
  """What is said of two palms.

  Attributes:
    decision: 'same' or 'different'.
    score: float, see `measure`.
    threshold: float, on the scale of `score`.
    measure: 'score', which is at least the threshold for one palm, or
      'distance', at most.
    fmr: false match rate that the threshold was set for.
    set_on: what impostor pairs the threshold was set on, in words.
    same_side: whether both are left or both right palms; None where one of the
      sides is not known.
  """

  decision: str
  score: float
  threshold: float
  measure: str
  fmr: float
  set_on: str
  same_side: bool | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Verifier:
  """A network, how its embeddings are compared, and thresholds.

  Attributes:
    network: `networks.palm.PalmNetwork`.
    turns: whether scores are means over 8 turns of both palms.
    correlation: whether half of the score is correlation.
    calibration: `matcher.Calibration` of these scores, None if there is none.
    missing: why there is none, in a line.
  """

  network: palm_networks.PalmNetwork
  turns: bool
  correlation: bool
  calibration: matcher.Calibration | None
  missing: str = ''

  @property
  def image_size(self):
    """Side in pixels of the square that is made of each image."""
    return self.network.preprocess.image_size

  @property
  def measure(self):
    """'distance' for networks trained by Euclidean distances, else 'score'."""
    # A score with correlation is neither a cosine nor a distance.
    euclidean = self.network.preprocess.metric == 'euclidean'
    return 'distance' if euclidean and not self.correlation else 'score'

  @property
  def comparison(self):
    """The kind of score, in words."""
    name = matcher.comparison(turns=self.turns, correlation=self.correlation)
    kind = 'euclidean' if self.measure == 'distance' else 'cosine'
    return name.replace('cosine', kind)

  def embed(self, palms):
    """Embeddings of palms.

    Args:
      palms: N palms (module docstring).

    Returns:
      float32 [N, D], unit norm, D 8 times as large with turns.

    Raises:
      ValueError: names the first image of another type or shape.
    """
    if not len(palms):
      length = self.network.embedding_size
      length *= matcher.TURNS if self.turns else 1
      return np.empty((0, length), np.float32)
    return self._embed(self._squares(palms))

  def scores(self, probes, gallery):
    """Scores of all pairs; higher is more alike.

    Args:
      probes: P palms, 1 or more.
      gallery: G palms, 1 or more.

    Returns:
      float32 [P, G].

    Raises:
      ValueError: no palm, or an image of another type or shape.
    """
    if not (len(probes) and len(gallery)):
      raise ValueError('no palm to compare: give one or more on each side')
    images = self._squares([*probes, *gallery])
    count = len(probes)
    embeddings = self._embed(images)
    # Rounding leaves a palm and itself beyond 1.
    scores = np.clip(embeddings[:count] @ embeddings[count:].T, -1.0, 1.0)
    if self.correlation:
      first, others = np.split(correlations.templates_of(images), [count])
      alone = np.asarray(_similarities(first, others))
      scores = matcher.fuse(scores, alone, self._calibrated().standard)
    return scores.astype(np.float32)

  def threshold(self, fmr=1e-3):
    """The score from which on two palms are called one.

    Args:
      fmr: false match rate to allow.

    Raises:
      ValueError: none was set for this rate; names those that were.
    """
    return self._calibrated().threshold(fmr)

  def decide(self, score, *, fmr=1e-3, same_side=None):
    """The `Decision` of a score of `scores`."""
    threshold = self.threshold(fmr)
    same = bool(score >= threshold) and same_side is not False
    calibration = self._calibrated()
    return Decision(
      decision='same' if same else 'different',
      score=self._measured(score),
      threshold=self._measured(threshold),
      measure=self.measure,
      fmr=fmr,
      set_on=f'{calibration.impostor_pairs:,} impostor pairs: '
      f'{calibration.dataset}',
      same_side=same_side,
    )

  def compare(self, a, b, *, fmr=1e-3):
    """Whether two palms are one: a `Decision`.

    Raises:
      ValueError: no threshold was set for this rate, or an image is of another
        type or shape.
    """
    self.threshold(fmr)  # Before the work.
    ((score,),) = self.scores([a], [b]).tolist()
    return self.decide(score, fmr=fmr, same_side=same_side(a, b))

  def _squares(self, palms):
    if isinstance(palms, np.ndarray) and palms.ndim != 4:
      raise ValueError(
        f'one array of shape {palms.shape}; give a list of images'
      )
    return np.stack([self._square(palm, i) for i, palm in enumerate(palms)])

  def _square(self, palm, index):
    image = palm.image if isinstance(palm, palm_files.Palm) else palm
    try:
      return image_file.square(image, size=self.image_size)
    except ValueError as error:
      raise ValueError(f'images[{index}]: {error}') from error

  def _embed(self, images):
    embed = self.network.embed
    return matcher.embed_turns(embed, images) if self.turns else embed(images)

  def _calibrated(self):
    if self.calibration is None:
      raise ValueError(self.missing)
    return self.calibration

  def _measured(self, score):
    if self.measure == 'distance':
      return float(vectors.euclidean_of_cosine(score))
    return float(score)


def load(directory=None, *, turns=None, correlation=False):
  """Loads a trained network for decisions.

  Args:
    directory: export folder; None takes the weights of the package.
    turns: whether scores are means over 8 turns of both palms: fewer errors for
      8 times the time. None: with the weights of the package, which learned
      palms in all turns; not with another export.
    correlation: whether half of the score is correlation.

  Returns:
    `Verifier`. Without thresholds for these scores it embeds and scores palms;
    what needs a threshold raises ValueError.

  Raises:
    ValueError, OSError: there is no whole export in the folder, or its
      calibration is damaged or of another network.
  """
  directory = shipped.folder(
    directory, shipped.PALM, config='configs/metric.py'
  )
  found = exports.load(directory)
  network = palm_networks.of_export(found, directory)
  if turns is None:
    # By content: a copy of the package's weights, or another path to them.
    turns = found.digests == exports.recorded_digests(shipped.PALM)
  calibration, missing = None, ''
  try:
    calibration = matcher.load(
      directory,
      matcher.comparison(turns=turns, correlation=correlation),
      digests=found.digests,
    )
  except matcher.NotCalibratedError as error:
    missing = str(error)
  return Verifier(
    network=network,
    turns=turns,
    correlation=correlation,
    calibration=calibration,
    missing=missing,
  )


def same_side(a, b):
  """Whether two palms are of one side; None where a side is not known."""
  hands = [getattr(palm, 'hand', None) for palm in (a, b)]
  if None in hands or None in (hands[0].side, hands[1].side):
    return None
  return hands[0].side == hands[1].side


_similarities = jax.jit(correlations.similarities)
