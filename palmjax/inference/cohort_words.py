"""Text that palmjax.calibrate prints: table of thresholds, limits."""

from palmjax.evals.recognition import error_rates
from palmjax.inference import palm_warnings


def table(summary):
  """Lines: an FMR, its threshold, where it comes from, and FNMR if known."""
  known = 'genuine_pairs' in summary
  lines = [
    f'{"FMR":>6} {"threshold":>10}  {"from":12}'
    + ('  FNMR [95 % interval]' if known else '')
  ]
  for row in summary['rates']:
    source = 'measured' if row['measured'] else 'extrapolated'
    line = (
      f'{error_rates.short(row["fmr"]):>6} {row["threshold"]:10.3f}  '
      f'{source:12}'
    )
    lines.append(f'{line}  {rate(row["fnmr"])}' if known else line.rstrip())
  return lines


def rate(fnmr):
  """Formats an FNMR with interval: '1.2 % [0.4, 3.1], 6 of 500 pairs'."""
  low, high = (100 * fnmr[key] for key in ('low', 'high'))
  return (
    f'{100 * fnmr["value"]:.1f} % [{low:.1f}, {high:.1f}], '
    f'{fnmr["missed"]:,} of {fnmr["pairs"]:,} pairs'
  )


def limits(summary):
  """Sentences: extrapolated FMRs, and how many palms would measure them."""
  extrapolated = [
    error_rates.short(row['fmr'])
    for row in summary['rates']
    if not row['measured']
  ]
  texts = []
  if extrapolated:
    texts.append(
      f'{summary["palms"]} palms: {_listed(extrapolated)} extrapolated from '
      'the scores of the pairs that look most alike'
    )
  if summary['needed']:
    needed = _listed(
      f'{error_rates.short(row["fmr"])} takes {row["palms"]:,} palms'
      for row in summary['needed']
    )
    texts.append(f'to measure {needed}')
  return texts


def text(answer):
  """Whole output of the command; `answer` is a summary and its files."""
  pairs = (
    f'{answer["palms"]} palms, {answer["pairs"]:,} pairs of different palms'
  )
  if 'genuine_pairs' in answer:
    pairs += (
      f'; {answer["genuine_pairs"]:,} pairs of one palm, of '
      f'{answer["genuine_palms"]} palms'
    )
  return '\n'.join(
    [
      *(f'left out: {reason}' for reason in answer['left_out']),
      pairs,
      *table(answer),
      *limits(answer),
      f'{answer["cohort"]}: templates of these palms, no images. They are '
      'biometric data: keep the file as such',
      f'{answer["report"]}: look there whether the pairs that look most alike '
      'are two palms, and whether the fingers point up',
      *([palm_warnings.BACKS] if answer['photos'] else []),
      f'next: {answer["next"]}',
    ]
  )


def _listed(texts):
  *most, last = texts
  return f'{", ".join(most)} and {last}' if most else last
