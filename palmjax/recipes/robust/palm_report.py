"""The report of the recipe `robust` with palms: who passes for whom?"""

import numpy as np

from palmjax.evals.recognition import verification
from palmjax.ops import pixels
from palmjax.recipes.robust import (
  attack_report,
  page,
  palm_arms,
  palm_battery,
  palm_measure,
  pictures,
  training,
  training_report,
)
from palmjax.recipes.robust import scores as robust_scores
from palmjax.recipes.shared import run_facts
from palmjax.report import html, metrics

NAMES = training_report.NAMES
_TILES = 4
_VERBS = {'genuine': 'dodging', 'impostor': 'impersonation'}
_RATES = {'fnmr': 'dodging', 'fmr': 'impersonation'}


def write(run, probes, table, results, *, attacked, networks):
  """Writes run.json and report.html into the workdir.

  Args:
    run: `palm_training.PalmRun`; its config is of `sections.of`.
    probes: `palm_measure.Probes`.
    table: `robust_scores.AttackTable`.
    results: what metrics.json holds.
    attacked: {arm: `palm_measure.AttackedPalms`}.
    networks: {arm: `networks.palm.PalmNetwork`}.
  """
  config, models = run.config, results['models']
  arms = page.arms(results)
  radius = attack_report.headline_radius(config.attack.radii)
  page.write(
    run,
    results,
    [table],
    title='robust, palms',
    headline=headline(models, arms, radius)
    + run_facts.caution(len(probes.identities), 'identities'),
    summary=_summary(run, probes, results['ended']),
    skipped=run.palms.skipped,
    highlights=[
      page.change(
        f'{NAMES[arm]}: {rate.upper()}',
        models[arm][f'{rate}@0/255'],
        models[arm][f'{rate}@{radius:g}/255'],
        f'clean, and under {what} within {radius:g}/255',
      )
      for arm in arms
      for rate, what in _RATES.items()
    ],
    sections=_sections(run, probes, table, results, attacked, networks),
  )


def _sections(run, probes, table, results, attacked, networks):
  """What is shown of palms alone."""
  config, models = run.config, results['models']
  arms, radii = page.arms(results), config.attack.radii
  radius = attack_report.headline_radius(radii)
  yield _at_threshold(models, arms, config)
  yield _errors(models, arms, config)
  yield attack_report.worst(
    results['worst'],
    arms,
    text='Which attack alone gives the highest EER, and the radius it needed. '
    'The numbers above take the worst attack of each pair.',
  )
  yield attack_report.curve(
    {
      arm: [models[arm][f'eer@{radius:g}/255'] for radius in (0, *radii)]
      for arm in arms
    },
    radii,
    title='EER against the radius',
    label='EER',
    text='Under the worst attack of each pair within each radius; bands are '
    '95 % intervals over identities.',
  )
  yield attack_report.every_attack(
    table,
    arms,
    radii,
    rate=lambda value: 1.0 - value,
    text='EER under one attack alone. A dash: all was lost at a smaller '
    'radius. No single row tells how robust a network is.',
  )
  yield from _pictures(probes, attacked, arms, radius, config)
  labelled = run.palms.labelled
  yield from pictures.target_images(
    networks,
    config,
    lambda network: palm_arms.palm_task(network, config),
    training.first_batch(
      {'image': labelled.images, 'label': labelled.labels}, config.cnn
    ),
  )


def headline(models, arms, radius):
  """Sentence: FNMR under dodging, FMR under impersonation, those of `plain`.

  Args:
    models: of metrics.json.
    arms: of `NAMES`.
    radius: in grey levels.
  """
  arm = 'ot' if 'ot' in arms else arms[-1]
  parts = []
  for rate, what in _RATES.items():
    key = f'{rate}@{radius:g}/255'
    part = f'{rate.upper()} {_percent(models[arm][key])} under {what}'
    control = robust_scores.CONTROL
    if arm != control and control in arms:
      part += f' (plain training: {_percent(models[control][key])})'
    parts.append(part)
  return (
    f'{NAMES[arm]}: {" and ".join(parts)}, within {radius:g}/255, at the '
    'threshold of clean pairs, in this run; lower is better.'
  )


def _percent(cell):
  return metrics.show(cell, unit='%', digits=1)


