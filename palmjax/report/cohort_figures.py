"""Figures of a cohort: scores with thresholds, mean directions of lines."""

import matplotlib
import matplotlib.collections
import numpy as np

from palmjax.report import html, svg

_BARS = 80
_LONGEST = 0.95  # Share of the strokes that are shorter than the longest.
_TITLES = (
  'Part: code of fine lines',
  'Part: code of wide lines',
  'Part: network',
)


def fused(study, rates):
  """Histogram of the fused score, with its thresholds.

  Args:
    study: as `inference.cohort_study.Study`.
    rates: {'fmr', 'threshold'} each.
  """
  genuine = None if study.genuine is None else study.genuine.fused
  return _histogram(
    study.fused, genuine, title='Fused score', thresholds=_pairs(rates)
  )


def careful(study, rates):
  """Histogram of the fused score without a cohort; see `fused`."""
  return _histogram(
    *study.careful,
    title='Fused score without a cohort',
    thresholds=_pairs(rates),
  )


def alone(study, rates):
  """Histogram of the network's cosines, with its thresholds; see `fused`."""
  return _histogram(
    *study.alone, title='Network alone', thresholds=_pairs(rates)
  )


def parts(study):
  """Histograms of the parts of the fused score; see `fused`."""
  genuine = study.genuine
  return [
    _histogram(
      study.impostor[k], None if genuine is None else genuine.parts[k], title=t
    )
    for k, t in enumerate(_TITLES)
  ]


def directions(field, *, title):
  """Mean directions of lines as strokes.

  Args:
    field: float [H, W, 2], (cos 2θ, sin 2θ) averaged, θ across the line, from
      the axis to the right towards the one down.
    title: of the figure.

  Returns:
    `html.Figure`.
  """
  lengths = np.linalg.norm(field, axis=-1)
  along = np.arctan2(field[..., 1], field[..., 0]) / 2 + np.pi / 2
  # A few cells, as those of the border, would leave the others as dots.
  most = max(np.quantile(lengths, _LONGEST), 1e-6)
  half = 0.6 * np.minimum(lengths / most, 1.0)[..., None]
  step = half * np.stack([np.cos(along), np.sin(along)], axis=-1)
  rows, columns = np.indices(lengths.shape)
  centers = np.stack([columns, rows], axis=-1)
  strokes = np.stack([centers - step, centers + step], axis=-2)
  with matplotlib.rc_context(svg.STYLE):
    figure, axes = svg.axes(title, height=4.6)
    axes.add_collection(
      matplotlib.collections.LineCollection(
        strokes.reshape(-1, 2, 2).round(3), colors=svg.INK, linewidths=1.1
      )
    )
    height, width = lengths.shape
    axes.set(
      xlim=(-1, width), ylim=(height, -1), aspect='equal', xticks=[], yticks=[]
    )
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel('↑ fingers up')
    alt = f'{title}: mean directions of lines, as strokes.'
    return html.Figure(svg.finish(figure), alt)


def _pairs(rates):
  return [(row['fmr'], row['threshold']) for row in rates]


def _histogram(impostor, genuine, *, title, thresholds=()):
  """Densities of scores, and thresholds as lines with their rates.

  Args:
    impostor: float [I].
    genuine: float [G], or None.
    title: of the figure.
    thresholds: (FMR, threshold) each.
  """
  kinds = {'impostor': impostor}
  if genuine is not None:
    kinds['genuine'] = genuine
  values = np.concatenate([*kinds.values(), [t for _, t in thresholds]])
  low, high = float(values.min()), float(values.max())
  if low == high:  # Of a network that collapsed.
    low, high = low - 0.5, high + 0.5
  edges = np.linspace(low, high, _BARS + 1)
  margin = 0.04 * (high - low)
  with matplotlib.rc_context(svg.STYLE):
    figure, axes = svg.axes(title, height=2.7)
    for color, (name, scores) in zip(svg.SERIES, kinds.items(), strict=False):
      density, _ = np.histogram(scores, edges, density=True)
      axes.stairs(density, edges, fill=True, color=color, alpha=0.3, lw=0)
      axes.stairs(density, edges, color=color, lw=1.3, label=name)
    for line, (rate, threshold) in enumerate(thresholds):
      axes.axvline(threshold, color=svg.INK, lw=0.9, ls=(0, (4, 3)))
      axes.annotate(
        f'{rate:.0e}'.replace('e-0', 'e-'),
        (threshold, 1),
        xycoords=('data', 'axes fraction'),
        xytext=(3, -8 - 11 * line),  # Thresholds may stand close together.
        textcoords='offset points',
        fontsize=8,
      )
    label = 'Score; lines: thresholds by FMR' if thresholds else 'Score'
    axes.set(xlabel=label, yticks=[], xlim=(low - margin, high + margin))
    axes.set_ylim(bottom=0)
    axes.spines['left'].set_visible(False)
    svg.legend_above(axes)
    alt = f'{title}: histograms of {" and ".join(kinds)} pairs.'
    return html.Figure(svg.finish(figure), alt)
