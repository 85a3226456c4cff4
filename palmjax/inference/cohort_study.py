"""Palms of a camera made into a cohort, and what was measured on them.

Read palms go in; out come the `cohort.Cohort`, the scores of its pairs, and a
summary as plain values: thresholds, where the rates come from, and the false
non-match rates where it is known whose the palms are.
"""

import itertools
from typing import NamedTuple

import numpy as np

from palmjax.evals.recognition import error_rates
from palmjax.inference import cohort as cohorts
from palmjax.inference import (
  cohort_screen,
  known_palms,
  matcher,
  palm_files,
  parts,
  uncalibrated,
  words,
)

_ALIKE = 5  # Pairs that look most alike.
_NAMED = 5  # Files, or pairs of files, in an error.


class Study(NamedTuple):
  """Scores and curves measured on the palms of a camera.

  Attributes:
    cohort: `cohort.Cohort`.
    impostor: float32 [3, I], by `parts.NAMES`, pairs of different palms.
    fused: float64 [I].
    genuine: `known_palms.GenuinePairs`, None if nobody knows whose palms.
    careful: (impostor float64 [I], genuine float64 [G] or None): the fused
      scores without the cohort.
    alone: (impostor float32 [I], genuine float32 [G] or None): cosines of the
      network alone, nothing taken off; None without `calibration`.
    calibration: `matcher.Calibration` that the network came with, or None.
    det: {score: (FMR, FNMR)}, points of curves; empty if nobody knows.
    alike: ((file, file, fused score), …), the pairs of palms with the highest.
  """

  cohort: cohorts.Cohort
  impostor: np.ndarray
  fused: np.ndarray
  genuine: known_palms.GenuinePairs | None
  careful: tuple[np.ndarray, np.ndarray | None]
  alone: tuple[np.ndarray, np.ndarray | None] | None
  calibration: matcher.Calibration | None
  det: dict[str, tuple[np.ndarray, np.ndarray]]
  alike: tuple[tuple[str, str, float], ...]


def study(judge, palms, *, dataset, known=False, network=None, seed=0):
  """Makes a cohort of palms and measures it.

  Args:
    judge: `verifier.Verifier` of the fused score.
    palms: {file: `palm_files.Palm`}; see `palm_files.read_gallery`.
    dataset: what they are, in words.
    known: whether images of one folder show one palm: the first is in the
      cohort, and all of them measure FNMR. Else each image is another palm.
    network: `verifier.Verifier` of the network alone, with the thresholds that
      it came with; None if there are none.
    seed: of folds and draws.

  Returns:
    `Study`.

  Raises:
    ValueError: fewer palms than `cohort.LEAST`; palms that are no cohort, or
      whose embedding is not finite, by the names of their files; with `known`,
      no palm with two images; else folders with several images of a palm.
  """
  names = list(palms)
  whose = [
    palm_files.whose(name, palms[name]) if known else name for name in names
  ]
  numbers = {}
  identities = [numbers.setdefault(palm, len(numbers)) for palm in whose]
  first = np.unique(identities, return_index=True)[1]
  if len(first) < cohorts.LEAST:
    raise ValueError(
      f'{words.count(len(first), "palm")}: a cohort needs {cohorts.LEAST} or '
      f'more, {cohorts.palms_for(1e-3)} for the false match rate of 1e-3 that '
      'verify takes by default, each of another hand; with 250 that rate is '
      'measured'
    )
  if known and len(first) == len(names):
    raise ValueError(
      '--known: no palm has two images; give <identity>/<image>, or leave out '
      '--known'
    )
  templates = judge.templates(list(palms.values()))
  parts.require_finite(templates, names)
  _screen(templates, names, first, known)
  members = templates.take(first)
  cohort, scores = cohorts.fit_with_scores(members, dataset=dataset, seed=seed)
  rows, columns = np.triu_indices(len(first), 1)
  impostor = scores[:, rows, columns]
  fused = parts.fuse(impostor, cohort.standard)
  genuine = None
  if known:
    genuine = known_palms.genuine(templates, identities, scores, seed=seed)
  pairs = first[rows], first[columns]
  careful = _of_pairs(_careful(templates), pairs, genuine)
  alone = None
  if network is not None:
    cosines = _alone(network, list(palms.values()), judge, templates)
    alone = _of_pairs(cosines, pairs, genuine)
  highest = np.argsort(-fused, kind='stable')[:_ALIKE]
  return Study(
    cohort=cohort,
    impostor=impostor,
    fused=fused,
    genuine=genuine,
    careful=careful,
    alone=alone,
    calibration=None if network is None else network.calibration,
    det=_curves(impostor, fused, genuine, careful) if known else {},
    alike=tuple(
      (names[first[rows[i]]], names[first[columns[i]]], float(fused[i]))
      for i in highest
    ),
  )


