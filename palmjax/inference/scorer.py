"""Scores of palms: how alike two of them are, and templates to search in.

A score is fused of two orientation codes and the network (`inference.parts`),
or it is of the network alone, or of the network and correlation
(`inference.matcher`). What a score decides is said by `inference.verifier`.
"""

import dataclasses

import numpy as np

from palmjax.inference import cohort as cohorts
from palmjax.inference import correlation as correlations
from palmjax.inference import decision, matcher, parts, uncalibrated
from palmjax.inference import gallery as galleries
from palmjax.networks import palm as palm_networks

SCORES = ('fused', 'network', 'correlation')
# Smaller images would blur the lines that codes are made of.
_CODE_IMAGE = 2 * parts.orientation_code.SIZE


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Scorer:
  """A network, and how palms are compared.

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

  def __repr__(self):
    # Weights would be thousands of lines.
    cohort = self.cohort and f'<{self.cohort.palms} {self.cohort.dataset}>'
    return (
      f'{type(self).__name__}(score={self.score!r}, turns={self.turns}, '
      f'cohort={cohort})'
    )

  @property
  def image_size(self):
    """Side in pixels of the square that is made of each image."""
    size = self.network.preprocess.image_size
    return max(size, _CODE_IMAGE) if self.score == 'fused' else size

  @property
  def identity(self):
    """Network digests and settings that fix the scores, as plain values."""
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
      probes: P palms, 1 or more, or the `Gallery` of `enrol`.
      gallery: G palms, likewise.

    Returns:
      float32 [P, G].

    Raises:
      ValueError: no palm, an image of another type or shape, an embedding of
        the fused score that is not finite, a gallery of another network, or one
        for a score that is not fused.
    """
    if not (len(probes) and len(gallery)):
      raise ValueError('no palm to compare: give one or more on each side')
    if any(isinstance(x, galleries.Gallery) for x in (probes, gallery)):
      self.require_fused('a gallery')
    if self.score == 'fused':
      first = self._compared(probes)
      # Of one side its pairs are compared once.
      return self._fused(
        first, first if gallery is probes else self._compared(gallery)
      )
    images = decision.squares([*probes, *gallery], size=self.image_size)
    count = len(probes)
    embeddings = self._embed(images)
    # Rounding leaves a palm and itself beyond 1.
    scores = np.clip(embeddings[:count] @ embeddings[count:].T, -1.0, 1.0)
    if self.score == 'correlation':
      first, others = np.split(correlations.templates_of(images), [count])
      alone = np.asarray(correlations.compare(first, others))
      scores = matcher.fuse(scores, alone, self.calibrated().standard)
    return scores.astype(np.float32)

  def templates(self, palms):
    """Palms as `parts.Templates`; raises as `embed`."""
    squares = decision.squares(palms, size=self.image_size)
    return parts.templates(self._embed, squares)

  def enrol(self, palms):
    """Palms as a `Gallery`: templates once, for many calls of `scores`.

    Args:
      palms: G palms, 1 or more, or {name: palm}.

    Raises:
      ValueError: no palm, an image of another type or shape, an embedding that
        is not finite, or a score that is not the fused one.
    """
    self.require_fused('a gallery')
    if not len(palms):
      raise ValueError('no palm to enrol: give one or more')
    named = isinstance(palms, dict)
    if not named:
      palms = {str(number): palm for number, palm in enumerate(palms)}
    templates = self.templates(list(palms.values()))
    parts.require_finite(templates, list(palms) if named else None)
    return galleries.Gallery(
      templates=templates,
      names=tuple(palms),
      sides=tuple(map(decision.side, palms.values())),
      of=self.identity,
    )

  def require_fused(self, what):
    """Raises ValueError unless the score is the fused one; `what` needs it."""
    if self.score != 'fused':
      raise ValueError(
        f'{what} is of the fused score, not of {self.score!r}: load the '
        "verifier with score='fused'"
      )

  def calibrated(self):
    """The `matcher.Calibration`; raises ValueError if there is none."""
    if self.calibration is None:
      raise ValueError(self.missing)
    return self.calibration

  def _embed(self, images):
    embed = self.network.embed
    return matcher.embed_turns(embed, images) if self.turns else embed(images)

  def _compared(self, palms):
    """`parts.Templates` of palms, or of a gallery, for this score."""
    if isinstance(palms, galleries.Gallery):
      palms.require(self.identity)
      templates = palms.templates
      if self.cohort is None:
        templates = templates._replace(
          network=parts.no_network(templates.network)
        )
      return templates
    embed = self._embed if self.cohort else parts.no_network
    squares = decision.squares(palms, size=self.image_size)
    templates = parts.templates(embed, squares)
    parts.require_finite(templates)
    return templates

  def _fused(self, probes, gallery):
    """float32 [P, G] of `parts.Templates`."""
    if self.cohort is None:
      means, standard = parts.no_means(1), uncalibrated.STANDARD
      used = len(parts.CODES)
    else:
      means, standard = self.cohort.means, self.cohort.standard
      used = len(parts.NAMES)
    scores = parts.compare(probes, gallery, means)[:used]
    return parts.fuse(scores, standard).astype(np.float32)
