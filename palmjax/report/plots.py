"""Figures of the report as inline SVG that follows the page's colours.

Drawn with matplotlib's objects, never with pyplot: nothing global is left
behind.
"""

import statistics
from collections.abc import Iterable, Mapping

import matplotlib
import numpy as np

from palmjax.report import html, metrics, svg

_LARGEST = 0.5  # Where the axes end.
_TICKS = (1e-5, 1e-4, 1e-3, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4)
_BARS = 60  # Of a histogram.
_MOST_POINTS = 300  # Of a line: more cannot be seen.
_INTERVAL = ('value', 'low', 'high')


def det(
  curves: Mapping[str, tuple],
  *,
  title='DET',
  rates=('False match rate', 'False non-match rate'),
) -> html.Figure:
  """Detection error trade-off on normal deviate axes.

  Args:
    curves: label → (fmr [P], fnmr [P]), as `error_rates.det_points` gives
      them; the first of several, the baseline, is grey. One without points is
      left out and named in the caption.
    title: of the figure.
    rates: what the axes are called.

  Returns:
    `html.Figure`; dots mark the equal error rates.
  """
  drawn, absent = {}, []
  for label, (fmr, fnmr) in curves.items():
    inside = (fmr > 0) & (fmr <= _LARGEST) & (fnmr > 0) & (fnmr < 1)
    if inside.any():
      drawn[label] = _deviates(fmr[inside]), _deviates(fnmr[inside])
    else:
      absent.append(label)
  caption = (
    f'No curve: too few pairs or errors for {_list(absent)}.' if absent else ''
  )

  with matplotlib.rc_context(svg.STYLE):
    figure, axes = svg.axes(title, height=4.3)
    low, high = _deviates([1e-3, _LARGEST])
    limits = [(low, high), (low, high)]
    for color, label in zip(_colors(curves), curves, strict=False):
      if label not in drawn:
        continue
      x, y = drawn[label]
      axes.plot(x, y, color=color, label=label)
      if (x >= y).any():
        at = np.argmax(x >= y)  # The point next to the equal error rate.
        axes.plot(x[at], y[at], 'o', color=color, mec=svg.CARD, ms=6, zorder=9)
    if drawn:
      limits = [
        (min(points[side].min() for points in drawn.values()) - 0.1, high)
        for side in (0, 1)
      ]
      axes.legend(loc='best')
    axes.axline((0, 0), slope=1, color=svg.MUTED, lw=0.8, ls=(0, (2, 3)))
    for axis, (low, high) in zip((axes.xaxis, axes.yaxis), limits, strict=True):
      ticks = [t for t in _TICKS if low <= _deviates([t])[0] <= high]
      names = [f'{100 * t:g}\N{NO-BREAK SPACE}%' for t in ticks]
      axis.set_ticks(_deviates(ticks), names)
    axes.set(
      xlim=limits[0],
      ylim=limits[1],
      xlabel=rates[0],
      ylabel=rates[1],
    )
    alt = f'{title}: curves of {_list(drawn) or "no model"}.'
    return html.Figure(svg.finish(figure), alt, caption, tall=True)


def precision_recall(curves: Mapping[str, tuple], *, title) -> html.Figure:
  """Precision against recall of detectors.

  Args:
    curves: label → (recall [P], precision [P]), shares; the first of several,
      the baseline, is grey.
    title: of the figure.

  Returns:
    `html.Figure`.
  """
  with matplotlib.rc_context(svg.STYLE):
    figure, axes = svg.axes(title, height=3.2)
    for color, (label, (recall, precision)) in zip(
      _colors(curves), curves.items(), strict=False
    ):
      axes.plot(recall, precision, color=color, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel='Recall', ylabel='Precision')
    if curves:
      axes.legend(loc='best')
    alt = f'{title}: precision-recall curves of {_list(curves) or "no model"}.'
    return html.Figure(svg.finish(figure), alt)


