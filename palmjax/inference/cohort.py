"""A cohort: thresholds from impostor pairs of palms of one camera.

Palms of one camera share light, frame and the layout of the three lines. What
they share is taken off (`parts.Means`); their pairs are impostor pairs, if each
palm is there once. From them come the standards of the parts and thresholds.

The palms of a pair must not be in the mean that is taken off them: with 40
drawn palms that alone moved their scores 0.2 to 0.3 standard deviations below
those of strangers. So palms are dealt into folds, and a pair is compared with
the mean of all palms outside its one or two folds. Embeddings are whitened by
these palms, as strongly as by all palms.

Pairs share palms, so few palms tell little: their thresholds are at the careful
end of what the pairs say, see `inference.cohort_thresholds`.

An FMR that makes 30 false matches of all pairs is measured (rule of 30). One up
to `FARTHEST` times as rare is extrapolated, and `describe` says so.
"""

import itertools
from typing import NamedTuple

import numpy as np

from palmjax.evals.recognition import error_rates
from palmjax.inference import cohort_thresholds, parts

LEAST = 30  # Palms. Of fewer nothing is said.
FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
FARTHEST = 50  # How much rarer than what the pairs measure a rate may be.
# With 5 folds of 200 drawn palms (difficulty 0.6) the mean scores of the codes
# are those of strangers to 0.03 standard deviations. Those of the network need
# more folds, see `cross_fitted`; with 10 they take as long as the codes.
_CODE_FOLDS, _NETWORK_FOLDS = 5, 10


class Cohort(NamedTuple):
  """Means, standard, thresholds and templates of palms of one camera.

  Attributes:
    means: `parts.Means`.
    standard: `parts.Standard` of its impostor pairs.
    thresholds: ((FMR, threshold), …), the rates falling.
    measured: the smallest of the rates that is not extrapolated.
    palms: how many there were.
    dataset: what they are, in words.
    templates: `parts.Templates` of them, upright codes only.
    photos: whether the palms were cut out of photos of whole hands; None where
      nobody knows.
  """

  means: parts.Means
  standard: parts.Standard
  thresholds: tuple[tuple[float, float], ...]
  measured: float
  palms: int
  dataset: str
  templates: parts.Templates
  photos: bool | None = None

  @property
  def pairs(self):
    """Number of impostor pairs."""
    return self.palms * (self.palms - 1) // 2

  def threshold(self, fmr):
    """Returns the threshold that was set for a false match rate.

    Raises:
      ValueError: none was set for this rate; names those that were.
    """
    others = ''
    if fmr in FMRS:
      needed = palms_for(fmr)
      others = f', or make the cohort of {needed} palms or more'
    return error_rates.threshold_for(
      self.thresholds,
      fmr,
      f'a cohort of {self.palms} palms supports those',
      others=others,
    )

  def is_measured(self, fmr):
    """Whether the threshold for a rate is measured, not extrapolated."""
    return fmr >= self.measured * (1 - 1e-6)

  def require(self, *, photos):
    """Raises ValueError unless its palms were taken as others are.

    Args:
      photos: whether the others are cut out of photos of whole hands.
    """
    if self.photos not in (None, photos):
      given = (
        'photos of whole hands: add --photos, or give another cohort'
        if self.photos
        else 'images of palms alone: make one of photos by python -m '
        'palmjax.calibrate DIR --photos'
      )
      raise ValueError(f'the cohort was made of {given}')

  def describe(self, fmr):
    """What the threshold for a rate was set on, in words."""
    how = '' if self.is_measured(fmr) else ', extrapolated'
    return f'{self.pairs:,} pairs of {self.palms} palms{how}: {self.dataset}'


def fit(templates, *, dataset, seed=0):
  """Fits a `Cohort` to palms; see `fit_with_scores`."""
  return fit_with_scores(templates, dataset=dataset, seed=seed)[0]


