"""The report of the recipe `gesture`: what do two teachers add to a student?"""

import time

import numpy as np

from palmjax.engine import logs
from palmjax.evals.detection import average_precision
from palmjax.losses import palm_frame as palm_frame_losses
from palmjax.recipes.gesture import palm_frame as palm_frame_stage
from palmjax.recipes.gesture import pictures as gesture_pictures
from palmjax.recipes.gesture import tables as gesture_tables
from palmjax.recipes.shared import run_facts
from palmjax.report import html, metrics, plots

_LINES = 5  # In a figure: as many colours are told apart.
_TIMED = 20  # The fastest of so many passes counts.


def write(run, scores, results, *, looks):
  """Writes run.json and report.html into the workdir.

  Args:
    run: `hand_training.HandRun`.
    scores: {(model, suffix of the test): `gesture_scores.Scores`}.
    results: what metrics.json holds.
    looks: {model: `networks.hand.HandDetector`}.
  """
  names = [name for name in gesture_tables.NAMES if name in looks]
  image = run.hands.tests['']['image'][:1]
  times = {name: _milliseconds(looks[name].detect, image) for name in names}
  facts = run_facts.write(
    run.workdir, skipped=run.hands.skipped, ms_per_image=times
  )
  models = results['models']
  # The student with most teachers.
  student = [name for name in names if name in run.config.arms][-1]
  headline = _headline(models, student) + run_facts.caution(
    len(run.hands.tests['']['image']), 'images'
  )
  html.write(
    run.workdir / 'report.html',
    title=f'palmjax · gesture · seed {run.config.seed}',
    headline=headline,
    summary=_summary(run),
    highlights=_highlights(models, student, facts),
    sections=[
      *(
        gesture_tables.detection(run, models, names, times, test)
        for test in run.hands.tests
      ),
      *(
        gesture_tables.classes(run, models, names, test)
        for test in run.hands.tests
      ),
      *(_curves(models, scores, names, test) for test in run.hands.tests),
      *(
        gesture_pictures.hands(run, scores, student, test)
        for test in run.hands.tests
      ),
      _training(
        logs.read(run.workdir / 'metrics.jsonl'),
        names,
        student,
        reader=bool(run.config.palm_frame.steps),
      ),
      run_facts.endings(results['ended']),
      html.Values('Configuration', run.config.to_dict()),
      html.Values('Run', facts),
    ],
  )
  run_facts.announce(run.workdir, headline)


def _milliseconds(detect, image):
  seconds = []
  for _ in range(_TIMED):
    start = time.perf_counter()
    detect(image)
    seconds.append(time.perf_counter() - start)
  return 1e3 * min(seconds)


def _headline(models, student):
  cells = models[student]
  if 'ap - alone' in cells:
    return metrics.difference_in_words(
      cells['ap - alone'],
      model='the student of both teachers',
      baseline='the student alone',
    )
  ap = metrics.show(cells['ap'], unit='%', digits=1)
  return f'{gesture_tables.NAMES[student]}: AP {ap} in this run.'


def _summary(run):
  config, hands = run.config, run.hands
  size = config.image_size
  return (
    f'Every network learned from {len(hands.training["image"]):,} images, '
    f'{config.train.steps} steps of {config.train.batch_size}, of '
    f'{size} × {size} pixels; teacher 2 sees them '
    f'{config.resolution.factor} times as large. Students start from the same '
    'weights and see the same batches. Intervals are over the images of the '
    'test; one seed says nothing of other seeds (launch/sweep.py runs three).'
  )


