"""Are two palms one? The one place where that is decided.

  v = verifier.load()                   # or load(export_directory)
  v = v.with_cohort(images)             # palms of the user's camera, one image
                                        # each; or v.load_cohort(path)
  v.compare(a, b)                       # decision, score, threshold, …
  scores = v.scores(probes, gallery)    # float32 [P, G]
  same = scores >= v.threshold(1e-3)

A palm is an image that shows it alone, uint8 [H, W], [H, W, 1] or [H, W, 3]
(RGB), fingers up; of each image the centred square is taken. Or it is a
`palm_files.Palm` that was cut out of a photo: a left and a right palm are two,
whatever the score.

The usual score fuses two orientation codes and the network (`inference.parts`)
and stands on a cohort, palms of the camera in use. Without one it is of the
codes alone, and its threshold is careful (`inference.uncalibrated`). The scores
of the network alone, and of the network with correlation, have thresholds that
were set on the palms that calibration.json names (`inference.matcher`).
"""

import dataclasses

import numpy as np

from palmjax.inference import cohort as cohorts
from palmjax.inference import (
  cohort_file,
  decision,
  matcher,
  parts,
  uncalibrated,
)
from palmjax.inference import correlation as correlations
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks
from palmjax.networks import shipped
from palmjax.ops import vectors

