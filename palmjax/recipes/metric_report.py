"""The report of the recipe `metric`, shaped like one to ISO/IEC 19795-1."""

import time

import numpy as np

from palmjax.engine import logs
from palmjax.evals import error_rates, identification, iso19795, verification
from palmjax.recipes import metric_losses, run_facts
from palmjax.report import html, metrics, plots

# The control first: it is drawn in grey.
_NAMES = {
  'correlation': 'Correlation (nothing learned)',
  'network': 'Network',
  'network, across sessions': 'Network, across sessions',
}
_TILES = 12
_TIMED = 5  # The fastest of so many passes counts.


def write(run, scores, searches, results, *, embed):
  """Writes run.json and report.html into the workdir.

  Args:
    run: `palm_network.Run`.
    scores: model name → `verification.Scores`.
    searches: model name → `identification.Searches`.
    results: what metrics.json holds.
    embed: uint8 [N, H, W, 3] → [N, D], compiled.
  """
  test = run.palms.evaluation
  facts = run_facts.write(run, ms_per_image=_milliseconds(embed, test.images))
  models = results['models']
  network = models['network']
  headline, tone = metrics.gain(
    network['eer/correlation'], model='The network', baseline='correlation'
  )
  html.write(
    run.workdir / 'report.html',
    title=f'palmjax · metric · seed {run.config.seed}',
    headline=headline,
    tone=tone,
    summary=_summary(run),
    highlights=[
      html.Highlight(
        'EER, network / correlation',
        metrics.show(network['eer/correlation']),
        'paired, 95 % interval over identities',
      ),
      html.Highlight(
        'EER of the network',
        metrics.show(network['eer'], unit='%'),
        'correlation '
        + metrics.show(
          {'value': models['correlation']['eer']['value']}, unit='%'
        ),
      ),
      html.Highlight(
        'Time',
        run_facts.minutes(sum(facts['seconds'].values())),
        f'training; {facts["ms_per_image"]:.2f} ms an image, this machine',
      ),
    ],
    sections=[
      _rates(run, models, scores),
      _performance(run, network, scores['network']),
      _curves(scores, searches),
      _identification(run, models, searches),
      _occlusion(run, network),
      _histograms(scores),
      _pictures(run),
      _training(logs.read(run.workdir / 'metrics.jsonl'), run),
      html.Values('Configuration', run.config.to_dict()),
      html.Values('Run', facts),
    ],
  )


def _milliseconds(embed, images):
  images = images[:64]
  seconds = []
  for _ in range(_TIMED):
    start = time.perf_counter()
    embed(images)
    seconds.append(time.perf_counter() - start)
  return 1e3 * min(seconds) / len(images)


def _summary(run):
  config, labelled = run.config, run.palms.labelled
  return (
    f'{config.network.name} with the loss {config.loss.name} learned from '
    f'{len(labelled.labels)} images of {len(labelled.identities)} identities, '
    f'{config.cnn.steps} steps of '
    f'{config.cnn.identities * config.cnn.images}. Intervals are over the '
    'identities of the test; one seed says nothing of other seeds '
    '(launch/sweep.py runs three).'
  )


def _rates(run, models, scores):
  found = scores['network']
  columns = [html.Column('eer', 'EER', '%', better='lower')]
  columns += [
    html.Column(
      verification.fnmr_name(fmr),
      f'FNMR at FMR {error_rates.short(fmr)}',
      '%',
      1,
      'lower',
    )
    for fmr in run.config.evaluation.fmrs
  ]
  columns += [html.Column('d_prime', 'd′')]
  return html.Table(
    'Error rates',
    columns,
    {name: models[key] for key, name in _NAMES.items() if key in models},
    text=(
      f'All pairs of {len(run.palms.evaluation.labels)} images of '
      f'{len(run.palms.evaluation.identities)} identities that the network was '
      f'not trained on: {len(found.genuine):,} genuine, '
      f'{len(found.impostor):,} impostor. In brackets the 95 % interval over '
      'identities.'
    ),
  )


