"""Thresholds that a run writes beside its networks.

calibration.json has those of the network alone and of the network with
correlation, each with and without turns (`inference.matcher`). They are set on
pairs of strangers (`strangers`): careful ends of a bootstrap over palms, as in
`inference.cohort_thresholds`.

Of palms that were not drawn a cohort is written, too. `verifier.load` takes it,
so that the fused score decides by the palms of the run. It holds what they have
in common, and thresholds, but no template of a palm. A cohort of drawn palms
would let strangers pass on every camera (docs/results.md), so there is none.
"""

import dataclasses
import os

import numpy as np
from absl import logging

from palmjax.evals.recognition import error_rates
from palmjax.inference import (
  cohort,
  cohort_file,
  cohort_screen,
  cohort_thresholds,
  decision,
  matcher,
  verifier,
)
from palmjax.recipes.shared import controls


def write(directory, strangers):
  """Writes the thresholds of an exported network.

  Palms that are too few, or look like one, leave it without; the log says why.

  Args:
    directory: export of a palm network.
    strangers: `strangers.Strangers`.
  """
  judge = verifier.load(directory)
  images = strangers.read(judge.network.preprocess.image_size)
  try:
    matcher.save(directory, _calibrations(judge, images, strangers.dataset))
    if not strangers.drawn:
      images = strangers.read(judge.image_size)
      made = dataclasses.replace(
        judge, cohort=_cohort(judge, images, strangers.dataset)
      )
      made.save_cohort(os.path.join(directory, cohort_file.NAME))
  except ValueError as error:
    logging.warning('no thresholds of %s: %s', strangers.dataset, error)


def _calibrations(judge, images, dataset):
  """A `matcher.Calibration` of each score that is not fused."""
  _require_enough(len(images))
  size = judge.network.preprocess.image_size
  images = decision.squares(images, size=size)
  pairs = np.triu_indices(len(images), 1)
  correlations = controls.correlate(images)[pairs]
  calibrations = []
  for turns in (False, True):
    embed = dataclasses.replace(judge, turns=turns, score='network').embed
    embeddings = embed(images)
    cosines = np.clip(embeddings @ embeddings.T, -1.0, 1.0)[pairs]
    standard = matcher.standardise(cosines, correlations)
    fused = matcher.fuse(cosines, correlations, standard)
    for scores, of in ((cosines, None), (fused, standard)):
      name = matcher.comparison(turns=turns, correlation=of is not None)
      calibrations.append(_calibration(scores, pairs, name, dataset, of))
  return calibrations


def _calibration(scores, pairs, name, dataset, standard):
  least = error_rates.RULE_OF_30 / len(scores)
  rates = [fmr for fmr in cohort.FMRS if fmr * cohort.FARTHEST >= least]
  thresholds = cohort_thresholds.careful(
    scores.astype(np.float64), *pairs, rates, np.random.default_rng(0)
  )
  count = int(pairs[1].max()) + 1
  measured = [fmr for fmr in rates if fmr >= least * (1 - 1e-6)]
  how = ''
  if measured != rates:
    how = (
      f', below {error_rates.short(min(measured, default=1.0))} extrapolated'
    )
  if standard is None:  # Tails of few, wide scores reach beyond a cosine's 1.
    thresholds = [min(threshold, 1.0) for threshold in thresholds]
  return matcher.Calibration(
    comparison=name,
    dataset=f'{count} {dataset}{how}',
    impostor_pairs=len(scores),
    thresholds=tuple(zip(rates, thresholds, strict=True)),
    standard=standard,
  )


def _cohort(judge, images, dataset):
  """A `cohort.Cohort` without templates."""
  _require_enough(len(images))
  templates = judge.templates(images)
  kept = screened(templates, dataset)
  if left_out := len(images) - len(kept):
    dataset += f', less {left_out} that look like no palm or like another one'
  made = cohort.fit(templates.take(kept), dataset=dataset)
  # An export is passed on, and templates are biometric data.
  return made._replace(templates=made.templates.take(slice(0)))


def screened(templates, dataset):
  """The palms of a cohort without those that `cohort_screen.screen` names.

  Of two images of one palm the first is kept. The log says what went.

  Args:
    templates: `parts.Templates` of N palms.
    dataset: what they are, in words.

  Returns:
    int [K], indices of the palms that are kept, rising.

  Raises:
    ValueError: most of the images look like images of one palm.
  """
  count = len(templates.network)
  wrong = cohort_screen.screen(templates)
  twins = {second for _, second in wrong.twins}
  kept = np.setdiff1d(np.arange(count), [*wrong.odd, *twins])
  if len(kept) < count:
    pairs, left = (n * (n - 1) // 2 for n in (count, len(kept)))
    logging.warning(
      '%s: %d look like no other palm and %d like another one of them; they '
      'are left out of the cohort, and with them %d of %d pairs',
      dataset,
      len(wrong.odd),
      len(twins),
      pairs - left,
      pairs,
    )
  return kept


def _require_enough(count):
  if count < cohort.LEAST:
    raise ValueError(f'{count} palms; {cohort.LEAST} or more are needed')