SCORES = ('fused', 'network', 'correlation')
# Smaller images would blur the lines that codes are made of.
_CODE_IMAGE = 2 * parts.orientation_code.SIZE


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Verifier:
  """A network, how palms are compared, and thresholds.

  Attributes:
    network: `networks.palm.PalmNetwork`.
    turns: whether the network's scores are means over 8 turns of both palms.
    score: one of `SCORES`.
    cohort: `cohort.Cohort` of a fused score, None if there is none.
    calibration: `matcher.Calibration` of another score, None if there is none.
    missing: why there is none, in a line.
  """

  network: palm_networks.PalmNetwork
  turns: bool
  score: str = 'fused'
  cohort: cohorts.Cohort | None = None
  calibration: matcher.Calibration | None = None
  missing: str = ''

  @property
  def image_size(self):
    """Side in pixels of the square that is made of each image."""
    size = self.network.preprocess.image_size
    return max(size, _CODE_IMAGE) if self.score == 'fused' else size

  @property
  def identity(self):
    """What tells these scores from all others, plain values."""
    codes = {name: list(kind) for name, kind in parts.KINDS.items()}
    return {**self.network.digests, 'turns': self.turns, 'codes': codes}

  @property
  def measure(self):
    """'distance' for networks trained by Euclidean distances, else 'score'."""
    # A score of several parts is neither a cosine nor a distance.
    euclidean = self.network.preprocess.metric == 'euclidean'
    return 'distance' if euclidean and self.score == 'network' else 'score'

  @property
  def comparison(self):
    """The kind of score, in words."""
    if self.score == 'fused':
      names = parts.NAMES if self.cohort else parts.CODES
      return 'fused: ' + ', '.join(names)
    name = matcher.comparison(
      turns=self.turns, correlation=self.score == 'correlation'
    )
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
    return self._embed(decision.squares(palms, size=self.image_size))

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
    images = decision.squares([*probes, *gallery], size=self.image_size)
    count = len(probes)
    if self.score == 'fused':
      return self._fused(images[:count], images[count:])
    embeddings = self._embed(images)
    # Rounding leaves a palm and itself beyond 1.
    scores = np.clip(embeddings[:count] @ embeddings[count:].T, -1.0, 1.0)
    if self.score == 'correlation':
      first, others = np.split(correlations.templates_of(images), [count])
      alone = np.asarray(correlations.compare(first, others))
      scores = matcher.fuse(scores, alone, self._calibrated().standard)
    return scores.astype(np.float32)

  def threshold(self, fmr=1e-3):
    """The score from which on two palms are called one.

    Args:
      fmr: false match rate to allow.

    Raises:
      ValueError: none was set for this rate; names those that were.
    """
    if self.score != 'fused':
      return self._calibrated().threshold(fmr)
    return (self.cohort or uncalibrated).threshold(fmr)

  def set_on(self, fmr=1e-3):
    """What the threshold for a rate was set on, in words."""
    if self.score != 'fused':
      return self._calibrated().describe()
    return self.cohort.describe(fmr) if self.cohort else uncalibrated.SET_ON

  def with_cohort(self, images, *, dataset='palms of the camera in use'):
    """The same verifier, with the thresholds of a camera.

    Args:
      images: palms of the camera, `cohort.LEAST` or more, one image each.
      dataset: what they are, in words.

    Returns:
      `Verifier`.

    Raises:
      ValueError: too few palms; images that show one palm, or none; the score
        is not the fused one.
    """
    self._require_fused()
    found = self.templates(images)
    cohorts.require_clean(found)
    return dataclasses.replace(self, cohort=cohorts.fit(found, dataset=dataset))

  def load_cohort(self, path):
    """The same verifier, with a cohort of `calibrate`; a file or its folder.

    Raises:
      ValueError, OSError: the file is missing, damaged, edited, or of another
        network; the score is not the fused one.
    """
    self._require_fused()
    found = cohort_file.load(path, of=self.identity)
    return dataclasses.replace(self, cohort=found)

  def save_cohort(self, path):
    """Writes the cohort; see `inference.cohort_file`."""
    cohort_file.save(path, self.cohort, of=self.identity)

  def templates(self, palms):
    """Palms as `parts.Templates`; raises as `embed`."""
    squares = decision.squares(palms, size=self.image_size)
    return parts.templates(self._embed, squares)

  def decide(self, score, *, fmr=1e-3, same_side=None):
    """The `Decision` of a score of `scores`."""
    threshold = self.threshold(fmr)
    same = bool(score >= threshold) and same_side is not False
    return decision.Decision(
      decision='same' if same else 'different',
      score=self._measured(score),
      threshold=self._measured(threshold),
      measure=self.measure,
      fmr=fmr,
      set_on=self.set_on(fmr),
      calibrated=self.cohort is not None,
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
    return self.decide(score, fmr=fmr, same_side=decision.same_side(a, b))

  def _embed(self, images):
    embed = self.network.embed
    return matcher.embed_turns(embed, images) if self.turns else embed(images)

  def _fused(self, probes, gallery):
    """float32 [P, G] of squares."""
    if self.cohort is None:
      means, standard = parts.no_means(1), uncalibrated.STANDARD
      embed, used = parts.no_network, len(parts.CODES)
    else:
      means, standard = self.cohort.means, self.cohort.standard
      embed, used = self._embed, len(parts.NAMES)
    first, others = (parts.templates(embed, x) for x in (probes, gallery))
    scores = parts.compare(first, others, means)[:used]
    return parts.fuse(scores, standard).astype(np.float32)

  def _require_fused(self):
    if self.score != 'fused':
      raise ValueError(
        f'a cohort is of the fused score, not of {self.score!r}: load the '
        "verifier with score='fused'"
      )

  def _calibrated(self):
    if self.calibration is None:
      raise ValueError(self.missing)
    return self.calibration

  def _measured(self, score):
    if self.measure == 'distance':
      return float(vectors.euclidean_of_cosine(score))
    return float(score)


def load(directory=None, *, turns=None, score='fused'):
  """Loads a trained network for decisions.

  Args:
    directory: export folder; None takes the weights of the package.
    turns: whether scores are means over 8 turns of both palms: fewer errors for
      8 times the time. None: with the weights of the package, which learned
      palms in all turns; not with another export.
    score: one of `SCORES`.

  Returns:
    `Verifier`. Without thresholds for a score that is not fused it embeds and
    scores palms; what needs a threshold raises ValueError.

  Raises:
    ValueError, OSError: there is no whole export in the folder, its calibration
      is damaged or of another network, or there is no such score.
  """
  if score not in SCORES:
    raise ValueError(f'score={score!r}: choose one of {", ".join(SCORES)}')
  directory = shipped.folder(
    directory, shipped.PALM, config='configs/metric.py'
  )
  found = exports.load(directory)
  network = palm_networks.of_export(found, directory)
  if turns is None:  # By content: a copy is as good.
    turns = found.digests == exports.recorded_digests(shipped.PALM)
  calibration, missing = None, ''
  if score != 'fused':
    name = matcher.comparison(turns=turns, correlation=score == 'correlation')
    try:
      calibration = matcher.load(directory, name, digests=found.digests)
    except matcher.NotCalibratedError as error:
      missing = str(error)
  return Verifier(
    network=network,
    turns=turns,
    score=score,
    calibration=calibration,
    missing=missing,
  )