def histogram(
  genuine,
  impostor,
  *,
  title,
  threshold=None,
  limits=None,
) -> html.Figure:
  """Densities of genuine and impostor similarities.

  Args:
    genuine: float [G].
    impostor: float [I].
    title: of the figure, e.g. the model.
    threshold: marked by a line, e.g. `error_rates.eer_threshold`.
    limits: (low, high) of the similarity; the same for figures to compare.

  Returns:
    `html.Figure`.
  """
  if limits is None:
    both = np.concatenate([genuine, impostor])
    limits = float(both.min()), float(both.max())
  if limits[0] == limits[1]:  # Of a network that collapsed.
    limits = limits[0] - 0.5, limits[1] + 0.5
  edges = np.linspace(*limits, _BARS + 1)
  with matplotlib.rc_context(svg.STYLE):
    figure, axes = svg.axes(title, height=2.4)
    for scores, color, label in (
      (impostor, svg.SERIES[0], 'impostor'),
      (genuine, svg.SERIES[1], 'genuine'),
    ):
      density, _ = np.histogram(scores, edges, density=True)
      axes.stairs(density, edges, fill=True, color=color, alpha=0.3, lw=0)
      axes.stairs(density, edges, color=color, lw=1.3, label=label)
    if threshold is not None:
      axes.axvline(threshold, color=svg.INK, lw=0.9, ls=(0, (4, 3)))
      axes.annotate(
        f'threshold {threshold:.2f}',
        (threshold, 1),
        xycoords=('data', 'axes fraction'),
        xytext=(4, -8),
        textcoords='offset points',
        fontsize=8,
      )
    axes.set(xlabel='Similarity', yticks=[], xlim=limits)
    axes.set_ylim(bottom=0)
    axes.spines['left'].set_visible(False)
    svg.legend_above(axes)
    alt = f'{title}: score histograms of genuine and impostor pairs.'
    return html.Figure(svg.finish(figure), alt)


def losses(lines: Mapping[str, tuple], *, title, log=False) -> html.Figure:
  """Curves over training steps: a running mean, the raw values behind it.

  Args:
    lines: label → (steps [S], values [S]), e.g. from `series`. Values that are
      not finite are left out.
    title: of the figure.
    log: a logarithmic value axis.

  Returns:
    `html.Figure`.
  """
  with matplotlib.rc_context(svg.STYLE):
    figure, axes = svg.axes(title, height=2.4)
    for color, (label, (steps, values)) in zip(
      svg.colors(1), lines.items(), strict=False
    ):
      steps, values = np.asarray(steps), np.asarray(values, np.float64)
      finite = np.isfinite(values)
      steps, values = steps[finite], values[finite]
      if not len(steps):
        continue
      smooth = running_mean(values)
      some = np.unique(
        np.linspace(0, len(steps) - 1, _MOST_POINTS).round().astype(int)
      )
      axes.plot(steps[some], values[some], color=color, alpha=0.3, lw=0.8)
      axes.plot(steps[some], smooth[some], color=color, label=label)
    if log:
      axes.set_yscale('log')
      axes.yaxis.set_major_formatter('{x:g}')
      axes.yaxis.set_minor_formatter('')
    axes.set_xlabel('Step')
    axes.margins(x=0)
    if len(axes.get_legend_handles_labels()[1]) > 1:
      svg.legend_above(axes)
    alt = f'{title} over training steps: {_list(lines)}.'
    return html.Figure(svg.finish(figure), alt)


