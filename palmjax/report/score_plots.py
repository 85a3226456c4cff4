"""Figures of scores and of the errors that a threshold makes of them.

DET curves and histograms, drawn as `report.plots` draws.
"""

import math
import statistics
from collections.abc import Mapping

import matplotlib
import numpy as np

from palmjax.report import html, svg

_LARGEST = 0.5  # Where the axes end.
_WIDEST = 0.1  # Where they begin at the latest: an axis needs two ticks.
_TICKS = (1e-5, 1e-4, 1e-3, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4)
_BARS = 60  # Of a histogram.
_HEADROOM = 1.2  # Height of a histogram's axes: the label lies above the bars.


def det(
  curves: Mapping[str, tuple],
  *,
  title='DET',
  rates=('False match rate', 'False non-match rate'),
  among=(),
) -> html.Figure:
  """Detection error trade-off on normal deviate axes.

  Args:
    curves: label → (fmr [P], fnmr [P]), as `error_rates.det_points` gives
      them; the first of several, the baseline, is grey. One without points is
      left out and named in the caption.
    title: of the figure.
    rates: what the axes are called.
    among: labels of all models of the page, as `svg.line_colors` takes them.

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
    for color, label in zip(
      svg.line_colors(curves, among), curves, strict=True
    ):
      if label not in drawn:
        continue
      x, y = drawn[label]
      axes.plot(x, y, color=color, label=label)
      if (x >= y).any():
        at = np.argmax(x >= y)  # The point next to the equal error rate.
        axes.plot(x[at], y[at], 'o', color=color, mec=svg.CARD, ms=6, zorder=9)
    if drawn:
      limits = [
        (
          min(
            _deviates([_WIDEST])[0],
            *(points[side].min() for points in drawn.values()),
          )
          - 0.1,
          high,
        )
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
    highest = 0.0
    for scores, color, label in (
      (impostor, svg.SERIES[0], 'impostor'),
      (genuine, svg.SERIES[1], 'genuine'),
    ):
      density, _ = np.histogram(scores, edges, density=True)
      highest = max(highest, density.max())
      axes.stairs(density, edges, fill=True, color=color, alpha=0.3, lw=0)
      axes.stairs(density, edges, color=color, lw=1.3, label=label)
    if threshold is not None:
      # Beside the line where there is room, above the bars.
      right = threshold > sum(limits) / 2
      axes.axvline(threshold, color=svg.INK, lw=0.9, ls=(0, (4, 3)))
      axes.annotate(
        f'threshold {threshold:.{_digits(limits)}f}',
        (threshold, 1),
        xycoords=('data', 'axes fraction'),
        xytext=(-4 if right else 4, -8),
        textcoords='offset points',
        ha='right' if right else 'left',
        fontsize=8,
      )
    axes.set(xlabel='Similarity', yticks=[], xlim=limits)
    axes.set_ylim(0, _HEADROOM * highest or 1)
    axes.spines['left'].set_visible(False)
    svg.legend_above(axes)
    alt = f'{title}: score histograms of genuine and impostor pairs.'
    return html.Figure(svg.finish(figure), alt)


def _digits(limits):
  """Digits after the point that tell apart hundredths of a span."""
  return max(2, 2 - math.floor(math.log10(limits[1] - limits[0])))


def _deviates(rates):
  return np.array([statistics.NormalDist().inv_cdf(rate) for rate in rates])


def _list(names):
  return ', '.join(names)