def _highlights(models, student, facts):
  cells, highlights = models[student], []
  if 'ap - alone' in cells:
    highlights.append(
      html.Highlight(
        'AP, both teachers − alone',
        _points(cells['ap - alone']),
        'paired, 95 % interval over images',
      )
    )
  highlights.append(
    html.Highlight(
      f'AP50, {gesture_tables.NAMES[student].lower()}',
      metrics.show(cells['ap50'], unit='%', digits=1),
      'any class ' + _number(cells['ap50@any']),
    )
  )
  if cells['palm_frame@5%']['value'] is not None:
    highlights.append(
      html.Highlight(
        'Palm frames within 5 %',
        _number(cells['palm_frame@5%']),
        'of the palm width, of palms that face the camera',
      )
    )
  milliseconds = facts['ms_per_image'][student]
  return [
    *highlights,
    html.Highlight(
      'Time',
      run_facts.minutes(sum(facts['seconds'].values())),
      f'training; measuring not counted; {milliseconds:.1f} ms an image alone, '
      'this machine',
    ),
  ]


def _points(gain):
  if gain['value'] is None:
    return gain['reason']
  value, low, high = (f'{100 * gain[k]:+.1f}' for k in ('value', 'low', 'high'))
  return f'{value} [{low}, {high}]'


def _number(metric):
  """Without its interval."""
  number, _, reason = metrics.parts(metric, unit='%', digits=1)
  return reason or number


def _curves(models, scores, names, test):
  figures = []
  for title, threshold, part in (
    ('Mean of the classes, IoU .50', 0.5, 'matches'),
    ('Mean of the classes, IoU .75', 0.75, 'matches'),
    ('Any class, IoU .50', 0.5, 'any'),
  ):
    curves = {
      gesture_tables.NAMES[name]: _mean_curve(
        getattr(scores[name, test], part), threshold
      )
      for name in names
    }
    figures.append(plots.precision_recall(curves, title=title))
  figures.append(
    plots.intervals(
      {gesture_tables.NAMES[name]: models[name + test]['ap'] for name in names},
      title='AP',
      unit='%',
      digits=1,
    )
  )
  return html.Figures(
    f'Precision and recall{test}',
    figures,
    'The best precision at that recall or more; the area below a curve is the '
    'average precision at its IoU.',
  )


def _mean_curve(matches, threshold):
  present = np.flatnonzero(matches.truths[0].sum(axis=0))
  if not len(present):
    return np.empty(0), np.empty(0)
  curves = [
    average_precision.precision_recall(
      matches, threshold=threshold, label=label
    )[1]
    for label in present
  ]
  return average_precision.RECALLS, np.mean(curves, axis=0)


def _training(rows, names, student, *, reader):
  def curves(stage, terms):
    return {
      label: plots.series(rows, stage, name) for label, name in terms.items()
    }

  labels = {
    name: plots.series(
      rows, name, 'loss' if name.startswith('teacher') else 'truth'
    )
    for name in names
  }
  parts = ('truth', 'teacher1', 'teacher2')
  figures = [
    plots.losses(
      labels, title='Loss of the labels', log=True, among=tuple(names)
    ),
    plots.losses(
      curves(student, {part: part for part in parts}),
      title=f'Parts, {student}',
      log=True,
    ),
  ]
  metric_names = {
    name for row in rows if row['stage'] == student for name in row
  }
  for part in parts:
    terms = sorted(name for name in metric_names if name.startswith(f'{part}/'))
    levels = [name for name in terms if name.startswith(f'{part}/level')]
    for group in (
      [name for name in terms if name not in levels],
      levels[:_LINES],
      levels[_LINES:],
    ):
      if group:
        lines = {name.removeprefix(f'{part}/'): name for name in group}
        figures.append(
          plots.losses(curves(student, lines), title=f'Terms, {part}', log=True)
        )
  if reader:
    figures.append(
      plots.losses(
        curves(
          palm_frame_stage.NAME,
          {name: f'loss/{name}' for name in palm_frame_losses.WEIGHTS},
        ),
        title='Terms, reader of palm frames',
        log=True,
      )
    )
  return html.Figures(
    'Training',
    figures,
    'Running means; raw values behind. Parts and terms without their weights.',
  )