def _performance(run, network, scores):
  """The tables that ISO/IEC 19795-1 asks for."""
  images = scores.images
  points = {}
  for fmr in run.config.evaluation.fmrs:
    measurable = error_rates.is_measurable(fmr, len(scores.impostor))
    points[fmr] = (
      error_rates.threshold_at_fmr(scores.impostor, fmr) if measurable else None
    )
  found = iso19795.performance(
    network,
    points,
    error_rates.det_points(scores.genuine, scores.impostor),
    images=images,
    sessions=len(np.unique(run.palms.evaluation.sessions)),
    attempts={'captured': images, 'failed': np.zeros_like(images)},
  )
  columns = [
    html.Column('threshold', 'Threshold', digits=4),
    html.Column('fnmr', 'FNMR', '%'),
    html.Column('gfar', 'GFAR', '%', 4),
    html.Column('gfrr', 'GFRR', '%'),
  ]
  rows = {
    name: {
      key: cell if isinstance(cell, dict) else {'value': cell}
      for key, cell in row.items()
    }
    for name, row in found['rates'].items()
    if row['threshold'] is not None
  }
  crew = ', '.join(f'{value} {name}' for name, value in found['crew'].items())
  return html.Table(
    'Performance test (ISO/IEC 19795-1)',
    columns,
    rows,
    corner='Asked for',
    text=(
      f'Technology evaluation, offline. {crew}. FTE and FTA are 0 here: the '
      'images are palms already cut out, and '
      f'{len(run.palms.skipped)} unreadable files were left out before. Rates '
      'that the pairs cannot support (rule of 30) are left out.'
    ),
  )


def _curves(scores, searches):
  curves = {
    name: error_rates.det_points(scores[key].genuine, scores[key].impostor)
    for key, name in _NAMES.items()
    if key in scores
  }
  return html.Figures(
    'How certain',
    [
      plots.det(curves),
      plots.det(
        {'Network': identification.det_points(searches['network'])},
        title='Open-set identification',
        rates=('FPIR', 'FNIR'),
      ),
    ],
  )


def _identification(run, models, searches):
  found = searches['network']
  names = [f'rank{rank}' for rank in identification.RANKS]
  columns = [html.Column(name, name.replace('k', 'k-'), '%') for name in names]
  columns += [
    html.Column(
      identification.fnir_name(fpir),
      f'FNIR at FPIR {error_rates.short(fpir)}',
      '%',
    )
    for fpir in run.config.evaluation.fpirs
  ]
  return html.Table(
    'Identification',
    columns,
    {name: models[key] for key, name in _NAMES.items() if key in searches},
    text=(
      'Every image is searched among all others (mated) and among those of '
      f'other identities (non-mated): {len(found.mated):,} and '
      f'{len(found.nonmated):,} searches. Across sessions, images of the last '
      'are searched among those of the first, mated only.'
    ),
  )


def _occlusion(run, network):
  shares = run.config.evaluation.occlusion
  return html.Table(
    'Occlusion',
    [
      html.Column(f'eer@erased={share:g}', f'{share:.0%} erased', '%')
      for share in shares
    ],
    {'EER': network},
    corner='All pairs',
    text='Of both images of a pair a square at a random place is erased.',
  )


def _histograms(scores):
  figures = []
  for key, name in _NAMES.items():
    if key not in scores:
      continue
    genuine, impostor = scores[key].genuine, scores[key].impostor
    every = np.concatenate([genuine, impostor])
    figures.append(
      plots.histogram(
        genuine,
        impostor,
        title=name,
        limits=(float(every.min()), float(every.max())),
        threshold=error_rates.eer_threshold(genuine, impostor),
      )
    )
  return html.Figures(
    'Scores',
    figures,
    'Similarities of all pairs; the dashed line is the threshold of the EER.',
  )


def _pictures(run):
  def tiles(part):
    _, first = np.unique(part.labels, return_index=True)
    return [
      html.tile(
        part.images[i],
        alt=f'Palm of {part.identities[part.labels[i]]}',
        caption=part.identities[part.labels[i]],
      )
      for i in first[:_TILES]
    ]

  return html.Grid(
    'Palms',
    {
      'Trained on, one of each of the first identities': tiles(
        run.palms.labelled
      ),
      'Tested on': tiles(run.palms.evaluation),
    },
    '',
  )


def _training(rows, run):
  names = run.config.loss.name.split('+')
  losses = {
    name: plots.series(rows, 'network', f'loss/{name}') for name in names
  }
  figures = [plots.losses(losses, title='Loss')]
  if metric_losses.trains_head(run.config.loss.to_dict()):
    accuracy = plots.series(rows, 'network', 'accuracy')
    figures.append(
      plots.losses(
        {'accuracy': accuracy}, title='Accuracy of the head, without margin'
      )
    )
  return html.Figures(
    'Training',
    figures,
    'Running means; raw values behind. A stage without weight has loss 0.',
  )
