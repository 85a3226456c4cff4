"""The report of `palmjax.calibrate`: a camera's scores, drawn.

Takes plain arrays and values. No image of a palm is in it.
"""

from palmjax.report import cohort_figures, html


def write(path, study, summary):
  """Writes the report.

  Args:
    path: of the HTML file.
    study: scores of pairs; attributes as `inference.cohort_study.Study` has.
    summary: of `inference.cohort_study.summary`.

  Raises:
    OSError: the file cannot be written; an older one stays as it was.
  """
  sections = [
    _thresholds(summary),
    html.Figures(
      'Scores',
      cohort_figures.scores(study, summary),
      text='',
    ),
  ]
  html.write(
    path,
    title='Cohort',
    headline=_headline(summary),
    sections=sections,
  )


def _headline(summary):
  return f'{summary["palms"]} palms'


def _thresholds(summary):
  return html.Values(
    'Thresholds',
    {f'{row["fmr"]:g}': row['threshold'] for row in summary['rates']},
  )
