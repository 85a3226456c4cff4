"""The report of `palmjax.calibrate`: scores of a camera's palms, drawn.

It is made of arrays and plain values. It holds no image of a palm.
"""

from palmjax.report import cohort_figures, html, plots

_SCORES = (
  'Each pair of different palms, an impostor pair, has a score: higher is more '
  'alike. Two palms are called one from the threshold on. The fused score is '
  'what decides; below are its parts. Parts are compared less what all of '
  'these palms have in common, and less means that neither palm is in.'
)
_WITHOUT = (
  'What palmjax.verify does with these palms if it gets no cohort. The score '
  'is of the two codes alone. Its thresholds come from other palms and are '
  'careful: more palms are called different than need be.'
)
_DIRECTIONS = (
  'The mean direction of lines in each of 32 × 32 cells, over all palms. A '
  'longer stroke means that the palms agree more. Fingers must point up, and '
  'the three principal lines must run across and around the ball of the '
  'thumb. A picture turned by 90° means that the images lie on their side: '
  'turn them and calibrate again. A picture without any order means that the '
  'palms lie in no common frame.'
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
  known = study.genuine is not None
  sections = [
    _table(summary, known),
    html.Figures(
      'Scores',
      cohort_figures.scores(study, summary['rates']),
      text=_SCORES,
    ),
    html.Figures(
      'Without a cohort',
      [cohort_figures.careful(study, summary['without'])],
      text=_WITHOUT,
    ),
    html.Figures(
      'Directions of lines',
      [
        cohort_figures.directions(study.cohort.means.fine, title='fine lines'),
        cohort_figures.directions(study.cohort.means.wide, title='wide lines'),
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
  if known:
    curves = html.Figures(
      'Error rates',
      [plots.det(study.det, title='DET')],
      text='How often a palm is not recognised (FNMR), against how often two '
      'different palms are called one (FMR), over all thresholds. Rates that '
      'fewer than 30 false matches would make are left out.',
    )
    sections.insert(2, curves)
  html.write(
    path,
    title=f'Cohort of {summary["set"]}',
    headline=_headline(summary),
    tone='good' if _measures(summary, 1e-3) else 'open',
    summary='. '.join(note[0].upper() + note[1:] for note in notes),
    highlights=_highlights(summary),
    sections=sections,
    footer='The cohort beside this report holds templates of these palms, by '
    'which they can be recognised: biometric data. This report holds numbers, '
    'names of files and mean directions.',
  )


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
  found = [
    html.Highlight('Palms', f'{summary["palms"]:,}'),
    html.Highlight('Impostor pairs', f'{summary["pairs"]:,}'),
  ]
  for row in summary['rates']:
    if _name(row['fmr']) == '1e-3':
      how = 'measured' if row['measured'] else 'extrapolated'
      found.append(
        html.Highlight('Threshold for 1e-3', f'{row["threshold"]:.2f}', how)
      )
      if 'fnmr' in row:
        fnmr = row['fnmr']
        found.append(
          html.Highlight(
            'FNMR at 1e-3',
            f'{100 * fnmr["value"]:.1f}\N{NO-BREAK SPACE}%',
            f'{100 * fnmr["low"]:.1f} to {100 * fnmr["high"]:.1f}',
          )
        )
  return found


def _table(summary, known):
  """Thresholds with the cohort, and without it, by FMR."""
  columns = [
    html.Column('threshold', 'Threshold'),
    html.Column('source', 'From'),
    html.Column('fmr', 'Of these pairs', '%', 3),
  ]
  if known:
    columns.append(html.Column('fnmr', 'FNMR', '%', 1))
  columns += [
    html.Column('careful', 'Threshold without a cohort'),
    html.Column('careful_fmr', 'Of these pairs, without', '%', 3),
  ]
  if known:
    columns.append(html.Column('careful_fnmr', 'FNMR without', '%', 1))
  without = {row['fmr']: row for row in summary['without']}
  rows = {}
  for row in summary['rates']:
    careful = without.get(row['fmr'], {})
    rows[f'FMR {_name(row["fmr"])}'] = {
      'threshold': row['threshold'],
      'source': 'measured' if row['measured'] else 'extrapolated',
      'fmr': row['fmr_found'],
      'fnmr': row.get('fnmr'),
      'careful': careful.get('threshold'),
      'careful_fmr': careful.get('fmr_found'),
      'careful_fnmr': careful.get('fnmr'),
    }
  return html.Table(
    'Thresholds',
    columns,
    rows,
    corner='Asked for',
    text='Thresholds stand at the careful end of a 90 % bootstrap over palms, '
    'so fewer of these pairs reach them than were asked for. The two kinds of '
    'thresholds are of different scores.',
  )


def _name(fmr):
  return f'{fmr:.0e}'.replace('e-0', 'e-')
