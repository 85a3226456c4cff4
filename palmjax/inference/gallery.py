"""A gallery: palms that are enrolled once and searched many times.

  gallery = v.enrol(images)              # or {name: image}
  scores = v.scores(probes, gallery)     # float32 [P, G]
  gallery.save('gallery.npz')
  gallery = v.load_gallery('gallery.npz')

A gallery holds templates and no images (`inference.bound_file`). It is of the
network, and of the options, that enrolled it.
"""

import dataclasses

import numpy as np

from palmjax import file_names
from palmjax.inference import bound_file, parts

FORMAT = 1
KIND = 'gallery'
NAME = 'gallery.npz'


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Gallery:
  """Templates of G palms; `len` tells G.

  Attributes:
    templates: `parts.Templates`.
    names: of the palms, G strings.
    sides: 'left', 'right', or None where it is not known, of each palm.
    of: `Scorer.identity` of what enrolled them.
  """

  templates: parts.Templates
  names: tuple[str, ...]
  sides: tuple[str | None, ...]
  of: dict

  def __len__(self):
    return len(self.names)

  def save(self, path):
    """Writes the gallery to a file.

    Raises:
      OSError: it cannot be written.
    """
    arrays = {
      name: np.asarray(part) for name, part in self.templates._asdict().items()
    }
    about = {
      'format': FORMAT,
      'kind': KIND,
      'note': bound_file.NOTE,
      'names': list(self.names),
      'sides': list(self.sides),
      'of': self.of,
    }
    bound_file.save(path, {'templates': arrays}, about)

  def require(self, of):
    """Checks that another scorer may use the templates.

    Raises:
      ValueError: it has another network, or compares in another way.
    """
    if self.of != of:
      raise ValueError(
        'the gallery was enrolled with '
        f'{bound_file.difference(self.of, of)}: enrol it again'
      )


def load(path, *, of):
  """Reads a gallery.

  Args:
    path: file.
    of: `Scorer.identity` of what will use it.

  Returns:
    `Gallery`.

  Raises:
    ValueError, OSError: there is no such file, or it is damaged, edited, of
      another format, or of another network; one line.
  """
  arrays, about = bound_file.load(
    path,
    of=of,
    kind=KIND,
    versions=(FORMAT,),
    again='make it again by python -m palmjax.verify A.jpg --gallery=DIR '
    f'--save-gallery={file_names.printable(bound_file.place(path, NAME))}',
  )
  return Gallery(
    templates=parts.Templates(**arrays['templates']),
    names=tuple(about['names']),
    sides=tuple(about['sides']),
    of=of,
  )
