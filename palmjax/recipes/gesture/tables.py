"""The tables of the report of the recipe `gesture`."""

from palmjax.report import html

# The control first: it is drawn in grey.
NAMES = {
  'student_alone': 'Student alone',
  'student_teacher1': 'Student of teacher 1',
  'student_teacher2': 'Student of teacher 2',
  'student_both': 'Student of both',
  'teacher1': 'Teacher 1 (bigger)',
  'teacher2': 'Teacher 2 (larger images)',
}


def detection(run, models, names, times, test):
  """All models on one test.

  Args:
    run: `hand_training.HandRun`.
    models: what metrics.json holds of them.
    names: of `NAMES`.
    times: {name: milliseconds for an image alone}.
    test: suffix of the test.
  """
  arrays = run.hands.tests[test]
  palms = arrays['framed'] & arrays['facing'] & arrays['valid']
  columns = [
    html.Column(key, title, '%', 1, 'higher')
    for key, title in {
      'ap': 'AP',
      'ap50': 'AP50',
      'ap75': 'AP75',
      'ap50@any': 'AP50 of any class',
      'palm_frame@5%': 'Palm frames within 5 %',
    }.items()
  ]
  if run.config.palm_frame.steps:
    columns.append(
      html.Column(
        'palm_frame@5%@read', 'Palm frames within 5 %, read', '%', 1, 'higher'
      )
    )
  columns += [
    html.Column('fta', 'FTA', '%', 1),
    html.Column('params', 'Parameters', digits=0),
    html.Column('ms/image', 'Time', 'ms', 1),
  ]
  return html.Table(
    f'Detection{test}',
    columns,
    {
      NAMES[name]: models[name + test] | {'ms/image': times[name]}
      for name in names
    },
    text=(
      f'{len(palms):,} images that no network was trained on, with '
      f'{arrays["valid"].sum():,} hands, of which {palms.sum():,} have a known '
      'palm frame and face the camera. A palm frame is found where both '
      'valleys are within 5 % of the palm width; read: after the '
      'reader of palm frames has corrected it. FTA: images with hands of '
      f'which none was found with a score of {run.config.evaluation.score:g} '
      'or more. Time: '
      'one image alone, the fastest of several, from pixels to boxes. In '
      'brackets the 95 % interval over images; a star marks a value whose '
      'interval lies apart from all others.'
    ),
  )


def classes(run, models, names, test):
  """AP of each class, of all models on one test."""
  return html.Table(
    f'AP of each class{test}',
    [html.Column(name, NAMES[name], '%', 1, 'higher') for name in names],
    {
      label: {name: models[name + test][f'ap@class={label}'] for name in names}
      for label in run.hands.classes
    },
    corner='Class',
  )
