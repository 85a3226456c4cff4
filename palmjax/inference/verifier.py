"""Palm verification: decides whether two images show one palm.

  v = verifier.load()                   # or load(export_directory)
  v = v.with_cohort(images)             # palms of the user's camera, one image
                                        # each; or v.load_cohort(path)
  v.compare(a, b)                       # decision, score, threshold, …
  scores = v.scores(probes, gallery)    # float32 [P, G]
  same = scores >= v.threshold(1e-3)
  gallery = v.enrol(images)             # once; for many calls of v.scores

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
import os

from palmjax.inference import cohort as cohorts
from palmjax.inference import (
  cohort_file,
  cohort_screen,
  decision,
  matcher,
  scorer,
  uncalibrated,
)
from palmjax.inference import gallery as galleries
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks
from palmjax.networks import shipped
from palmjax.ops import vectors

SCORES = scorer.SCORES


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Verifier(scorer.Scorer):
  """A `scorer.Scorer` with thresholds; its attributes are documented there."""

  def threshold(self, fmr=1e-3):
    """Returns the threshold of a false match rate.

    Args:
      fmr: false match rate to allow.

    Raises:
      ValueError: none was set for this rate; names those that were.
    """
    if self.score != 'fused':
      return self.calibrated().threshold(fmr)
    return (self.cohort or uncalibrated).threshold(fmr)

  def set_on(self, fmr=1e-3):
    """What the threshold for a rate was set on, in words."""
    if self.score != 'fused':
      return self.calibrated().describe()
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
    self.require_fused('a cohort')
    templates = self.templates(images)
    cohort_screen.require_clean(templates)
    return dataclasses.replace(
      self, cohort=cohorts.fit(templates, dataset=dataset)
    )

  def load_cohort(self, path):
    """The same verifier, with a cohort of `calibrate`; a file or its folder.

    Raises:
      ValueError, OSError: the file is missing, damaged, edited, or of another
        network; the score is not the fused one.
    """
    self.require_fused('a cohort')
    cohort = cohort_file.load(path, of=self.identity)
    return dataclasses.replace(self, cohort=cohort)

  def save_cohort(self, path):
    """Writes the cohort; see `inference.cohort_file`."""
    cohort_file.save(path, self.cohort, of=self.identity)

  def load_gallery(self, path):
    """The `gallery.Gallery` of a file.

    Raises:
      ValueError, OSError: the file is missing, damaged, edited, or of another
        network; the score is not the fused one.
    """
    self.require_fused('a gallery')
    return galleries.load(path, of=self.identity)

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
    same_side = decision.same_side(decision.side(a), decision.side(b))
    return self.decide(score, fmr=fmr, same_side=same_side)

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
    `Verifier`, with the cohort of the folder, if there is one. Without
    thresholds for a score that is not fused it embeds and scores palms; what
    needs a threshold raises ValueError.

  Raises:
    ValueError, OSError: there is no whole export in the folder, its calibration
      is damaged or of another network, or there is no such score.
  """
  if score not in SCORES:
    raise ValueError(f'score={score!r}: choose one of {", ".join(SCORES)}')
  directory = shipped.folder(
    directory, shipped.PALM, config='configs/metric.py'
  )
  export = exports.load(directory)
  network = palm_networks.of_export(export, directory)
  if turns is None:  # By content: a copy is as good.
    turns = export.digests == exports.recorded_digests(shipped.PALM)
  calibration, missing = None, ''
  if score != 'fused':
    name = matcher.comparison(turns=turns, correlation=score == 'correlation')
    try:
      calibration = matcher.load(directory, name, digests=export.digests)
    except matcher.NotCalibratedError as error:
      missing = str(error)
  judge = Verifier(
    network=network,
    turns=turns,
    score=score,
    calibration=calibration,
    missing=missing,
  )
  # What a run on palms of one camera leaves, without turns.
  cohort = os.path.join(directory, cohort_file.NAME)
  if score == 'fused' and not turns and os.path.isfile(cohort):
    return judge.load_cohort(cohort)
  return judge
