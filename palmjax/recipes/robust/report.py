"""The report of the recipe `robust`: what holds under attack, at what cost?"""

from palmjax.engine import logs
from palmjax.evals.detection import robustness
from palmjax.recipes.robust import measure, pictures, training_report
from palmjax.recipes.robust import scores as robust_scores
from palmjax.recipes.shared import run_facts
from palmjax.report import html, metrics, plots

NAMES = training_report.NAMES
# Grey levels of the headline, or the nearest that was tried.
_HEADLINE = 4


def write(run, tests, tables, results, *, networks):
  """Writes run.json and report.html into the workdir.

  Args:
    run: `hand_training.HandRun`.
    tests: {suffix: annotated images}, those that were attacked.
    tables: {suffix: `robust_scores.AttackTable`}.
    results: what metrics.json holds.
    networks: {arm: `networks.hand.HandDetector`}.
  """
  config, models = run.config, results['models']
  arms = [arm for arm in NAMES if arm in networks]
  masked = [
    sentence
    for table in tables.values()
    for arm in arms
    for sentence in robust_scores.warnings(table, arm, config.attack.radii)
  ]
  rows = logs.read(run.workdir / 'metrics.jsonl')
  facts = run_facts.write(
    run.workdir,
    skipped=run.hands.skipped,
    warnings=[*training_report.unconverged(rows, arms), *masked],
  )
  radius = headline_radius(config.attack.radii)
  headline = _headline(models, arms, radius) + run_facts.caution(
    len(next(iter(tests.values()))['image']), 'images'
  )
  html.write(
    run.workdir / 'report.html',
    title=f'palmjax · robust · seed {config.seed}',
    headline=headline,
    summary=_summary(config, tests, results['ended']),
    highlights=_highlights(models, arms, radius, facts),
    sections=[
      *(_accuracy(models, arms, config, suffix) for suffix in tests),
      *(worst(results['worst'], arms, suffix) for suffix in tests),
      *(_curves(models, arms, config, suffix) for suffix in tests),
      *(
        _attacks(tables[suffix], arms, config.attack.radii, suffix)
        for suffix in tests
      ),
      *(_corruptions(tables[suffix], arms, suffix) for suffix in tests),
      *(
        pictures.attacked(run, test, networks, radius, suffix)
        for suffix, test in tests.items()
      ),
      training_report.curves(rows, arms, config),
      *training_report.plans(rows, arms),
      run_facts.endings(results['ended']),
      masked_gradients(masked),
      html.Values('Configuration', config.to_dict()),
      html.Values('Run', facts),
    ],
  )
  run_facts.announce(run.workdir, headline)


def headline_radius(radii):
  """Returns the radius, in grey levels, that the headline is about."""
  return min(radii, key=lambda radius: abs(radius - _HEADLINE))


def _headline(models, arms, radius):
  key = f'ap50@{radius:g}/255 - plain'
  arm = 'ot' if 'ot' in arms else arms[-1]
  if key in models[arm]:
    cell = models[arm][key]
    if cell['value'] is None:
      return f'AP50 under attack: {cell["reason"]}.'
    value, low, high = (
      f'{100 * cell[name]:+.1f}' for name in ('value', 'low', 'high')
    )
    return (
      f'{NAMES[arm]}: AP50 under the worst attack of {radius:g}/255 is {value} '
      f'points above plain training in this run (95 % interval over images: '
      f'{low} to {high}).'
    )
  cell = metrics.show(models[arm][f'ap50@{radius:g}/255'], unit='%', digits=1)
  return f'{NAMES[arm]}: AP50 {cell} under the worst attack of {radius:g}/255.'


def _summary(config, tests, ended):
  count = ' and '.join(f'{len(test["image"])}' for test in tests.values())
  steps, replays = config.train.steps, config.perturb.replays
  frozen = (
    ', with the running statistics of the start'
    if config.train.statistics == 'running'
    else ''
  )
  return (
    f'{training_report.equality(ended, steps, replays)} A batch has '
    f'{config.train.batch_size} images. {count} images that no training saw '
    'were attacked. The number under attack is that of the worst attack within '
    'the radius. Intervals are over images; one seed says nothing of other '
    'seeds (launch/sweep.py runs three). Trainings and attacks look once at '
    f'images of {config.image_size} px{frozen}. `palmjax.detect` takes the '
    'mean of several looks, at mirror images and other sizes too: these '
    'numbers are not about it.'
  )


