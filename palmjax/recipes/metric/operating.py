"""Decisions of `palmjax.verify` on other sets: FMR claimed, FMR found.

  network                the network of the run alone, by the threshold that the
                         run set on strangers (`recipes.shared.calibration`)
  verifier               the two orientation codes, by the careful threshold
  verifier with a cohort codes and network fused, by a cohort of the set itself

The cohort has one image of each of some palms of the set. The others are
tested, without the cohort and with it, so both rows are of the same pairs. What
`cohort_screen.screen` names is left out of the cohort: `palmjax.calibrate`
makes none before its user does that.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from palmjax.data.sets import splits
from palmjax.evals.recognition import claims, verification
from palmjax.inference import cohort, matcher, verifier
from palmjax.recipes.shared import calibration

CLAIMS = (1e-2, 1e-3)

_COHORT = 250  # Palms: their pairs measure an FMR of 1e-3.
_TESTED = 2000  # Images: their pairs take a minute on one core.


class Palms(NamedTuple):
  """Indices of the images of a set.

  Attributes:
    cohort: int [C], one image of each palm of the cohort; empty if the set has
      too few palms for one.
    tested: int [N].
  """

  cohort: np.ndarray
  tested: np.ndarray


def choose(labels, groups, *, seed):
  """Deals the palms of a set into a cohort and those that are tested.

  Args:
    labels: int [N].
    groups: int or str [N], people, none of whom is on both sides.
    seed: of the choice.

  Returns:
    `Palms`.
  """
  count = len(np.unique(labels))
  if count < 2 * cohort.LEAST:
    return Palms(np.empty(0, np.int64), _first(np.arange(len(labels)), labels))
  split = splits.by_identity(
    labels, seed=seed, evaluation=min(_COHORT, count // 2), groups=groups
  )
  members = split.evaluation
  _, one = np.unique(labels[members], return_index=True)
  return Palms(members[one], _first(split.train, labels))


def _first(indices, labels):
  """The images of the first identities, `_TESTED` at most, or of two."""
  _, identities, images = np.unique(
    labels[indices], return_inverse=True, return_counts=True
  )
  kept = max(2, np.searchsorted(np.cumsum(images), _TESTED, side='right'))
  return indices[identities < kept]


def rates(tests, compared, trained, directory, *, others, seed, resampling):
  """FMR found at the FMR claimed, of all tests of a run.

  Args:
    tests: `metric_protocols.Test`s, the run's own first.
    compared: `metric_protocols.Compared` of each.
    trained: `networks.palm.PalmNetwork` of the run.
    directory: its export.
    others: `strangers.Strangers`, whom its thresholds are set on.
    seed: of the choice of cohorts.
    resampling: of the intervals.

  Returns:
    {model's name: {'fmr@claimed=1e-2', …}}; also 'eer' of the verifier.
  """
  models = {}
  for test, one in zip(tests, compared, strict=True):
    name = f'network{test.suffix}'
    thresholds = _of_network(directory, others, of_run=not test.name)
    models[name] = claims.rates(
      one.scores[name], thresholds, resampling=resampling
    )
  if len(tests) > 1:
    # What is loaded anew would be compiled anew.
    judge = dataclasses.replace(verifier.load(directory), network=trained)
    for test in tests[1:]:
      models |= measure(test, judge, seed=seed, resampling=resampling)
  return models


def _of_network(directory, others, *, of_run):
  """{FMR claimed: threshold of the network alone, or why there is none}."""
  of_network = _calibration(directory)
  if of_network is None:
    return dict.fromkeys(CLAIMS, _why_unset(others))
  if of_run and others.tested:
    return dict.fromkeys(CLAIMS, 'the threshold was set on these palms')
  return _thresholds(of_network.threshold)


def _calibration(directory):
  """The `matcher.Calibration` of the network alone; None if there is none."""
  try:
    return matcher.load(directory, matcher.comparison())
  except matcher.NotCalibratedError:
    return None


def _why_unset(others):
  if others.palms < cohort.LEAST:
    return (
      f'no threshold was set: {others.palms} palms, {cohort.LEAST} or more are '
      'needed'
    )
  return 'no threshold was set: the log says why'


def set_on(directory, others):
  """A sentence: what the thresholds of a run's network were set on, if any.

  Args:
    directory: export of the network.
    others: `strangers.Strangers` of the run.
  """
  if _calibration(directory) is None:
    return f'For the network {_why_unset(others)} ({others.dataset}).'
  sentence = f'Those of the network were set on {others.dataset}.'
  if others.tested:
    sentence += (
      ' These are palms of this test, so no FMR of the network is shown.'
    )
  return sentence


def measure(test, judge, *, seed, resampling):
  """The verifier's rates on a set.

  Args:
    test: `metric_protocols.Test` of another set.
    judge: `verifier.Verifier` of the run's network.
    seed: of the choice of the cohort.
    resampling: of the intervals.

  Returns:
    {model's name: {'eer', 'fmr@claimed=1e-2', …}}.
  """
  palms = choose(test.labels, test.groups, seed=seed)
  labels = test.labels[palms.tested]
  # A run on a folder has a cohort of that folder.
  alone = dataclasses.replace(judge, cohort=None)
  gallery = alone.enrol(test.read(palms.tested, judge.image_size))
  models = {
    f'verifier{test.suffix}': _rates(alone, gallery, labels, resampling)
  }
  name = f'verifier with a cohort{test.suffix}'
  try:
    camera = _with_cohort(alone, test, palms.cohort, seed)
  except ValueError as error:
    names = ['eer']
    for fmr in CLAIMS:
      names += claims.fmr_name(fmr), claims.fnmr_name(fmr)
    none = {'value': None, 'reason': str(error)}
    return {**models, name: dict.fromkeys(names, none)}
  models[name] = {
    **_rates(camera, gallery, labels, resampling),
    'cohort': {'value': camera.cohort.palms},
  }
  return models


def _with_cohort(judge, test, members, seed):
  """The verifier with a cohort; raises ValueError if the palms make none."""
  if not len(members):
    raise ValueError(
      f'fewer than {2 * cohort.LEAST} palms, too few for a cohort and a test'
    )
  templates = judge.templates(test.read(members, judge.image_size))
  kept = templates.take(calibration.screened(templates, test.name))
  return dataclasses.replace(
    judge, cohort=cohort.fit(kept, dataset=test.name, seed=seed)
  )


def _rates(judge, gallery, labels, resampling):
  scores = verification.matrix_scores(judge.scores(gallery, gallery), labels)
  return {
    'eer': verification.rates(scores, fars=(), resampling=resampling)['eer'],
    **claims.rates(scores, _thresholds(judge.threshold), resampling=resampling),
  }


def _thresholds(threshold):
  thresholds = {}
  for fmr in CLAIMS:
    try:
      thresholds[fmr] = threshold(fmr)
    except ValueError as error:
      thresholds[fmr] = str(error)
  return thresholds
