"""Figures of a cohort: scores with thresholds, DET, mean directions."""

import matplotlib
import numpy as np

from palmjax.report import html, svg

_BARS = 80


def scores(study, summary):
  """Histograms of the fused score and of its parts."""
  return []


def _histogram(impostor, genuine, *, title, thresholds=(), label='Score'):
  """Densities of scores, and thresholds as lines with names.

  Args:
    impostor: float [I].
    genuine: float [G] or None.
    title: of the figure.
    thresholds: (name, value).
    label: of the axis.
  """
  both = [impostor] if genuine is None else [impostor, genuine]
  values = np.concatenate([*both, [value for _, value in thresholds]])
  low, high = float(values.min()), float(values.max())
  if low == high:  # Of a network that collapsed.
    low, high = low - 0.5, high + 0.5
  margin = 0.04 * (high - low)
  edges = np.linspace(low, high, _BARS + 1)
  with matplotlib.rc_context(svg.STYLE):
    figure, axes = svg.axes(title, height=2.6)
    for values, color, name in zip(
      both, svg.SERIES[:2], ('impostor', 'genuine'), strict=False
    ):
      density, _ = np.histogram(values, edges, density=True)
      axes.stairs(density, edges, fill=True, color=color, alpha=0.3, lw=0)
      axes.stairs(density, edges, color=color, lw=1.3, label=name)
    for name, value in thresholds:
      axes.axvline(value, color=svg.INK, lw=0.9, ls=(0, (4, 3)))
      axes.annotate(
        name,
        (value, 1),
        xycoords=('data', 'axes fraction'),
        xytext=(3, -8),
        textcoords='offset points',
        fontsize=8,
      )
    axes.set(xlabel=label, yticks=[], xlim=(low - margin, high + margin))
    axes.set_ylim(bottom=0)
    axes.spines['left'].set_visible(False)
    svg.legend_above(axes)
    kinds = 'impostor' if genuine is None else 'impostor and genuine'
    alt = f'{title}: score histograms of {kinds} pairs.'
    return html.Figure(svg.finish(figure), alt)