def _summary(run, probes, ended):
  config, labelled = run.config, run.palms.labelled
  steps, replays = config.cnn.steps, config.perturb.replays
  return (
    f'{training_report.equality(ended, steps, replays)} A batch has '
    f'{config.cnn.batch_size} of {len(labelled.labels)} images of '
    f'{len(labelled.identities)} palms, {config.image_size} px. One image of '
    'each of '
    f'{len(probes.identities)} palms that no training saw was attacked, '
    'against an unchanged image of the same palm and one of a different palm. '
    'Correlation and orientation codes stand beside the network in a decision. '
    'They learn nothing. No gradient passes through them, so these attacks do '
    'not fit them, and they are not in this report. Intervals are over '
    'identities; one seed says nothing of other seeds.'
  )


def _rows(models, arms):
  return {NAMES[arm]: models[arm] for arm in arms}


def _errors(models, arms, config):
  keys = {'eer': 'All clean pairs', 'eer@0/255': 'Attacked pairs, clean'}
  keys |= {f'eer@{r:g}/255': f'{r:g}/255' for r in config.attack.radii}
  return html.Table(
    'EER with both kinds of pairs attacked',
    [html.Column(key, title, '%', 1, 'lower') for key, title in keys.items()],
    _rows(models, arms),
    corner='Arm',
    text=(
      'EER of all clean pairs of the test, and of the attacked pairs: clean, '
      'and under the worst attack of each pair within each radius. '
      'Genuine pairs are attacked by dodging, impostor pairs by impersonation. '
      '100 % means that every attacked impostor is more alike than every '
      'attacked genuine pair. In brackets the 95 % interval over identities; a '
      'star marks a value whose interval lies apart from all others.'
    ),
  )


def _at_threshold(models, arms, config):
  columns = [
    html.Column(
      verification.fnmr_name(config.fmr), 'FNMR, all clean pairs', '%', 1
    )
  ]
  for name in ('fnmr', 'fmr'):
    columns += [
      html.Column(
        f'{name}@{radius:g}/255',
        f'{name.upper()}, {f"{radius:g}/255" if radius else "clean"}',
        '%',
        1,
        'lower',
      )
      for radius in (0, *config.attack.radii)
    ]
  return html.Table(
    'At one threshold',
    columns,
    _rows(models, arms),
    corner='Arm',
    text=(
      f'Each arm has the threshold that its clean pairs give for an FMR of '
      f'{config.fmr:g}. FNMR: genuine pairs that dodging parts. FMR: impostor '
      'pairs that impersonation joins. The threshold is not resampled.'
    ),
  )


def _pictures(probes, attacked, arms, radius, config):
  """A `html.Grid` of each goal."""
  name = palm_battery.strongest(config.attack)
  clean = np.asarray(pixels.to_float(probes.probes[:_TILES]))
  for goal, verb in _VERBS.items():
    targets = palm_measure.targets(goal, probes.enrolled)[:_TILES]
    groups = {'The enrolled image': _tiles(targets)}
    for arm in arms:
      one = attacked[arm]
      # Beyond the radius where all was lost nothing was attacked.
      at = max(r for of, r in one.images if of == goal and r <= radius)
      images = one.images[goal, at][:_TILES]
      before, after = (
        one.scores[attack, goal, level]
        for attack, level in ((palm_measure.CLEAN, 0.0), (name, at))
      )
      groups[f'{NAMES[arm]}: clean'] = _tiles(probes.probes[:_TILES], before)
      groups[f'{NAMES[arm]}: attacked, {at:g}/255'] = _tiles(
        np.asarray(pixels.to_uint8(images)), after
      )
      groups[f'{NAMES[arm]}: difference × {pictures.ENLARGED}'] = (
        pictures.differences(clean, images)
      )
    yield html.Grid(
      f'Attacked palms: {verb}',
      groups,
      f'The first palms, not chosen, under {name}, with their cosines to the '
      'enrolled image.',
    )


def _tiles(images, cosines=None):
  captions = [''] * len(images)
  if cosines is not None:
    captions = [f'cosine {value:.2f}' for value in cosines[: len(images)]]
  return [
    html.tile(image, alt='Palm', caption=caption)
    for image, caption in zip(images, captions, strict=True)
  ]
