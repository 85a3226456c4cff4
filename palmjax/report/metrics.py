"""Metrics as text: value, interval, and whether one stands out.

A metric is what metrics.json holds: {'value', 'low', 'high'}, {'value', 'std'},
{'value'}, or {'value': None, 'reason'}. What was not measurable is shown as its
reason, never as a number.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

Tone = Literal['good', 'bad', 'open']
Better = Literal['lower', 'higher']


def show(metric, *, unit='', digits=2) -> str:
  """'4.20 % [3.10, 5.40]', '0.10 ± 0.02', or the reason there is no number."""
  number, interval, reason = parts(metric, unit=unit, digits=digits)
  return reason or f'{number} {interval}'.rstrip()


def show_ratio(ratio, value, baseline) -> str:
  """The ratio of two equal error rates, or both where there is no ratio.

  Args:
    ratio: metric.
    value: metric of the model, a share.
    baseline: metric of what it is compared with.
  """
  if ratio['value'] is not None:
    return show(ratio)
  return f'{_bare(value)} to {_bare(baseline)}'


def _bare(share):
  """A share as per cent, without its interval."""
  number, _, reason = parts(share, unit='%')
  return number or reason


def ratio_in_words(ratio, *, model, baseline) -> str:
  """A sentence about the ratio of two equal error rates of one run.

  No verdict: the interval is over identities, and another training may differ
  by more.

  Args:
    ratio: metric, of the model's rate to the baseline's; below 1 is better.
    model: name of the model.
    baseline: name of what it is compared with.
  """
  if ratio['value'] is None:
    return f'EER of {model} over that of {baseline}: {ratio["reason"]}.'
  return (
    f'EER of {model} is {ratio["value"]:.2f} times that of {baseline} '
    f'in this run (95 % interval over identities: {ratio["low"]:.2f} to '
    f'{ratio["high"]:.2f}).'
  )


def difference_in_words(gain, *, model, baseline) -> str:
  """A sentence about the difference of two average precisions of one run.

  No verdict, as in `ratio_in_words`; the interval is over images.

  Args:
    gain: metric, AP of the model minus that of the baseline.
    model: name of the model.
    baseline: name of what it is compared with.
  """
  what = f'AP of {model} minus that of {baseline}'
  if gain['value'] is None:
    return f'{what}: {gain["reason"]}.'
  value, low, high = (f'{100 * gain[k]:+.1f}' for k in ('value', 'low', 'high'))
  return (
    f'{what} is {value} points in this run (95 % interval over images: {low} '
    f'to {high}).'
  )


def parts(cell, *, unit='', digits=2) -> tuple[str, str, str]:
  """Splits a cell into (number, interval, reason); what it lacks is ''.

  Args:
    cell: metric, number, text, or None (a dash).
    unit: '%' shows 0.042 as '4.20 %'; any other text follows the number.
    digits: after the point; integers have none.
  """
  if cell is None:
    return '', '', '–'
  if isinstance(cell, str):
    return cell, '', ''
  metric = cell if isinstance(cell, Mapping) else {'value': cell}
  if metric['value'] is None:
    return '', '', metric['reason']

  def text(value):
    if isinstance(value, int):
      return f'{value:,}'
    if not math.isfinite(value):
      return 'not finite'
    return f'{100.0 * value if unit == "%" else value:.{digits}f}'

  number = text(metric['value'])
  if unit:
    number += f'\N{NO-BREAK SPACE}{unit}'
  if 'low' in metric:
    return number, f'[{text(metric["low"])}, {text(metric["high"])}]', ''
  if 'std' in metric:
    return number, f'±\N{NO-BREAK SPACE}{text(metric["std"])}', ''
  return number, '', ''


def stands_out(
  cells: Mapping[str, Any], name, *, better: Better | None
) -> bool:
  """Whether `name` is the best cell, its interval apart from all others.

  Cells without an interval say nothing and are passed over.
  """
  intervals = {
    other: cell
    for other, cell in cells.items()
    if isinstance(cell, Mapping) and 'low' in cell
  }
  if better is None or name not in intervals or len(intervals) < 2:
    return False
  mine = intervals.pop(name)
  if better == 'lower':
    return all(mine['high'] < other['low'] for other in intervals.values())
  return all(mine['low'] > other['high'] for other in intervals.values())
