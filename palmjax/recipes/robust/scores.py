"""What metrics.json holds of the arms of the recipe `robust`."""

import collections
from typing import NamedTuple

import numpy as np

from palmjax.evals.detection import (
  average_precision,
  box_matching,
  paired_precision,
  robustness,
)
from palmjax.recipes.robust import measure

CONTROL = 'plain'
# What an arm is compared with: no perturbed images, and the usual ones.
BASELINES = (CONTROL, 'adversarial')
_NO_BOXES = {'value': None, 'reason': 'not measurable with 0 boxes'}
# AP50 that an attack may leave which can make any image.
_LEFT = 0.02
# Of the square attack. With fewer it is weaker than gradients in any case, and
# says nothing of masked ones.
MIN_QUERIES = 1000


class Composed(NamedTuple):
  """A test of which each image has its worst attempt within a radius.

  Attributes:
    matches: `box_matching.Matches`.
    chosen: {'ATTACK at r/255': images that have it}, most first.
  """

  matches: box_matching.Matches
  chosen: dict


class AttackTable(NamedTuple):
  """The detections of all arms on one test, matched and ranked.

  Attributes:
    matches: {(arm, attack, radius): `box_matching.Matches`}.
    values: {(arm, attack, radius): AP50 without interval}; None without a box.
    worst: {arm: {radius: `robustness.Worst`}}, of single attacks.
    composed: {arm: {radius: `Composed`}}; as `worst` empty without a box.
  """

  matches: dict
  values: dict
  worst: dict
  composed: dict


def table(attacked, number, test, classes, radii):
  """Matches and ranks what all arms found in a test.

  Args:
    attacked: {arm: `measure.Attacked`}.
    number: of the test.
    test: annotated images.
    classes: names.
    radii: of the section `attack`; nothing is composed beyond them.

  Returns:
    `AttackTable`.
  """
  result = AttackTable({}, {}, {}, {})
  count = len(test['boxes'])
  every = np.ones((1, count), int)
  for arm, one in attacked.items():
    detections = {
      (attack, radius): objects
      for (at, attack, radius), objects in one.detections.items()
      if at == number
    }
    attempts = list(detections)
    stacked = measure.matches(test, list(detections.values()), classes)
    for a, attempt in enumerate(attempts):
      matches = robustness.recombine(stacked, np.full(count, a))
      value = float(average_precision.ap50(matches, every)[0])
      result.matches[arm, *attempt] = matches
      result.values[arm, *attempt] = None if np.isnan(value) else value
    result.worst[arm], result.composed[arm] = _under_attack(
      arm, attempts, result.values, stacked, max(radii)
    )
  return result


def _under_attack(arm, attempts, values, stacked, largest):
  """`AttackTable.worst` and `AttackTable.composed` of an arm."""
  corruptions = robustness.corruptions()
  # Clean images lie within every radius, too.
  attacks = {
    attempt: values[arm, *attempt]
    for attempt in attempts
    if attempt[0] not in corruptions and values[arm, *attempt] is not None
  }
  if not attacks:
    return {}, {}
  radii = sorted({radius for _, radius in attacks if radius <= largest})
  # What is no attack lies beyond every radius.
  within = [
    attempt if attempt in attacks else (attempt[0], np.inf)
    for attempt in attempts
  ]
  composed = {}
  for radius, choice in robustness.compose_within(
    stacked, within, radii
  ).items():
    names = [f'{attempts[a][0]} at {attempts[a][1]:g}/255' for a in choice]
    composed[radius] = Composed(
      robustness.recombine(stacked, choice),
      dict(collections.Counter(names).most_common()),
    )
  return robustness.worst(attacks), composed


def models(tables, radii, resampling):
  """{model: metrics} of metrics.json.

  Args:
    tables: {suffix of the test: `AttackTable`}.
    radii: of the section `attack`.
    resampling: of the intervals.

  Returns:
    Per arm 'ap', 'ap50', 'ap50@R/255' under the worst attempt on each image
    within R, and 'ap50@corruptions', the mean over corruptions and strengths.
    Paired, of AP50 clean and within R: 'ap50@R/255 - plain', 'ap50@R/255 -
    adversarial' and 'ap50@R/255 / plain'; no arm is compared with itself, nor
    the control with another. Without a box, reasons.

    The attempts were chosen on all images, once. Each resample has the same
    ones. Chosen anew they would leave it less, so intervals within R lean
    upward.
  """
  result = {}
  for suffix, one in tables.items():
    for arm in one.composed:
      clean = average_precision.rates(
        one.matches[arm, measure.CLEAN, 0], resampling=resampling
      )
      cells = {name: clean[name] for name in ('ap', 'ap50')}
      cells |= _compared(
        'ap50',
        arm,
        {of: one.matches[of, measure.CLEAN, 0] for of in one.composed},
        resampling,
      )
      for radius in radii:
        cells |= _cells(one, arm, f'ap50@{radius:g}/255', radius, resampling)
      cells['ap50@corruptions'] = paired_precision.mean(
        [
          matches
          for (name, attack, _), matches in one.matches.items()
          if name == arm and attack in robustness.corruptions()
        ],
        resampling=resampling,
      )
      result[arm + suffix] = cells
  return result


