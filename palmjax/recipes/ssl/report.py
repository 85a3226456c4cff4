"""The report of the recipe `ssl`: did the soft labels help, and how surely?"""

import numpy as np

from palmjax.engine import logs
from palmjax.evals.recognition import error_rates, verification
from palmjax.recipes.shared import certainty, run_facts
from palmjax.recipes.ssl import gan as ssl_gan
from palmjax.recipes.ssl import labels as ssl_labels
from palmjax.report import html, metrics, plots, score_plots

# The baseline first: it is drawn in grey.
_NAMES = {
  'control': 'Control (labelled only)',
  'cnn1': 'CNN-1',
  'cnn2': 'CNN-2 (soft labels)',
}
# Of the same images, without learning.
_ALONE = {
  'correlation': 'Correlation (nothing learned)',
  'orientation code': 'Orientation code (nothing learned)',
}
_TILES = 12


def write(run, scores, results, *, soft_labels):
  """Writes run.json and report.html into the workdir.

  Args:
    run: `palm_training.PalmRun`.
    scores: model name → `verification.PairScores`, of the classical controls,
      too.
    results: what metrics.json holds.
    soft_labels: export directory of the stage `soft_labels`.
  """
  facts = run_facts.write(run.workdir, skipped=run.palms.skipped)
  models = results['models']
  cnn2 = models['cnn2']
  rows = logs.read(run.workdir / 'metrics.jsonl')
  headline = _headline(run, models)
  html.write(
    run.workdir / 'report.html',
    title=f'palmjax · ssl · seed {run.config.seed}',
    headline=headline,
    tone='open',
    summary=_summary(run),
    highlights=[
      *(
        html.Highlight(
          f'EER, CNN-2 / {name}',
          metrics.show_ratio(
            cnn2[f'eer/{key}'], cnn2['eer'], models[key]['eer']
          ),
          'paired, 95 % interval over identities',
        )
        for key, name in (('control', 'control'), ('cnn1', 'CNN-1'))
      ),
      html.Highlight(
        'EER of CNN-2',
        metrics.show(cnn2['eer'], unit='%'),
        ', '.join(
          f'{name} '
          + metrics.show({'value': models[name]['eer']['value']}, unit='%')
          for name in _ALONE
        )
        + ': both learned nothing',
      ),
      html.Highlight(
        'Time',
        run_facts.minutes(sum(facts['seconds'].values())),
        'training, without measuring; this machine',
      ),
    ],
    sections=[
      _rates(run, models, scores),
      certainty.figures(models, scores, {**_NAMES, **_ALONE}),
      _histograms(scores),
      _pictures(run, soft_labels),
      _generator(models['gan']),
      _training(rows),
      run_facts.endings(results['ended']),
      html.Values('Configuration', run.config.to_dict()),
      html.Values('Run', facts),
    ],
  )
  run_facts.announce(run.workdir, headline)


def _headline(run, models):
  """No verdict: where a network starts weighs as much as what it sees."""
  cnn2 = models['cnn2']
  compared = ', '.join(
    f'over that of {name} '
    + metrics.show_ratio(cnn2[f'eer/{key}'], cnn2['eer'], models[key]['eer'])
    for key, name in (('control', 'the control'), ('cnn1', 'CNN-1'))
  )
  code = metrics.show(
    {'value': models['orientation code']['eer']['value']}, unit='%'
  )
  cnn2_eer = metrics.show({'value': cnn2['eer']['value']}, unit='%')
  return (
    f'Seed {run.config.seed}: EER of CNN-2 {compared}. CNN-2 has {cnn2_eer}, '
    f'the orientation code, which learned nothing, {code}. The verdict takes '
    'several seeds.'
    + run_facts.caution(len(run.palms.evaluation.identities), 'identities')
  )


def _summary(run):
  labelled = run.palms.labelled
  steps, batch = run.config.cnn.steps, run.config.cnn.batch_size
  return (
    f'CNN-2 learned from {len(labelled.labels)} labelled images of '
    f'{len(labelled.identities)} identities and from {run.config.soft.images} '
    'images that the GAN generated and CNN-1 labelled softly; the control from '
    f'the labelled images alone. Both got {steps} steps of {batch} images. The '
    'interval is over the identities of the test; one seed says nothing of '
    'other seeds (launch/sweep.py runs three).'
  )


