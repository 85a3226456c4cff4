"""Figures of the report as inline SVG that follows the page's colours.

Drawn with matplotlib's objects, never with pyplot: nothing global is left
behind.
"""

from collections.abc import Iterable, Mapping

import matplotlib
import numpy as np

from palmjax.report import html, metrics, svg

_MOST_POINTS = 300  # Of a line: more cannot be seen.
_INTERVAL = ('value', 'low', 'high')


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
      svg.line_colors(curves), curves.items(), strict=False
    ):
      axes.plot(recall, precision, color=color, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel='Recall', ylabel='Precision')
    if curves:
      axes.legend(loc='best')
    alt = f'{title}: precision-recall curves of {_list(curves) or "no model"}.'
    return html.Figure(svg.finish(figure), alt)


def losses(
  lines: Mapping[str, tuple], *, title, log=False, among=()
) -> html.Figure:
  """Curves over training steps: a running mean, the raw values behind it.

  Args:
    lines: label → (steps [S], values [S]), e.g. from `series`. Values that are
      not finite are left out.
    title: of the figure.
    log: a logarithmic value axis.
    among: labels of all models of the page, as `svg.line_colors` takes them;
      by default no line is the baseline.

  Returns:
    `html.Figure`.
  """
  with matplotlib.rc_context(svg.STYLE):
    figure, axes = svg.axes(title, height=2.4)
    for color, (label, (steps, values)) in zip(
      svg.line_colors(lines, among) if among else svg.colors(1),
      lines.items(),
      strict=False,
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
      svg.line_colors(lines), lines.items(), strict=False
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
  points = [
    (row['step'], row[name])
    for row in rows
    if row['stage'] == stage and row.get(name) is not None
  ]
  steps, values = np.array(points, np.float64).reshape(-1, 2).T
  return steps.astype(np.int64), values


def running_mean(values):
  """Mean of the last fortieth of the run, at each value."""
  window = max(1, len(values) // 40)
  sums = np.cumsum(np.concatenate([[0.0], values]))
  ends = np.arange(1, len(values) + 1)
  starts = np.maximum(ends - window, 0)
  return (sums[ends] - sums[starts]) / (ends - starts)


def _list(names):
  return ', '.join(names)
