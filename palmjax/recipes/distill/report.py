"""The report of the recipe `distill`: what came over from the teacher."""

import time

from palmjax.engine import logs
from palmjax.evals.recognition import error_rates, verification
from palmjax.recipes.distill import device_report, training
from palmjax.recipes.shared import certainty, run_facts
from palmjax.report import html, metrics, plots

# The baseline first: it is drawn in grey.
NAMES = {
  training.ALONE: 'Student alone',
  training.PLACEBO: 'Placebo: taught by the student alone',
  training.DISTILLED: 'Student, distilled',
  'teacher': 'Teacher',
}
# Of the same images, without learning.
CONTROLS = {
  'correlation': 'Correlation (nothing learned)',
  'orientation code': 'Orientation code (nothing learned)',
}
_TIMED = 5  # The fastest of so many passes counts.


def write(run, scores, results, networks, *, everyone, lives):
  """Writes run.json and report.html into the workdir.

  Args:
    run: `palm_training.PalmRun`.
    scores: {model: `verification.PairScores`}.
    results: what metrics.json holds.
    networks: {model: `PalmNetwork`} of those that were trained, and the exits.
    everyone: `device_tests.People`.
    lives: {arm: sessions of a device, as of `replay.run`}.
  """
  palm = run.palms.evaluation.images[:1]
  times = {name: _milliseconds(one, palm) for name, one in networks.items()}
  facts = run_facts.write(
    run.workdir, skipped=run.palms.skipped, ms_per_image=times
  )
  models = results['models']
  for name, milliseconds in times.items():
    models[name] = {**models[name], 'ms/image': {'value': milliseconds}}
  words = headline(models, len(run.palms.evaluation.identities))
  html.write(
    run.workdir / 'report.html',
    title=f'palmjax · distill · seed {run.config.seed}',
    headline=words,
    summary=_summary(run),
    highlights=_highlights(models, facts),
    sections=[
      _rates(run, models, scores),
      _exits(models, networks),
      device_report.rates(run, models, everyone),
      *device_report.sessions(lives),
      device_report.templates(models),
      certainty.figures(models, scores, {**NAMES, **CONTROLS}),
      device_report.pictures(run),
      _training(logs.read(run.workdir / 'metrics.jsonl')),
      run_facts.endings(results['ended']),
      html.Values('Configuration', run.config.to_dict()),
      html.Values('Run', facts),
    ],
  )
  run_facts.announce(run.workdir, words)


def headline(models, identities):
  """What came out: the distilled student beside the one that was alone.

  Args:
    models: what metrics.json holds.
    identities: number of those that were tested.
  """
  cells = models[training.DISTILLED]
  ratio = cells[f'eer/{training.ALONE}']
  if ratio['value'] is None:
    words = 'EER of the distilled student to that of the student alone: ' + (
      metrics.show_ratio(ratio, cells['eer'], models[training.ALONE]['eer'])
      + '.'
    )
  else:
    words = metrics.ratio_in_words(
      ratio, model='the distilled student', baseline='the student alone'
    )
  return words + run_facts.caution(identities, 'identities')


def _highlights(models, facts):
  shown = [
    html.Highlight(
      f'EER, distilled / {words}',
      metrics.show_ratio(
        models[training.DISTILLED][f'eer/{name}'],
        models[training.DISTILLED]['eer'],
        models[name]['eer'],
      ),
      'paired, 95 % interval over identities',
    )
    for name, words in (
      (training.ALONE, 'alone'),
      (training.PLACEBO, 'placebo'),
    )
  ]
  return [
    *shown,
    html.Highlight(
      'Gap to the teacher closed',
      metrics.show(models[training.DISTILLED]['gap closed'], unit='%'),
      'of the EER between the student alone and the teacher; the placebo '
      + metrics.show(models[training.PLACEBO]['gap closed'], unit='%'),
    ),
    html.Highlight(
      'Time',
      run_facts.minutes(sum(facts['seconds'].values())),
      'training, without measuring; this machine',
    ),
  ]


def _milliseconds(network, image):
  network.embed(image)
  seconds = []
  for _ in range(_TIMED):
    start = time.perf_counter()
    network.embed(image)
    seconds.append(time.perf_counter() - start)
  return 1e3 * min(seconds)


def _summary(run):
  config, labelled = run.config, run.palms.labelled
  steps, batch = config.student.cnn.steps, config.student.cnn.batch_size
  start = config.teacher.cnn.start or 'random'
  return (
    f'The teacher started from {start} weights. All networks learned from '
    f'{len(labelled.labels)} images of {len(labelled.identities)} identities, '
    f'taught students also from {len(run.palms.unlabelled)} images without '
    'labels. '
    f'The students have equal first weights and batches: {steps} steps of '
    f'{batch}. Intervals are over the identities of the test; one seed says '
    'nothing of other seeds (launch/sweep.py runs three).'
  )


def _columns(run, rows):
  columns = [html.Column('eer', 'EER', '%', better='lower')]
  for fmr in run.config.evaluation.fmrs:
    key = verification.fnmr_name(fmr)
    if any(row[key]['value'] is not None for row in rows.values()):
      columns.append(
        html.Column(
          key, f'FNMR at FMR {error_rates.short(fmr)}', '%', 1, 'lower'
        )
      )
  return columns


def _rates(run, models, scores):
  rows = {name: models[key] for key, name in {**NAMES, **CONTROLS}.items()}
  pairs = scores[training.DISTILLED]
  return html.Table(
    'Error rates',
    [
      *_columns(run, rows),
      html.Column('gap closed', 'Gap closed', '%', 0),
      html.Column('params', 'Parameters', digits=0),
      html.Column('ms/image', 'Time', 'ms', 2),
    ],
    rows,
    text=(
      f'All pairs of {len(run.palms.evaluation.labels)} images of '
      f'{len(run.palms.evaluation.identities)} identities that no student was '
      f'trained on: {len(pairs.genuine):,} genuine, {len(pairs.impostor):,} '
      'impostor. Gap closed: share of the EER between the student alone and '
      'the teacher that is gone. Parameters are those that a decision by the '
      'exported exit reads, time that of one palm on this machine. In brackets '
      'the 95 % interval over identities; a star marks a value whose interval '
      'lies apart from all others.'
    ),
  )


def _exits(models, networks):
  rows = {
    name.partition(', ')[2].capitalize(): models[name]
    for name in networks
    if name.startswith(f'{training.DISTILLED}, exit')
  }
  return html.Table(
    'Exits of the distilled student',
    [
      html.Column('eer', 'EER', '%'),
      html.Column('params', 'Parameters', digits=0),
      html.Column('ms/image', 'Time', 'ms', 2),
    ],
    rows,
    text=(
      'Each exit alone. An early one computes less, and the device may be told '
      'to use it: --config.student.network.exit.'
    ),
  )


def _training(rows):
  terms = {
    # Short: legends stand beside each other.
    'labels': 'loss/classification',
    'logits': 'loss/logits',
    'embeddings': 'loss/embeddings',
  }
  return html.Figures(
    'Training',
    [
      plots.losses(
        {
          words: plots.series(rows, training.DISTILLED, key)
          for words, key in terms.items()
        },
        title='Terms, distilled student',
      ),
      plots.losses(
        {
          name.removeprefix('student_'): plots.series(rows, name, 'accuracy')
          for name in training.TEACHERS
        },
        title='Accuracy on the batch',
      ),
    ],
    'Running means; raw values behind.',
  )