def _rates(run, models, scores):
  pairs = scores['cnn2']
  columns = [html.Column('eer', 'EER', '%', better='lower')]
  columns += [
    html.Column(
      verification.tar_name(far), f'TAR at FAR {far:g}', '%', 1, 'higher'
    )
    for far in run.config.evaluation.fars
  ]
  columns += [html.Column('params', 'Parameters', digits=0)]
  return html.Table(
    'Error rates',
    columns,
    {name: models[key] for key, name in {**_NAMES, **_ALONE}.items()},
    text=(
      f'All pairs of {len(run.palms.evaluation.labels)} images of '
      f'{len(run.palms.evaluation.identities)} identities that no network was '
      f'trained on: {len(pairs.genuine):,} genuine, {len(pairs.impostor):,} '
      'impostor. In brackets the 95 % interval over identities; a star marks a '
      'value whose interval lies apart from all others.'
    ),
  )


def _histograms(scores):
  every = np.concatenate(
    [
      part
      for key in _NAMES
      for part in (scores[key].genuine, scores[key].impostor)
    ]
  )
  limits = float(every.min()), float(every.max())
  return html.Figures(
    'Scores',
    [
      score_plots.histogram(
        scores[key].genuine,
        scores[key].impostor,
        title=name,
        limits=limits,
        threshold=error_rates.eer_threshold(
          scores[key].genuine, scores[key].impostor
        ),
      )
      for key, name in _NAMES.items()
    ],
    'Similarities of all pairs; the dashed line is the threshold of the EER.',
  )


def _pictures(run, soft_labels):
  labelled = run.palms.labelled
  _, first = np.unique(labelled.labels, return_index=True)
  real = [
    html.tile(
      labelled.images[i],
      alt=f'Labelled palm of {labelled.identities[labelled.labels[i]]}',
      caption=labelled.identities[labelled.labels[i]],
    )
    for i in first[:_TILES]
  ]
  shown = [
    html.tile(image, alt='Labelled palm as the GAN saw it')
    for image in ssl_gan.training_images(
      run.config, labelled.images[first[:_TILES]]
    )
  ]
  images, soft = ssl_labels.read_soft_labels(soft_labels)
  generated = [
    html.tile(
      image,
      alt='Palm generated by the GAN',
      shares=[
        (labelled.identities[k], float(shares[k]))
        for k in np.argsort(-shares, kind='stable')[:3]
      ],
    )
    for image, shares in zip(images[:_TILES], soft[:_TILES], strict=True)
  ]
  return html.Grid(
    'Labelled and generated palms',
    {
      'Labelled, one of each of the first identities': real,
      'The same, as the GAN saw them': shown,
      'Generated, with the soft label of CNN-1': generated,
    },
    'Generated palms are the first ones, not chosen. Bars: the three likeliest '
    'identities; equal bars say that CNN-1 does not know whose palm it is.',
  )


def _generator(values):
  columns = [
    html.Column('kid@palm', 'Kernel distance', digits=3),
    html.Column('memorisation', 'Distance to the nearest labelled image'),
    html.Column('copied', 'Copied', '%', 1),
    html.Column('diversity', 'Diversity'),
    html.Column('iterations', 'Iterations', digits=0),
    html.Column('kept', 'Kept at', digits=0),
  ]
  return html.Table(
    'What the GAN generated',
    columns,
    {'Generated palms': values},
    corner='Set',
    text=(
      'Distances between embeddings of CNN-1: they say nothing about the look, '
      'and noise may have good numbers. Look at the pictures. Distance to the '
      'nearest labelled image and diversity are relative to unseen images of '
      'the labelled palms: these have 1. Copied: closer to a labelled image '
      'than 99 % of the unseen images; these have 1 %.'
    ),
  )


def _training(rows):
  def curve(key, name):
    return plots.series(rows, key, name)

  # Short names: the legend shares a line with the title.
  short = [name.split(' (')[0] for name in _NAMES.values()]
  losses = {
    name.split(' (')[0]: curve(
      key, 'loss/labelled' if key == 'cnn2' else 'loss'
    )
    for key, name in _NAMES.items()
  }
  soft = {'CNN-2': curve('cnn2', 'loss/generated')}
  gan = {
    'discriminator': curve('gan', 'd/loss'),
    'generator': curve('gan', 'g/loss'),
  }
  regularisers = {
    'R1': curve('gan', 'd/r1'),
    'path length': curve('gan', 'g/path_penalty'),
  }
  return html.Figures(
    'Training',
    [
      plots.losses(losses, title='Identity loss, labelled', among=short),
      plots.losses(
        soft, title='Soft-label loss, generated images', among=short
      ),
      plots.losses(gan, title='GAN losses'),
      plots.losses(regularisers, title='Regularisation', log=True),
      plots.losses({'p': curve('gan', 'ada/p')}, title='Strength of ADA'),
      plots.losses(
        {'kid@palm': curve('gan', 'kid@palm')},
        title='Kernel distance of the averaged generator',
      ),
    ],
    'Running means; raw values behind.',
  )