def _cells(table, arm, name, radius, resampling):
  """The metrics of an arm within a radius."""
  matches = {
    of: composed[reached(composed, radius)].matches
    for of, composed in table.composed.items()
    if composed
  }
  if arm not in matches:
    return {name: _NO_BOXES}
  cell = paired_precision.mean([matches[arm]], resampling=resampling)
  return {name: cell} | _compared(name, arm, matches, resampling)


def baselines(arm, arms):
  """Those of `BASELINES` among some arms that an arm is compared with."""
  return [
    baseline
    for baseline in BASELINES
    if baseline in arms and arm not in (CONTROL, baseline)
  ]


def _compared(name, arm, matches, resampling):
  """Differences and the ratio of an arm, from {arm: matches}."""
  cells = {}
  for baseline in baselines(arm, matches):
    pair = matches[arm], matches[baseline]
    cells[f'{name} - {baseline}'] = paired_precision.difference(
      *pair, resampling=resampling
    )
    if baseline == CONTROL:
      cells[f'{name} / {baseline}'] = paired_precision.ratio(
        *pair, resampling=resampling
      )
  return cells


def chosen_attacks(tables, radii):
  """{model: {'R/255': `Composed.chosen`}}: what `models` is composed of."""
  return {
    arm + suffix: {
      f'{radius:g}/255': composed[reached(composed, radius)].chosen
      if composed
      else {}
      for radius in radii
    }
    for suffix, one in tables.items()
    for arm, composed in one.composed.items()
  }


def names_of_worst(tables, radii):
  """{model: {'R/255': 'ATTACK at r/255'}}: the strongest single attacks."""
  named = {}
  for suffix, one in tables.items():
    for arm, worst in one.worst.items():
      rows = named[arm + suffix] = {}
      for radius in radii:
        text = _NO_BOXES['reason']
        if worst:
          strongest = worst[reached(worst, radius)]
          text = f'{strongest.attack} at {strongest.radius:g}/255'
        rows[f'{radius:g}/255'] = text
  return named


def reached(radii, radius):
  """The largest of some radii that is at most the given one."""
  return max(at for at in radii if at <= radius)


def warnings(table, arm, radii, queries):
  """Signs that an attack failed or that gradients are masked (1902.06705).

  Args:
    table: `AttackTable`.
    arm: its name.
    radii: of the section `attack`.
    queries: of the square attack; it is not looked at below `MIN_QUERIES`.

  Returns:
    List of sentences; none is a good sign.
  """
  sentences = []
  for radius in radii:
    values = _at(table, arm, radius)
    white = _of(values, 'pgd', 'apgd', 'fgsm')
    if not white or min(white) < measure.NOTHING:
      continue
    if queries >= MIN_QUERIES and values.get('square', 1.0) < min(white):
      sentences.append(
        f'{arm} at {radius:g}/255: the attack without gradients is stronger '
        'than all with gradients; gradients may be masked'
      )
    others = _of(values, 'transfer')
    if others and min(others) < min(white):
      sentences.append(
        f'{arm} at {radius:g}/255: images made for another arm are stronger '
        'than those made for it'
      )
  whole = _of(_at(table, arm, measure.WHOLE), 'pgd', 'apgd', 'fgsm')
  if whole and min(whole) > _LEFT:
    sentences.append(
      f'{arm} at {measure.WHOLE}/255: an AP50 of {min(whole):.3f} is left '
      'although the attack may make any image; gradients may be masked'
    )
  return sentences


def _at(table, arm, radius):
  """{attack: value} of an arm within a radius."""
  return {
    attack: value
    for (name, attack, at), value in table.values.items()
    if name == arm
    and at == radius
    and attack not in robustness.corruptions()
    and value is not None
  }


def _of(values, *beginnings):
  return [
    value for name, value in values.items() if name.startswith(beginnings)
  ]
