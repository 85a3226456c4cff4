"""What metrics.json holds of the arms of the recipe `robust`."""

from typing import NamedTuple

from palmjax.evals import bootstrap
from palmjax.evals.detection import average_precision, robustness
from palmjax.recipes.robust import measure

CONTROL = 'plain'


class AttackTable(NamedTuple):
  """The detections of all arms on one test, matched and ranked.

  Attributes:
    matches: {(arm, attack, radius): `box_matching.Matches`}.
    values: {(arm, attack, radius): AP50 without interval}.
    worst: {arm: {radius: `robustness.Worst`}}.
  """

  matches: dict
  values: dict
  worst: dict


def table(attacked, number, test, classes):
  """`AttackTable` of test `number` from {arm: `measure.Attacked`}."""
  matches = {
    (arm, attack, radius): measure.matches(test, objects, classes)
    for arm, one in attacked.items()
    for (at, attack, radius), objects in one.detections.items()
    if at == number
  }
  once = bootstrap.Resampling(draws=1)
  values = {
    key: average_precision.rates(one, resampling=once)['ap50']['value']
    for key, one in matches.items()
  }
  corruptions = robustness.corruptions()
  worst = {}
  for arm in attacked:
    attacks = {
      (attack, radius): value
      for (name, attack, radius), value in values.items()
      if name == arm and attack not in corruptions and value is not None
    }
    # The clean images lie within every radius, too.
    worst[arm] = robustness.worst(attacks) if attacks else {}
  return AttackTable(matches, values, worst)


def models(tables, radii, resampling):
  """{model: metrics} of metrics.json.

  Args:
    tables: {suffix of the test: `AttackTable`}.
    radii: of the section `attack`.
    resampling: of the intervals.

  Returns:
    Per arm 'ap', 'ap50', 'ap50@R/255' under the worst attack within R,
    'ap50@corruptions', the mean over corruptions and strengths, and for arms
    beside the control 'ap50@R/255 - plain', paired.
  """
  result = {}
  for suffix, one in tables.items():
    for arm, worst in one.worst.items():
      clean = average_precision.rates(
        one.matches[arm, measure.CLEAN, 0], resampling=resampling
      )
      cells = {name: clean[name] for name in ('ap', 'ap50')}
      for radius in radii:
        strongest = strongest_within(worst, radius)
        mine = one.matches[arm, *strongest]
        rates = average_precision.rates(mine, resampling=resampling)
        cells[f'ap50@{radius:g}/255'] = rates['ap50']
        if arm != CONTROL and CONTROL in one.worst:
          theirs = strongest_within(one.worst[CONTROL], radius)
          cells[f'ap50@{radius:g}/255 - plain'] = average_precision.difference(
            mine,
            one.matches[CONTROL, *theirs],
            metric='ap50',
            resampling=resampling,
          )
      cells['ap50@corruptions'] = {'value': corrupted(one, arm)}
      result[arm + suffix] = cells
  return result


def names_of_worst(tables, radii):
  """{model: {'R/255': 'ATTACK at r/255'}}: which attacks `models` is about."""
  named = {}
  for suffix, one in tables.items():
    for arm, worst in one.worst.items():
      rows = named[arm + suffix] = {}
      for radius in radii:
        strongest = strongest_within(worst, radius)
        rows[f'{radius:g}/255'] = (
          f'{strongest.attack} at {strongest.radius:g}/255'
        )
  return named


def strongest_within(worst, radius):
  """The `robustness.Worst` of a detector at a radius.

  Beyond the radius where nothing was left to find no attack was tried: the last
  one that was is within the radius, too.
  """
  return worst[max(at for at in worst if at <= radius)]


def corrupted(table, arm):
  """Mean AP50 over corruptions and strengths."""
  kinds = robustness.corruptions()
  values = [
    value
    for (name, attack, _), value in table.values.items()
    if name == arm and attack in kinds
  ]
  return float(sum(values) / len(values))


def warnings(table, arm, radii):
  """Signs that an attack failed or that gradients are masked (1902.06705).

  Returns:
    List of sentences; none is a good sign.
  """
  sentences = []
  for radius in radii:
    mine = {
      attack: value
      for (name, attack, at), value in table.values.items()
      if name == arm and at == radius
    }
    white = [
      value
      for attack, value in mine.items()
      if attack.startswith(('pgd', 'apgd', 'fgsm'))
    ]
    if not white:
      continue
    if mine.get('square', 1.0) < min(white):
      sentences.append(
        f'{arm} at {radius:g}/255: the attack without gradients is stronger '
        'than all with gradients; gradients may be masked'
      )
    others = [
      value for attack, value in mine.items() if attack.startswith('transfer')
    ]
    if others and min(others) < min(white):
      sentences.append(
        f'{arm} at {radius:g}/255: images made for another arm are stronger '
        'than those made for it'
      )
  return sentences
