"""The report of the recipe `metric`, shaped like one to ISO/IEC 19795-1."""

import time

import numpy as np

from palmjax.engine import logs
from palmjax.evals.recognition import binned_rates, error_rates, identification
from palmjax.recipes.metric import losses as metric_losses
from palmjax.recipes.metric import tables as metric_tables
from palmjax.recipes.shared import run_facts
from palmjax.report import html, metrics, plots, score_plots

_TILES = 12
_TIMED = 5  # The fastest of so many passes counts.


def write(run, compared, results, *, embed, set_on):
  """Writes run.json and report.html into the workdir.

  Args:
    run: `palm_training.PalmRun`.
    compared: list of `metric_protocols.Compared`, the run's own first.
    results: what metrics.json holds.
    embed: uint8 [N, H, W, 3] → [N, D], compiled.
    set_on: what the thresholds of the network were set on, a sentence.
  """
  test = run.palms.evaluation
  facts = run_facts.write(
    run.workdir,
    skipped=run.palms.skipped,
    ms_per_image=_milliseconds(embed, test.images),
  )
  models = results['models']
  network = models['network']
  first = compared[0]
  words = headline(models, len(test.identities))
  html.write(
    run.workdir / 'report.html',
    title=f'palmjax · metric · seed {run.config.seed}',
    headline=words,
    summary=_summary(run),
    highlights=[
      *(
        html.Highlight(
          f'EER, network / {name}',
          metrics.show_ratio(
            network[f'eer/{name}'], network['eer'], models[name]['eer']
          ),
          'paired, 95 % interval over identities',
        )
        for name in metric_tables.CONTROLS
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
        f'training; measuring not counted; {facts["ms_per_image"]:.2f} ms an '
        'image, this machine',
      ),
    ],
    sections=[
      metric_tables.rates(run, models, compared),
      metric_tables.performance(run, network, first),
      metric_tables.claimed(models, set_on),
      _curves(compared),
      metric_tables.searches(run, models, compared),
      metric_tables.occlusion(run, network),
      histograms(first.scores),
      _pictures(run),
      training_curves(logs.read(run.workdir / 'metrics.jsonl'), run),
      run_facts.endings(results['ended']),
      html.Values('Configuration', run.config.to_dict()),
      html.Values('Run', facts),
    ],
  )
  run_facts.announce(run.workdir, words)


def headline(models, identities):
  """What came out: the network beside each control.

  Args:
    models: what metrics.json holds.
    identities: number of those that were tested.
  """
  network, sentences = models['network'], []
  for name in metric_tables.CONTROLS:
    ratio = network[f'eer/{name}']
    if ratio['value'] is None:
      both = metrics.show_ratio(ratio, network['eer'], models[name]['eer'])
      sentences.append(f'EER of the network to that of {name}: {both}.')
    else:
      sentences.append(
        metrics.ratio_in_words(ratio, model='the network', baseline=name)
      )
  return ' '.join(sentences) + run_facts.caution(identities, 'identities')


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


def _curves(compared):
  figures = []
  for test, scores, searches, counted in compared:
    # The control first: it is drawn in grey.
    points = {
      name: error_rates.det_points(pairs.genuine, pairs.impostor)
      for name, pairs in scores.items()
    } | {
      name: binned_rates.det_points(pair_counts.counts)
      for name, pair_counts in counted.items()
    }
    curves = {metric_tables.label(name): at for name, at in points.items()}
    name = f'network{test.suffix}'
    figures += [
      score_plots.det(curves, title=f'DET{test.suffix}'),
      score_plots.det(
        {metric_tables.label(name): identification.det_points(searches[name])},
        title=f'Open-set identification{test.suffix}',
        rates=('FPIR', 'FNIR'),
        among=tuple(curves),
      ),
    ]
  return html.Figures('How certain', figures)


def histograms(scores):
  """Draws the scores of genuine and impostor pairs of each model.

  Args:
    scores: {model: `verification.Scores`}.

  Returns:
    `html.Figures`, one figure a model.
  """
  figures = []
  for name, pairs in scores.items():
    genuine, impostor = pairs.genuine, pairs.impostor
    every = np.concatenate([genuine, impostor])
    figures.append(
      score_plots.histogram(
        genuine,
        impostor,
        title=metric_tables.label(name),
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


def training_curves(rows, run):
  """Draws the losses, and the accuracy of a head that is trained.

  Args:
    rows: lines of metrics.jsonl, as of `logs.read`.
    run: `palm_training.PalmRun`.

  Returns:
    `html.Figures`.
  """
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
