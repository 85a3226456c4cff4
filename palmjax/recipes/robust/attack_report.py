"""The part of a report of the recipe `robust` that is about its attacks."""

from palmjax.evals.detection import robustness
from palmjax.recipes.robust import scores as robust_scores
from palmjax.recipes.robust import training_report
from palmjax.report import html, plots

NAMES = training_report.NAMES
# Grey levels of the headline, or the nearest that was tried.
_HEADLINE = 4
# Of a cell that lists attacks.
_ATTACKS = 3


def headline_radius(radii):
  """Returns the radius, in grey levels, that the headline is about."""
  return min(radii, key=lambda radius: abs(radius - _HEADLINE))


def chosen(counts, arms, suffix):
  """Table of the attacks that images were given, most often first.

  Args:
    counts: {model: {radius in words: {attack in words: images}}}, of
      `robust_scores.chosen_attacks`.
    arms: of `NAMES`.
    suffix: of the test.

  Returns:
    `html.Table`.
  """
  rows = {
    arm: {
      radius: _most_often(names)
      for radius, names in counts[arm + suffix].items()
    }
    for arm in arms
  }
  return html.Table(
    f'The worst attack on each image{suffix}',
    [html.Column(name, f'Within {name}') for name in rows[arms[0]]],
    {NAMES[arm]: row for arm, row in rows.items()},
    corner='Arm',
    text='How many images the numbers above take from which attack, and the '
    'radius that it needed: greedy descent on AP50.',
  )


def _most_often(names):
  """The first attacks of {attack: images}, and how many images are left."""
  shown = [f'{name}: {n}' for name, n in [*names.items()][:_ATTACKS]]
  rest = sum([*names.values()][_ATTACKS:])
  return ', '.join([*shown, *([f'others: {rest}'] if rest else [])]) or '–'


def worst(
  named,
  arms,
  suffix='',
  text='Which attack is the worst of all images together, and the radius it '
  'needed.',
):
  """Table of the strongest attacks.

  Args:
    named: {model: {radius in words: attack in words}}, of
      `robust_scores.names_of_worst`.
    arms: of `NAMES`.
    suffix: of the test.
    text: under the heading.

  Returns:
    `html.Table`.
  """
  names = list(named[arms[0] + suffix])
  return html.Table(
    f'The worst single attack{suffix}',
    [html.Column(name, f'Within {name}') for name in names],
    {NAMES[arm]: named[arm + suffix] for arm in arms},
    corner='Arm',
    text=text,
  )


def curve(cells, radii, *, title, label, text):
  """Figure of a rate against the radius, a line an arm.

  Args:
    cells: {arm: cells of metrics.json, clean and within each radius}.
    radii: of the section `attack`.
    title: of the figure.
    label: of the rate.
    text: under the heading.

  Returns:
    `html.Figures`.
  """
  lines = {NAMES[arm]: values for arm, values in cells.items()}
  figure = plots.bands(
    [0, *radii], lines, title=label, label='Radius, grey levels'
  )
  return html.Figures(title, [figure], text)


def every_attack(table, arms, radii, suffix='', *, rate, text):
  """Table of each attack by itself, within each radius.

  Args:
    table: `robust_scores.AttackTable`.
    arms: of `NAMES`.
    radii: of the section `attack`.
    suffix: of the test.
    rate: what is shown, a function of a value of the table.
    text: under the heading.

  Returns:
    `html.Table`; a dash where an arm was not attacked.
  """
  rows = {}
  for radius in radii:
    names = dict.fromkeys(
      name
      for _, name, at in table.values
      if at == radius and name not in robustness.corruptions()
    )
    for name in names:
      rows[f'{name}, {radius:g}/255'] = {
        arm: {'value': rate(value)}
        if (value := table.values.get((arm, name, radius))) is not None
        else None
        for arm in arms
      }
  return html.Table(
    f'Every attack{suffix}',
    [html.Column(arm, NAMES[arm], '%', 1) for arm in arms],
    rows,
    corner='Attack',
    text=text,
  )


def masked_gradients(sentences, queries):
  """Shows the warnings of `robust_scores.warnings`, as `html.Values`.

  Args:
    sentences: the warnings.
    queries: of the square attack.
  """
  rows = dict(enumerate(sentences, start=1)) or {'': 'none seen'}
  if queries < robust_scores.MIN_QUERIES:
    rows['Attack without gradients'] = (
      f'not tested: it made {queries} queries and needs '
      f'{robust_scores.MIN_QUERIES}'
    )
  return html.Values(
    'Signs of masked gradients',
    rows,
    'An attack without gradients should be weaker than those with gradients, '
    'images made for another network weaker than those made for this one, and '
    'an attack that may make any image should leave nothing. Where that is not '
    'so, read the lowest number.',
  )
