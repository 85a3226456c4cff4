"""One self-contained HTML file about a run: numbers, figures, pictures.

The file needs no network, no script and no other file. A recipe hands over a
headline and a list of sections; what the data could not measure is shown as its
reason, never as a number (`report.metrics`).
"""

import base64
import dataclasses
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from palmjax import files
from palmjax.report import metrics

_TEMPLATES = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Highlight:
  """One number to see first.

  Attributes:
    label: what it is.
    value: the number as text, e.g. from `metrics.show`.
    note: one line under it.
  """

  label: str
  value: str
  note: str = ''


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of a `Table`.

  Attributes:
    key: of the cell in each row.
    title: shown at the top.
    unit: '%' shows 0.042 as '4.20 %'; any other text follows the number.
    digits: after the point.
    better: which values are better; None where neither is.
  """

  key: str
  title: str
  unit: str = ''
  digits: int = 2
  better: metrics.Better | None = None


@dataclasses.dataclass(frozen=True)
class Table:
  """Rows of metrics, numbers or text.

  A value is marked as best only where its interval lies apart from those of
  all other rows.

  Attributes:
    title: heading of the section.
    columns: shown from left to right.
    rows: row name → {column key: metric, number, text or None}.
    corner: title of the column of row names.
    text: under the heading.
  """

  title: str
  columns: Sequence[Column]
  rows: Mapping[str, Mapping[str, Any]]
  corner: str = 'Model'
  text: str = ''

  template = 'table'

  def cells(self, row):
    """(column, number text, interval text, reason, is best) of a row."""
    for column in self.columns:
      cells = {name: cells.get(column.key) for name, cells in self.rows.items()}
      number, interval, reason = metrics.parts(
        cells[row], unit=column.unit, digits=column.digits
      )
      best = metrics.stands_out(cells, row, better=column.better)
      yield column, number, interval, reason, best


@dataclasses.dataclass(frozen=True)
class Figure:
  """An inline SVG of `report.plots`.

  Attributes:
    svg: the drawing.
    alt: what there is to see, in words.
    caption: below it.
    tall: takes the height of two others.
  """

  svg: str
  alt: str
  caption: str = ''
  tall: bool = False


@dataclasses.dataclass(frozen=True)
class Figures:
  """Figures side by side, as many as fit."""

  title: str
  figures: Sequence[Figure]
  text: str = ''

  template = 'figures'


@dataclasses.dataclass(frozen=True)
class Tile:
  """A picture of a `Grid`; `tile` makes it from an array.

  Attributes:
    source: data URI.
    alt: what the picture is.
    caption: one line below.
    shares: (name, share in [0, 1]) shown as small bars, the largest first.
  """

  source: str
  alt: str
  caption: str = ''
  shares: Sequence[tuple[str, float]] = ()


@dataclasses.dataclass(frozen=True)
class Grid:
  """Pictures in named groups: {'Real palms': [Tile, …], …}.

  Attributes:
    title: heading of the section.
    groups: shown one below the other.
    text: under the heading.
    large: fewer pictures side by side, for what is drawn into them.
  """

  title: str
  groups: Mapping[str, Sequence[Tile]]
  text: str = ''
  large: bool = False

  template = 'grid'


@dataclasses.dataclass(frozen=True)
class Values:
  """Names and values: a config, versions, seconds. Mappings may be nested."""

  title: str
  values: Mapping[str, Any]
  text: str = ''

  template = 'values'

  def flat(self):
    return list(_flatten(self.values))


Section = Table | Figures | Grid | Values


def write(
  path,
  *,
  title: str,
  headline: str,
  tone: metrics.Tone = 'open',
  summary: str = '',
  highlights: Sequence[Highlight] = (),
  sections: Sequence[Section] = (),
  footer: str = '',
):
  """Writes the report to `path`; the same arguments give the same bytes.

  Args:
    path: of the HTML file.
    title: of the document.
    headline: what came out, in one sentence.
    tone: colours the headline: 'good', 'bad', or 'open' where it is not known.
    summary: a paragraph below it.
    highlights: the few numbers to see first.
    sections: in reading order.
    footer: last line.

  Raises:
    OSError: the file cannot be written; an older one stays as it was.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  document = environment.get_template('report.html').render(
    title=title,
    headline=headline,
    tone=tone,
    summary=summary,
    highlights=highlights,
    sections=sections,
    footer=footer,
  )
  files.write_file(path, document)


def tile(image, *, alt, caption='', shares=()) -> Tile:
  """A `Tile` of a uint8 image [H, W, 3], [H, W, 1] or [H, W]."""
  image = np.asarray(image)
  if image.dtype != np.uint8:
    raise ValueError(f'A picture must be uint8, got {image.dtype}.')
  if image.ndim == 3 and image.shape[2] == 1:
    image = image[:, :, 0]
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, format='PNG', optimize=True)
  encoded = base64.b64encode(buffer.getvalue()).decode('ascii')
  return Tile(f'data:image/png;base64,{encoded}', alt, caption, tuple(shares))


def _flatten(values, prefix=''):
  for key, value in values.items():
    name = f'{prefix}{key}'
    if isinstance(value, Mapping) and value:
      yield from _flatten(value, f'{name}.')
    elif isinstance(value, float):
      yield name, f'{value:g}'
    elif isinstance(value, list | tuple):
      yield name, ', '.join(map(str, value)) or 'none'
    else:
      yield name, str(value) or 'none'