def _highlights(models, arms, radius, facts):
  highlights = []
  for arm in arms:
    cells = models[arm]
    clean, attacked = (
      metrics.parts(cells[name], unit='%', digits=1)
      for name in ('ap50', f'ap50@{radius:g}/255')
    )
    highlights.append(
      html.Highlight(
        f'{NAMES[arm]}: AP50',
        f'{clean[0] or clean[2]} → {attacked[0] or attacked[2]}',
        f'clean, and under the worst attack of {radius:g}/255',
      )
    )
  return [
    *highlights,
    html.Highlight(
      'Time',
      run_facts.minutes(sum(facts['seconds'].values())),
      'training and attacks',
    ),
  ]


def _accuracy(models, arms, config, suffix):
  radii = [f'ap50@{radius:g}/255' for radius in config.attack.radii]
  columns = [
    html.Column(key, title, '%', 1, 'higher')
    for key, title in {
      'ap50': 'AP50',
      **{key: key.removeprefix('ap50@') for key in radii},
      'ap50@corruptions': 'Corruptions',
    }.items()
  ]
  return html.Table(
    f'Under attack{suffix}',
    columns,
    {NAMES[arm]: models[arm + suffix] for arm in arms},
    corner='Arm',
    text=(
      'AP50 on clean images, under the worst attack within each radius, and as '
      'the mean over corruptions. In brackets the 95 % interval over images; a '
      'star marks a value whose interval lies apart from all others.'
    ),
  )


def worst(
  named,
  arms,
  suffix='',
  text='Which attack the numbers above are of, and the radius it needed.',
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
    f'The worst attack{suffix}',
    [html.Column(name, f'Within {name}') for name in names],
    {NAMES[arm]: named[arm + suffix] for arm in arms},
    corner='Arm',
    text=text,
  )


def _curves(models, arms, config, suffix):
  radii = [0, *config.attack.radii]
  lines = {
    NAMES[arm]: [
      models[arm + suffix]['ap50' if not radius else f'ap50@{radius:g}/255']
      for radius in radii
    ]
    for arm in arms
  }
  return html.Figures(
    f'AP50 against the radius{suffix}',
    [plots.bands(radii, lines, title='AP50', label='Radius, grey levels')],
    'Under the worst attack within each radius; bands are 95 % intervals over '
    'images.',
  )


def _attacks(table, arms, radii, suffix):
  rows = {}
  for radius in radii:
    names = dict.fromkeys(
      attack
      for _, attack, at in table.values
      if at == radius and attack not in robustness.corruptions()
    )
    for attack in names:
      rows[f'{attack}, {radius:g}/255'] = {
        arm: {'value': value}
        if (value := table.values.get((arm, attack, radius))) is not None
        else None
        for arm in arms
      }
  return html.Table(
    f'Every attack{suffix}',
    [html.Column(arm, NAMES[arm], '%', 1) for arm in arms],
    rows,
    corner='Attack',
    text=(
      'AP50. A dash: nothing was left to find at a smaller radius. No single '
      'row tells how robust a detector is.'
    ),
  )


def _corruptions(table, arms, suffix):
  rows = {
    f'{name}, {strength:g}': {
      arm: {'value': table.values[arm, name, level]} for arm in arms
    }
    for name, strengths in robustness.corruptions().items()
    for level, strength in enumerate(strengths, start=1)
  }
  return html.Table(
    f'Corruptions{suffix}',
    [html.Column(arm, NAMES[arm], '%', 1) for arm in arms],
    {'none': _clean(table, arms), **rows},
    corner='Corruption',
    text='AP50. Strengths: evals/detection/robustness.py.',
  )


def _clean(table, arms):
  return {arm: {'value': table.values[arm, measure.CLEAN, 0]} for arm in arms}


def masked_gradients(sentences):
  """Shows the warnings of `robust_scores.warnings`, as `html.Values`."""
  return html.Values(
    'Signs of masked gradients',
    dict(enumerate(sentences, start=1)) or {'': 'none seen'},
    'An attack without gradients should be weaker than those with gradients, '
    'and images made for another network weaker than those made for this one. '
    'Where that is not so, read the lowest number.',
  )
