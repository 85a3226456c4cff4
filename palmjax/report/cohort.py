"""The report of `palmjax.calibrate`: scores of a camera's palms, drawn.

It is made of arrays and plain values. It holds no image of a palm.
"""

from palmjax.report import cohort_figures, html, score_plots, upright_lines

_THRESHOLDS = (
  'The threshold of palmjax.verify for each FMR. Other palms of this camera '
  'would give somewhat other thresholds. Of few palms a high one of these is '
  'taken, of many one near their middle. docs/results.md of palmjax shows '
  'which FMR strangers had at such thresholds, with cohorts of 40 and of 200 '
  'palms.'
)
_WITHOUT = (
  'What palmjax.verify does with these palms if it gets no cohort. The score '
  'is another one, of the two codes alone. Its thresholds come from palms of '
  'another camera.'
)
_ALONE = (
  'What palmjax.verify --score=network does with these palms. The score is the '
  'cosine of two embeddings. Its thresholds came with the network. They were '
  'set on {set_on}. The last columns show the thresholds of the cohort again, '
  'for the same FMR.'
)
_SCORES = (
  'An impostor pair is two different palms. Each pair has a score: higher is '
  'more alike. palmjax.verify says “same palm” if the score reaches the '
  'threshold. Before two palms are compared, the mean of other palms of this '
  'camera is taken off both.'
)
_DET = (
  ' The DET curve shows how often a palm is not recognised, against how often '
  'two palms are called one.'
)
_DIRECTIONS = (
  'The mean direction of lines in 30 × 30 cells, over all palms. A longer '
  'stroke means that the palms agree more. The last picture is of 256 drawn '
  'palms, left and right ones. If the fingers point up, lines in the middle '
  'run level in the upper part and upright in the lower part. At the border, '
  'photographs also show fingers and background. '
  'Strokes turned by 90° mean that the images lie on their side: turn the '
  'images and calibrate again. Strokes without any order mean that the images '
  'show palms in different places or turns.'
)


def write(path, study, summary, *, notes=()):
  """Writes the report.

  Args:
    path: of the HTML file.
    study: scores of pairs, as `inference.cohort_study.Study` has them.
    summary: of it, plain values.
    notes: sentences on what these palms cannot give.

  Raises:
    OSError: the file cannot be written; an older one stays as it was.
  """
  known, means = study.genuine is not None, study.cohort.means
  network = summary.get('network')
  figures = [
    cohort_figures.fused(study, summary['rates']),
    *([score_plots.det(study.det, title='DET')] if known else ()),
    cohort_figures.careful(study, summary['without']),
    *([cohort_figures.alone(study, summary['network'])] if network else ()),
    *cohort_figures.parts(study),
  ]
  sections = [
    _table('Thresholds', summary['rates'], _THRESHOLDS, known),
    _table('Without a cohort', summary['without'], _WITHOUT, known),
    *([_alone(summary, known)] if network else ()),
    html.Figures('Scores', figures, text=_SCORES + (_DET if known else '')),
    html.Figures(
      'Directions of lines',
      [
        cohort_figures.directions(_inner(means.fine), title='Fine lines'),
        cohort_figures.directions(_inner(means.wide), title='Wide lines'),
        cohort_figures.directions(
          upright_lines.FIELD, title='To compare: drawn palms, fingers up'
        ),
      ],
      text=_DIRECTIONS,
    ),
    html.Values(
      'Palms that look most alike',
      {
        ' and '.join(pair['images']): f'{pair["score"]:.2f}'
        for pair in summary['alike']
      },
      text='Fused scores. Look at these images: if two show one palm, take one '
      'of them out.',
    ),
  ]
  html.write(
    path,
    title=f'Cohort of {summary["set"]}',
    headline=_headline(summary),
    tone='good' if _measures(summary, 1e-3) else 'open',
    summary=' '.join(f'{note[0].upper()}{note[1:]}.' for note in notes),
    highlights=_highlights(summary),
    sections=sections,
    footer='The cohort beside this report holds templates of these palms, by '
    'which they can be recognised: biometric data. This report holds numbers, '
    'names of files and mean directions.',
  )


def _inner(field):
  """Without the outermost cells: the end of the image looks like a line."""
  return field[1:-1, 1:-1]


def _headline(summary):
  measured = [row for row in summary['rates'] if row['measured']]
  last = measured[-1]['fmr'] if measured else None
  palms = f'{summary["palms"]} palms'
  if last is None:
    return f'{palms} measure no false match rate; all are extrapolated'
  return f'{palms} measure false match rates down to {_name(last)}'


def _measures(summary, fmr):
  return any(
    row['measured'] and row['fmr'] <= fmr * (1 + 1e-6)
    for row in summary['rates']
  )


def _highlights(summary):
  highlights = [
    html.Highlight('Palms', f'{summary["palms"]:,}'),
    html.Highlight('Impostor pairs', f'{summary["pairs"]:,}'),
  ]
  for row in summary['rates']:
    if _name(row['fmr']) == '1e-3':
      how = 'measured' if row['measured'] else 'extrapolated'
      highlights.append(
        html.Highlight('Threshold for 1e-3', f'{row["threshold"]:.2f}', how)
      )
      if 'fnmr' in row:
        fnmr = row['fnmr']
        highlights.append(
          html.Highlight(
            'FNMR at 1e-3',
            f'{100 * fnmr["value"]:.1f}\N{NO-BREAK SPACE}%',
            f'{100 * fnmr["low"]:.1f} to {100 * fnmr["high"]:.1f}',
          )
        )
  return highlights


def _table(title, rates, text, known):
  """Thresholds by FMR, and the rates that they give."""
  columns = [html.Column('threshold', 'Threshold')]
  if 'measured' in rates[0]:
    columns.append(html.Column('source', 'From'))
  columns.append(html.Column('fmr_found', 'FMR of these pairs', '%', 3))
  if known:
    columns.append(html.Column('fnmr', 'FNMR of these pairs', '%', 1))
  rows = {
    _unbroken(row['fmr']): {
      **row,
      'source': 'measured' if row.get('measured') else 'extrapolated',
    }
    for row in rates
  }
  return html.Table(title, columns, rows, corner='FMR', text=text)


def _alone(summary, known):
  """The thresholds of the network alone beside those of the cohort."""
  columns, rows = [], {row['fmr']: {} for row in summary['network']}
  for kind, name in (('network', 'Network'), ('rates', 'Cohort')):
    columns += [
      html.Column(f'{kind} threshold', f'{name}: threshold'),
      html.Column(f'{kind} fmr_found', f'{name}: FMR of these pairs', '%', 3),
    ]
    if known:
      columns.append(
        html.Column(f'{kind} fnmr', f'{name}: FNMR of these pairs', '%', 1)
      )
    for row in summary[kind]:
      if row['fmr'] in rows:
        rows[row['fmr']].update({f'{kind} {k}': v for k, v in row.items()})
  return html.Table(
    'The network alone, by the thresholds that came with it',
    columns,
    {_unbroken(fmr): cells for fmr, cells in rows.items()},
    corner='FMR',
    text=_ALONE.format(set_on=summary['network_set_on']),
  )


def _unbroken(fmr):
  """A rate for a narrow column: a hyphen would be the end of a line."""
  return _name(fmr).replace('-', '\N{NON-BREAKING HYPHEN}')


def _name(fmr):
  return f'{fmr:.0e}'.replace('e-0', 'e-')