def intervals(
  cells: Mapping[str, Mapping], *, title, unit='', digits=2
) -> html.Figure:
  """One metric of several models: a dot and its interval each.

  Args:
    cells: label → metric (see report/metrics.py); the first, the baseline, is
      grey. One without a number is shown as its reason.
    title: of the figure.
    unit: '%' shows shares as per cent.
    digits: after the point.

  Returns:
    `html.Figure`.
  """
  factor = 100.0 if unit == '%' else 1.0
  shown = {
    label: metrics.show(metric, unit=unit, digits=digits)
    for label, metric in cells.items()
  }
  with matplotlib.rc_context(svg.STYLE):
    figure, axes = svg.axes(title, height=0.8 + 0.42 * len(cells))
    for row, (color, (label, metric)) in enumerate(
      zip(svg.colors(), cells.items(), strict=False)
    ):
      if metric['value'] is not None:
        value, low, high = (
          factor * metric.get(key, metric['value'])
          for key in ('value', 'low', 'high')
        )
        axes.plot([low, high], [row, row], color=color, lw=3, alpha=0.45)
        axes.plot(value, row, 'o', color=color, mec=svg.CARD, ms=7)
      axes.annotate(
        shown[label],
        (1, row),
        xycoords=('axes fraction', 'data'),
        xytext=(0, 8),
        textcoords='offset points',
        ha='right',
        fontsize=8,
        color=svg.MUTED,
      )
    axes.set_yticks(range(len(cells)), list(cells))
    axes.set_ylim(len(cells) - 0.5, -0.6)
    axes.tick_params(axis='y', labelcolor=svg.INK)
    axes.grid(visible=False, axis='y')
    axes.spines['left'].set_visible(False)
    axes.margins(x=0.08)
    axes.set_xlabel(unit)
    alt = f'{title}: ' + '; '.join(f'{k} {v}' for k, v in shown.items()) + '.'
    return html.Figure(svg.finish(figure), alt)


def bands(
  x, lines: Mapping[str, Iterable[Mapping]], *, title, label
) -> html.Figure:
  """Shares with intervals against a number.

  Args:
    x: float [P], rising.
    lines: label → P metrics (see report/metrics.py); the first, the baseline,
      is grey. Those without a number are left out.
    title: of the figure.
    label: of the horizontal axis.

  Returns:
    `html.Figure`.
  """
  with matplotlib.rc_context(svg.STYLE):
    figure, axes = svg.axes(title, height=3.2)
    for color, (name, cells) in zip(
      _colors(lines), lines.items(), strict=False
    ):
      known = [
        (at, *(cell.get(key, cell['value']) for key in _INTERVAL))
        for at, cell in zip(x, cells, strict=True)
        if cell['value'] is not None
      ]
      if not known:
        continue
      at, value, low, high = np.array(known).T
      axes.fill_between(at, 100 * low, 100 * high, color=color, alpha=0.15)
      axes.plot(at, 100 * value, 'o-', color=color, ms=4, label=name)
    axes.set(xlabel=label, ylabel='%')
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    if axes.get_legend_handles_labels()[1]:
      axes.legend(loc='best')
    alt = f'{title} against {label}: {_list(lines)}.'
    return html.Figure(svg.finish(figure), alt)


def series(rows: Iterable[Mapping], stage: str, name: str):
  """(steps [S], values [S]) of a stage's metric from rows of metrics.jsonl."""
  found = [
    (row['step'], row[name])
    for row in rows
    if row['stage'] == stage and row.get(name) is not None
  ]
  steps, values = np.array(found, np.float64).reshape(-1, 2).T
  return steps.astype(np.int64), values


def _colors(curves):
  """Of the curves; one alone is no baseline."""
  return svg.colors(first=int(len(curves) == 1))


def _deviates(rates):
  return np.array([statistics.NormalDist().inv_cdf(rate) for rate in rates])


def running_mean(values):
  """Mean of the last fortieth of the run, at each value."""
  window = max(1, len(values) // 40)
  sums = np.cumsum(np.concatenate([[0.0], values]))
  ends = np.arange(1, len(values) + 1)
  starts = np.maximum(ends - window, 0)
  return (sums[ends] - sums[starts]) / (ends - starts)


def _list(names):
  return ', '.join(names)
