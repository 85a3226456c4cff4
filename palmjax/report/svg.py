"""The look of the figures, and how they become part of the page.

Colours are written as the CSS variables of report.html, so that a figure turns
dark with the page; text stays text. The same drawing gives the same bytes.
"""

import hashlib
import io
import itertools
import math
import re

import matplotlib.figure

# Placeholders that `finish` turns into the CSS variables of report.html.
INK, MUTED, RULE, CARD = '#010101', '#020202', '#030303', '#040404'
SERIES = tuple(f'#05050{k}' for k in range(6))
_VARIABLES = {
  INK: 'var(--ink)',
  MUTED: 'var(--muted)',
  RULE: 'var(--rule)',
  CARD: 'var(--card)',
  **{color: f'var(--s{k})' for k, color in enumerate(SERIES)},
}
STYLE = {
  'svg.fonttype': 'none',
  'text.parse_math': False,  # A label may hold a dollar sign.
  'svg.hashsalt': 'palmjax',
  'font.family': 'DejaVu Sans',
  'font.size': 9,
  'text.color': INK,
  'axes.labelcolor': MUTED,
  'axes.edgecolor': RULE,
  'axes.titlecolor': INK,
  'axes.titlesize': 10,
  'axes.titleweight': 'bold',
  'axes.titlelocation': 'left',
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'axes.axisbelow': True,
  'axes.facecolor': 'none',
  'figure.facecolor': 'none',
  'grid.color': RULE,
  'grid.linewidth': 0.6,
  'xtick.color': RULE,
  'ytick.color': RULE,
  'xtick.labelcolor': MUTED,
  'ytick.labelcolor': MUTED,
  'xtick.minor.bottom': False,
  'ytick.minor.left': False,
  'legend.frameon': False,
  'legend.fontsize': 9,
  'lines.linewidth': 1.8,
  'lines.solid_capstyle': 'round',
  'path.simplify': False,
}
_WIDTH = 4.6  # Of a figure in inches; the page takes the ratio.
# Of a legend above the axes: names in a row, and the row's height in points.
_COLUMNS = 3
_ROW = 13


def axes(title, *, height):
  """(figure, axes) with a title; the height is in inches."""
  figure = matplotlib.figure.Figure((_WIDTH, height), layout='constrained')
  axes = figure.add_subplot()
  axes.set_title(title)
  axes.tick_params(length=0)
  return figure, axes


def legend_above(axes):
  """A legend in the line of the title, or below it, where no curve can be."""
  rows = math.ceil(len(axes.get_legend_handles_labels()[1]) / _COLUMNS)
  if rows > 1:
    pad = matplotlib.rcParams['axes.titlepad'] + rows * _ROW
    axes.set_title(axes.get_title('left'), pad=pad)
  axes.legend(
    loc='lower right',
    bbox_to_anchor=(1.02, 0.97),
    ncols=_COLUMNS,
    handlelength=1.2,
    columnspacing=1.2,
  )


def colors(first=0):
  """Endless colours of lines; number 0 is the grey of a baseline."""
  return itertools.chain(SERIES[first:], itertools.cycle(SERIES[1:]))


def line_colors(labels, among=()):
  """Colours of the lines of a figure, one for each label.

  Args:
    labels: of the lines; the first of several, the baseline, is grey.
    among: labels of all models of the page, the baseline first: a model then
      has one colour in all figures.
  """
  if among:
    table = dict(zip(among, colors(), strict=False))
    return [table[label] for label in labels]
  # One alone is no baseline.
  first = int(len(labels) == 1)
  return list(itertools.islice(colors(first), len(labels)))


def finish(figure):
  """The figure as SVG that can stand in a page, in either colour scheme."""
  buffer = io.StringIO()
  figure.savefig(buffer, format='svg', metadata={'Date': None, 'Creator': None})
  svg = buffer.getvalue()
  svg = svg[svg.index('<svg') :]
  svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
  # Names of XML are not needed inside HTML, and fixed sizes are in the way.
  svg = re.sub(r' xmlns(:\w+)?="[^"]*"', '', svg).replace('xlink:href', 'href')
  svg = re.sub(r'(<svg)[^>]*?( viewBox="[^"]*")[^>]*>', r'\1\2>', svg, count=1)
  for color, variable in _VARIABLES.items():
    svg = svg.replace(color, variable)
  svg = svg.replace("'DejaVu Sans'", 'var(--sans)')
  # Ids must differ between the figures of a page.
  mark = hashlib.sha256(svg.encode()).hexdigest()[:8]
  svg = re.sub(r'\bid="', f'id="{mark}-', svg)
  svg = re.sub(r'(url\(|href=")#', rf'\1#{mark}-', svg)
  return svg.strip()
