"""The report of the recipe `robust`: what holds under attack, at what cost?"""

from palmjax.evals.detection import robustness
from palmjax.recipes.robust import (
  attack_report,
  battery,
  measure,
  page,
  pictures,
  training,
  training_report,
)
from palmjax.recipes.robust import scores as robust_scores
from palmjax.recipes.shared import run_facts
from palmjax.report import html, metrics

NAMES = training_report.NAMES


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
  arms = page.arms(results)
  radius = attack_report.headline_radius(config.attack.radii)
  page.write(
    run,
    results,
    tables.values(),
    title='robust',
    headline=_headline(models, arms, radius)
    + run_facts.caution(len(next(iter(tests.values()))['image']), 'images'),
    summary=_summary(config, tests, results['ended']),
    skipped=run.hands.skipped,
    highlights=[
      page.change(
        f'{NAMES[arm]}: AP50',
        models[arm]['ap50'],
        models[arm][f'ap50@{radius:g}/255'],
        f'clean, and under the worst attack on each image, {radius:g}/255',
      )
      for arm in arms
    ],
    sections=_sections(run, tests, tables, results, networks),
  )


def _sections(run, tests, tables, results, networks):
  """What is shown of hands alone; of each part all tests together."""
  config, models = run.config, results['models']
  arms, radii = page.arms(results), config.attack.radii
  radius = attack_report.headline_radius(radii)
  for suffix in tests:
    yield _accuracy(models, arms, config, suffix)
  for suffix in tests:
    yield attack_report.chosen(results['chosen'], arms, suffix)
  for suffix in tests:
    yield attack_report.worst(results['worst'], arms, suffix)
  for suffix in tests:
    names = ['ap50', *(f'ap50@{radius:g}/255' for radius in radii)]
    yield attack_report.curve(
      {arm: [models[arm + suffix][name] for name in names] for arm in arms},
      radii,
      title=f'AP50 against the radius{suffix}',
      label='AP50',
      text='Under the worst attack on each image; bands are 95 % intervals '
      'over images.',
    )
  for suffix in tests:
    yield attack_report.every_attack(
      tables[suffix],
      arms,
      radii,
      suffix,
      rate=lambda value: value,
      text='AP50. A dash: nothing was left to find at a smaller radius. An '
      'image whose hands are all lost keeps within larger radii the attempt '
      'that lost them; only '
      f'{" and ".join(battery.on_every_image(config.attack))} go on with it. '
      'No single row tells how robust a detector is.',
    )
  for suffix in tests:
    yield _corruptions(tables[suffix], arms, suffix)
  for suffix, test in tests.items():
    yield pictures.attacked(run, test, networks, radius, suffix)
  yield from pictures.target_images(
    networks,
    config,
    lambda network: training.hand_task(run.hands, network.model, config),
    training.first_batch(run.hands.training, config.train),
  )


def _headline(models, arms, radius):
  arm = 'ot' if 'ot' in arms else arms[-1]
  name = f'ap50@{radius:g}/255'
  what = f'AP50 under the worst attack on each image within {radius:g}/255'
  gain = models[arm].get(f'{name} - {robust_scores.CONTROL}')
  if gain is None or gain['value'] is None:
    cell = metrics.show(models[arm][name], unit='%', digits=1)
    return f'{NAMES[arm]}: {what}: {cell}.'
  value, low, high = (f'{100 * gain[k]:+.1f}' for k in ('value', 'low', 'high'))
  ratio = models[arm][f'{name} / {robust_scores.CONTROL}']
  times = (
    f'not a number: {ratio["reason"]}'
    if ratio['value'] is None
    else metrics.show(ratio)
  )
  return (
    f'{NAMES[arm]}: {what} is {value} points above plain training in this run '
    f'(95 % interval over images: {low} to {high}); the ratio is {times}.'
    + _beside_adversarial(models[arm].get(f'{name} - adversarial'))
  )


def _beside_adversarial(gain):
  if gain is None or gain['value'] is None:
    return ''
  value, low, high = (f'{100 * gain[k]:+.1f}' for k in ('value', 'low', 'high'))
  return (
    f' Less adversarial training: {value} points (interval: {low} to {high}).'
  )


def _summary(config, tests, ended):
  count = ' and '.join(f'{len(test["image"])}' for test in tests.values())
  steps, replays = config.train.steps, config.perturb.replays
  frozen = (
    ', with the running statistics of the start'
    if config.train.statistics == 'running'
    else ''
  )
  short = f'{battery.SHORT} ' if config.attack.battery == 'short' else ''
  return (
    f'{training_report.equality(ended, steps, replays)} A batch has '
    f'{config.train.batch_size} images. {count} images that no training saw '
    'were attacked. The number under attack takes the worst attack on each '
    f'image within the radius. {short}Intervals are over images; one seed says '
    'nothing of other seeds (launch/sweep.py runs three). Trainings and '
    f'attacks look once at images of {config.image_size} px{frozen}. '
    '`palmjax.detect` takes the mean of several looks, at mirror images and '
    'other sizes too: these numbers are not about it.'
  )


def _accuracy(models, arms, config, suffix):
  radii = [f'ap50@{radius:g}/255' for radius in config.attack.radii]
  at = f'ap50@{attack_report.headline_radius(config.attack.radii):g}/255'
  per_cent = {
    'ap50': 'AP50',
    **{key: key.removeprefix('ap50@') for key in radii},
    'ap50@corruptions': 'Corruptions',
  }
  columns = [
    html.Column(key, title, '%', 1, 'higher') for key, title in per_cent.items()
  ]
  ratio = f'{at} / {robust_scores.CONTROL}'
  columns.append(html.Column(ratio, ratio.removeprefix('ap50@'), '', 2))
  for baseline in robust_scores.BASELINES:
    if baseline in arms:
      gain = f'{at} - {baseline}'
      columns.append(html.Column(gain, gain.removeprefix('ap50@'), '%', 1))
  return html.Table(
    f'Under attack{suffix}',
    columns,
    {NAMES[arm]: models[arm + suffix] for arm in arms},
    corner='Arm',
    text=(
      'AP50 on clean images, under the worst attack on each image within each '
      'radius, and as the mean over corruptions; last the ratio to plain '
      'training, and what is left of the AP50 less that of plain and of '
      'adversarial training. In brackets the 95 % interval over images; a star '
      'marks a value whose interval lies apart from all others. The worst '
      'attack on each image was chosen once, on all images, and each resample '
      'has it. Chosen anew it would leave less, so intervals lean upward.'
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
