"""The tables of the report of the recipe `metric`."""

import numpy as np

from palmjax.data.sets.builders import layout
from palmjax.evals.recognition import (
  claims,
  error_rates,
  identification,
  iso19795,
  verification,
)
from palmjax.recipes.metric import operating
from palmjax.report import html, metrics

# What is compared without learning.
CONTROLS = ('correlation', 'orientation code')

_VERIFIER = (
  'The verifier is what python -m palmjax.verify uses: without a cohort the '
  'orientation codes alone and a careful threshold; with a cohort also the '
  'network, and thresholds of palms of the set. These palms are not among the '
  'tested ones, which are the same in both rows, at most 2,000 images. Images '
  'that look like no palm, or like another one, are left out of the cohort. '
)


def label(name):
  """A model's name in metrics.json, for people."""
  for control in CONTROLS:
    name = name.replace(control, f'{control} (nothing learned)')
  return name[0].upper() + name[1:]


def rates(run, models, compared):
  """Error rates of all models; `models` is what metrics.json holds."""
  rows = {
    label(name): models[name]
    for one in compared
    for name in (*one.scores, *one.counted)
  }
  measured, missing = [], []
  for fmr in run.config.evaluation.fmrs:
    key = verification.fnmr_name(fmr)
    known = any(row[key]['value'] is not None for row in rows.values())
    (measured if known else missing).append(fmr)
  # Rows are of other pairs each, so none of them is marked as best.
  columns = [html.Column('eer', 'EER', '%')]
  columns += [
    html.Column(
      verification.fnmr_name(fmr),
      f'FNMR at FMR {error_rates.short(fmr)}',
      '%',
      1,
    )
    for fmr in measured
  ]
  columns += [html.Column('d_prime', 'd′')]
  absent = ', '.join(map(error_rates.short, missing))
  return html.Table(
    'Error rates',
    columns,
    rows,
    text=(
      ' '.join(map(_pairs, compared))
      + ' The network was trained on none of these identities, as long as no '
      'person is in two sets. Rows "across sessions" count the pairs of two '
      'sessions, rows "across devices" those of two devices. Where every '
      'session had a device of its own, both are the same pairs, and devices '
      'are left out. In brackets the 95 % interval over identities.'
      + (f' Too few pairs to measure an FMR of {absent}.' if absent else '')
    ),
  )


def performance(run, network, compared):
  """Performance report as ISO/IEC 19795-1 asks for, of the first test."""
  test, scores = compared.test, compared.scores['network']
  points = {}
  for fmr in run.config.evaluation.fmrs:
    measurable = error_rates.is_measurable(fmr, len(scores.impostor))
    points[fmr] = (
      error_rates.threshold_at_fmr(scores.impostor, fmr) if measurable else None
    )
  measured = iso19795.performance(
    network,
    points,
    error_rates.det_points(scores.genuine, scores.impostor),
    images=scores.images,
    sessions=_sessions(test),
    failed={name: network[name] for name in ('fte', 'fta')},
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
    for name, row in measured['rates'].items()
    if row['threshold'] is not None
  }
  crew = ', '.join(
    f'{value:,} {name.removesuffix("s") if value == 1 else name}'
    for name, value in measured['crew'].items()
  )
  failed = ', '.join(
    f'{name.upper()} {metrics.show(rate, unit="%")}'
    for name, rate in measured['failures'].items()
  )
  return html.Table(
    'Performance test (ISO/IEC 19795-1)',
    columns,
    rows,
    corner='Asked for',
    text=(
      f'Technology evaluation, offline. {crew}. {failed}: of '
      f'{(test.captured + test.failed).sum():,} images of '
      f'{len(test.captured):,} identities, trained on or not, '
      f'{test.failed.sum():,} could not be read; no other failure is known, as '
      'the images are palms already cut out. Rates that the pairs cannot '
      'support (rule of 30) are left out. FTE: failures to enrol. FTA: '
      'failures to acquire. GFAR, GFRR: share of strangers that pass, and of '
      'owners that are refused, with these failures counted in. FMR claimed / '
      'FMR found, at '
      'thresholds of other palms: '
      + '; '.join(
        f'{error_rates.short(fmr)} / '
        + metrics.show(network[claims.fmr_name(fmr)], unit='%', digits=3)
        for fmr in operating.CLAIMS
      )
      + '.'
    ),
  )


def claimed(models, set_on):
  """FMR found at thresholds for an FMR, of all that has such thresholds.

  Args:
    models: what metrics.json holds.
    set_on: what the thresholds of the network were set on, a sentence.
  """
  columns = [html.Column('eer', 'EER', '%')]
  for fmr in operating.CLAIMS:
    short = error_rates.short(fmr)
    columns += [
      html.Column(claims.fmr_name(fmr), f'{short}: FMR found', '%', 3),
      html.Column(claims.fnmr_name(fmr), f'{short}: FNMR', '%', 1),
    ]
  first = claims.fmr_name(operating.CLAIMS[0])
  rows = {name: model for name, model in models.items() if first in model}
  verified = any(name.startswith('verifier') for name in rows)
  return html.Table(
    'FMR claimed / FMR found',
    columns,
    {label(name): model for name, model in rows.items()},
    text=(
      f'Each threshold is set for an FMR, on other palms. {set_on} '
      f'{_VERIFIER if verified else ""}In brackets the 95 % interval over '
      'identities.'
    ),
  )


def _sessions(test):
  """How many sessions a test has; of images that nobody knows it of, one."""
  known = test.sessions[test.sessions != layout.NO_SESSION]
  return max(1, len(np.unique(known)))


def searches(run, models, compared):
  """Rank-k and FNIR at FPIR of all that was searched."""
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
  every = {}
  for one in compared:
    every |= one.searches
  searched = every['network']
  return html.Table(
    'Identification',
    columns,
    {label(name): models[name] for name in every},
    text=(
      'Every image is searched among all others (mated) and among those of '
      f'other identities (non-mated): {len(searched.mated):,} and '
      f'{len(searched.nonmated):,} searches. Rows "across sessions": images of '
      'the last session are searched among those of the first. Rows "across '
      'devices": images of the last device by name, among those of the first. '
      'Both kinds of rows have mated searches only.'
    ),
  )


def occlusion(run, network):
  """EER against the erased share of every image."""
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


def _pairs(one):
  pairs = one.scores[f'network{one.test.suffix}']
  text = (
    f'All pairs{one.test.suffix} are of {len(one.test.labels):,} images of '
    f'{len(pairs.images):,} identities: {len(pairs.genuine):,} genuine, '
    f'{len(pairs.impostor):,} impostor.'
  )
  for counts, _, labels in one.counted.values():
    text += (
      f' These are the first identities of the test: of all {len(labels):,} '
      f'images the network alone is counted, {len(counts.genuine):,} genuine '
      f'and {counts.impostor.sum():,} impostor pairs.'
    )
  return text