def fit_with_scores(templates, *, dataset, seed=0):
  """Fits a `Cohort` to palms of one camera, one image of each palm.

  Args:
    templates: `parts.Templates` of N palms; `screen` them first.
    dataset: what they are, in words.
    seed: of the folds and the draws.

  Returns:
    (`Cohort`, `cross_fitted` scores that it was made of).

  Raises:
    ValueError: fewer than `LEAST` palms, or an embedding that is not finite.
  """
  require_enough(templates)
  parts.require_finite(templates)
  count = len(templates.network)
  rng = np.random.default_rng(seed)
  scores = cross_fitted(templates, rng)
  rows, columns = np.triu_indices(count, 1)
  impostors = scores[:, rows, columns]
  standard = parts.standard(impostors, count)
  fused = parts.fuse(impostors, standard)
  least = error_rates.RULE_OF_30 / (count * (count - 1) // 2)
  rates = [fmr for fmr in FMRS if count >= palms_for(fmr)]
  # Fused scores are logarithms of shares: above a score they fall off by e
  # a unit (`parts.Standard`).
  thresholds = cohort_thresholds.careful(
    fused, rows, columns, rates, rng, typical=1.0
  )
  cohort = Cohort(
    means=parts.means(templates),
    standard=standard,
    thresholds=tuple(zip(rates, thresholds, strict=True)),
    measured=min((fmr for fmr in rates if fmr >= least), default=1.0),
    palms=count,
    dataset=dataset,
    templates=templates._replace(
      fine=templates.fine[:, parts.UPRIGHT, None],
      wide=templates.wide[:, parts.UPRIGHT, None],
    ),
  )
  return cohort, scores


def palms_for(fmr):
  """How many palms a cohort needs to have a threshold for an FMR at all."""
  return next(
    count
    for count in itertools.count(LEAST)
    if error_rates.is_measurable(FARTHEST * fmr, count * (count - 1) // 2)
  )


def require_enough(templates):
  """Raises ValueError for fewer than `LEAST` palms."""
  if (count := len(templates.network)) < LEAST:
    raise ValueError(
      f'{count} palms: a cohort needs {LEAST} or more, each there once'
    )


def cross_fitted(templates, rng, shrinkage=None):
  """Impostor scores of all pairs, with means of palms outside the pair.

  A whitening by fewer palms is weaker, and would leave higher scores than those
  of strangers. So it is as strong as one by all palms. With 200 drawn palms
  (difficulty 0.6) 3 % of the pairs of strangers reached 0.272. Of the cohort
  they reached 0.274, with 5 folds and the weaker whitening 0.282.

  Args:
    templates: `parts.Templates` of N palms.
    rng: `np.random.Generator`, deals the palms into folds.
    shrinkage: of `parts.whitening`.

  Returns:
    float32 [K, N, N], symmetric; a palm and itself: NaN.
  """
  count = len(templates.network)
  codes = _over_folds(
    templates,
    rng.permutation(count) % _CODE_FOLDS,
    parts.code_means,
    parts.code_scores,
  )
  network = _over_folds(
    templates,
    rng.permutation(count) % _NETWORK_FOLDS,
    lambda others: parts.network_means(others, count, shrinkage),
    lambda one, other, means: parts.network_scores(
      one.network, other.network, means
    )[None],
  )
  return np.concatenate([codes, network])


def _over_folds(templates, folds, fit, compare):
  """Scores of K parts, with means of the palms outside a pair's folds.

  Args:
    templates: `parts.Templates` of N palms.
    folds: int [N], the fold of each palm.
    fit: `Templates` → `parts.Means`.
    compare: (`Templates` of P palms, of G palms, `Means`) → [K, P, G].

  Returns:
    float32 [K, N, N], symmetric; a palm and itself: NaN.
  """
  blocks = []
  numbers = np.unique(folds)
  for first, second in itertools.combinations_with_replacement(numbers, 2):
    means = fit(templates.take((folds != first) & (folds != second)))
    rows, columns = (np.flatnonzero(folds == x) for x in (first, second))
    one = templates.take(rows)
    # Pairs of a side with itself take half the time.
    other = one if first == second else templates.take(columns)
    blocks.append((rows, columns, compare(one, other, means)))
  scores = np.empty((len(blocks[0][2]), len(folds), len(folds)), np.float32)
  for rows, columns, block in blocks:
    scores[:, rows[:, None], columns] = block
    scores[:, columns[:, None], rows] = block.transpose(0, 2, 1)
  scores[:, np.eye(len(folds), dtype=bool)] = np.nan
  return scores