def summary(study):
  """A `Study` as plain values."""
  cohort, genuine = study.cohort, study.genuine
  values = {
    'palms': cohort.palms,
    'pairs': cohort.pairs,
    'set': cohort.dataset,
    'rates': [
      _rate(fmr, threshold, study) for fmr, threshold in cohort.thresholds
    ],
    'needed': [
      {'fmr': fmr, 'palms': palms_to_measure(fmr)}
      for fmr in (1e-2, 1e-3, 1e-4)
      if not cohort.is_measured(fmr)
    ],
    'without': [
      _without(fmr, threshold, study.careful, genuine)
      for fmr, threshold in uncalibrated.THRESHOLDS
    ],
    'alike': [
      {'images': [one, other], 'score': score}
      for one, other, score in study.alike
    ],
  }
  if study.calibration is not None:
    values['network_set_on'] = study.calibration.describe()
    values['network'] = [
      _without(fmr, threshold, study.alone, genuine)
      for fmr, threshold in study.calibration.thresholds
      if any(row['fmr'] == fmr for row in values['rates'])
    ]
  if genuine is not None:
    values['genuine_pairs'] = len(genuine.fused)
    values['genuine_palms'] = len(np.unique(genuine.identity))
  return values


def palms_to_measure(fmr):
  """How many palms make pairs enough to measure an FMR, by the rule of 30."""
  return next(
    n
    for n in itertools.count(cohorts.LEAST)
    if error_rates.is_measurable(fmr, n * (n - 1) // 2)
  )


def _screen(templates, names, first, known):
  """Raises ValueError for palms that are no cohort, by their files."""
  # First: it says of a folder of one palm what is wrong with it.
  wrong = cohort_screen.screen(templates.take(first))
  if copies := cohort_screen.duplicates(templates):
    files = _listed([f'{names[i]} and {names[j]}' for i, j in copies])
    raise ValueError(f'{files}: one image twice; give each image once')
  names = [names[i] for i in first]
  if wrong.odd:
    files = _listed([names[i] for i in wrong.odd])
    raise ValueError(
      f'{files}: unlike the other palms; look at them, and leave out what '
      'shows no palm, or shows it in another way'
    )
  if wrong.twins:
    files = _listed([f'{names[i]} and {names[j]}' for i, j in wrong.twins])
    advice = 'give one image of each palm'
    if not known:
      advice += ', or several as <identity>/<image> with --known'
    raise ValueError(f'{files}: look like one palm twice; {advice}')


def _listed(texts):
  more = len(texts) - _NAMED
  return ', '.join(texts[:_NAMED]) + (f' and {more} more' if more > 0 else '')


def _of_pairs(scores, pairs, genuine):
  """(Scores of impostor pairs, of genuine ones or None) of scores [N, N]."""
  mated = None if genuine is None else scores[genuine.rows, genuine.columns]
  return scores[pairs], mated


def _careful(templates):
  """Fused scores without the cohort, [N, N]."""
  size = templates.network.shape[1]
  scores = parts.compare(templates, templates, parts.no_means(size))
  return parts.fuse(scores[: len(parts.CODES)], uncalibrated.STANDARD)


def _alone(network, palms, judge, templates):
  """Cosines of the network alone, [N, N]."""
  embeddings = templates.network
  if network.image_size != judge.image_size:
    embeddings = network.embed(palms)
  # Rounding leaves a palm and itself beyond 1.
  return np.clip(embeddings @ embeddings.T, -1.0, 1.0)


def _curves(impostor, fused, genuine, careful):
  """Points of the DET curves; the first is the baseline."""
  pairs = {
    'without a cohort': careful[::-1],
    'fused': (genuine.fused, fused),
    **{
      name: (genuine.parts[k], impostor[k])
      for k, name in enumerate(parts.NAMES)
    },
  }
  return {name: error_rates.det_points(*both) for name, both in pairs.items()}


def _rate(fmr, threshold, study):
  row = {
    'fmr': fmr,
    'threshold': threshold,
    'measured': study.cohort.is_measured(fmr),
    'fmr_found': _share(study.fused, threshold),
  }
  if study.genuine is not None:
    row['fnmr'] = known_palms.fnmr(
      study.genuine.fused, study.genuine.identity, threshold
    )
  return row


def _without(fmr, threshold, careful, genuine):
  impostor, mated = careful
  row = {
    'fmr': fmr,
    'threshold': threshold,
    'fmr_found': _share(impostor, threshold),
  }
  if genuine is not None:
    row['fnmr'] = known_palms.fnmr(mated, genuine.identity, threshold)
  return row


def _share(scores, threshold):
  return float(np.mean(scores >= threshold))
