"""What metrics.json holds of the arms of the recipe `robust` with palms.

The rates under attack are of pairs of which each is attacked in the worst way:
of all attacks within the radius the lowest genuine score and the highest
impostor score of a pair count.
"""

import numpy as np

from palmjax.evals.detection import robustness
from palmjax.evals.recognition import (
  chosen_pairs,
  error_rates,
  verification,
)
from palmjax.recipes.robust import palm_battery, palm_measure
from palmjax.recipes.robust import scores as robust_scores


def table(attacked):
  """`robust_scores.AttackTable` of {arm: `palm_measure.AttackedPalms`}.

  Its values are 1 − EER of one attack alone: what an attack lowers. It has no
  matches.
  """
  values = {}
  for arm, one in attacked.items():
    for name, radius in dict.fromkeys((key[0], key[2]) for key in one.scores):
      genuine, impostor = (
        one.scores[name, goal, radius] for goal in palm_battery.GOALS
      )
      values[arm, name, radius] = 1.0 - error_rates.eer(genuine, impostor)
  worst = {
    arm: robustness.worst(
      {key[1:]: value for key, value in values.items() if key[0] == arm}
    )
    for arm in attacked
  }
  return robust_scores.AttackTable({}, values, worst, {})


def worst_pairs(attacked, radius):
  """`chosen_pairs.ChosenPairs` under the worst attack of each pair.

  Args:
    attacked: `palm_measure.AttackedPalms`.
    radius: in grey levels; 0: clean.
  """
  worst = {}
  for goal, sign in palm_battery.GOALS.items():
    within = [
      sign * scores
      for (_, of, at), scores in attacked.scores.items()
      if of == goal and at <= radius
    ]
    worst[goal] = sign * np.max(within, axis=0)
  return palm_measure.pairs(worst)


def models(attacked, clean, config, resampling):
  """{arm: metrics} of metrics.json.

  Args:
    attacked: {arm: `palm_measure.AttackedPalms`}.
    clean: {arm: `verification.PairScores` of all pairs of the test}.
    config: with `attack` and `fmr`.
    resampling: of the intervals.

  Returns:
    Per arm 'eer' and 'fnmr@fmr=F' of all clean pairs; 'eer@R/255', 'fnmr@R/255'
    and 'fmr@R/255' of the attacked pairs, R = 0 being the same pairs unchanged,
    at the threshold that all clean pairs have for F; and paired, as
    `robust_scores.models` has them, 'eer@R/255 - plain' and 'eer@R/255 -
    adversarial'.
  """
  result = {}
  for arm, one in attacked.items():
    cells = verification.fnmr_rates(
      clean[arm], fmrs=(config.fmr,), resampling=resampling
    )
    threshold = _threshold(clean[arm].impostor, config.fmr)
    for radius in (0, *config.attack.radii):
      pairs = worst_pairs(one, radius)
      rates = chosen_pairs.rates(
        pairs, threshold=threshold, resampling=resampling
      )
      cells |= {f'{name}@{radius:g}/255': rate for name, rate in rates.items()}
      for baseline in robust_scores.baselines(arm, attacked):
        cells[f'eer@{radius:g}/255 - {baseline}'] = chosen_pairs.eer_difference(
          pairs, worst_pairs(attacked[baseline], radius), resampling=resampling
        )
    result[arm] = cells
  return result


def _threshold(impostor, fmr):
  """Of a false match rate, or in words why there is none."""
  if not error_rates.is_measurable(fmr, len(impostor)):
    return f'not measurable with {len(impostor)} pairs'
  return error_rates.threshold_at_fmr(impostor, fmr).threshold
