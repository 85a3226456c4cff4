"""How owners lay out real palm print sets, and what paths tell of an image.

What is not laid out as the owners do it is refused, with the layout in the
message: a palm that got the wrong name spoils every error rate without a sign.
A left and a right palm are two identities of one person.
"""

import dataclasses
import os
import pathlib
import re

from palmjax.images import image_file

SUFFIXES = (*image_file.SUFFIXES, '.tif', '.tiff')
HANDS = ('left', 'right', 'unknown')
# Session of an image of which the set tells none.
NO_SESSION = -1

# Folders below DIR: XJTU-UP's phone/light/palm is the deepest layout.
_DEPTH = 3


class LayoutError(ValueError):
  """The folder is not laid out as the owners do it.

  The message is one line that says what is wrong, then the expected tree.
  """

  def __init__(self, line, tree):
    super().__init__(f'{line}; expected:\n{tree}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
  """Facts about one image of a set: palm, person, session, device.

  Attributes:
    path: relative to DIR, with '/'; also the example's id.
    identity: name of the palm, unique in the set.
    person: name of the person, whose palms a split must keep together.
    hand: one of `HANDS`.
    sample: number among the palm's images of one session and device.
    session: the owners' number, or `NO_SESSION`.
    device: what took the image; '' where the set has one device.
    remarks: what the owners say of the image, e.g. 'accessories'.
  """

  path: str
  identity: str
  person: str
  hand: str
  sample: int
  session: int = NO_SESSION
  device: str = ''
  remarks: str = ''


def collect(source, *, layouts, record, tree):
  """Lists a set whose paths tell all there is to know of an image.

  Folders that match no expression are left alone: archives hold more than
  palms. In a folder that does match, every image must have a right name.

  Args:
    source: path of DIR.
    layouts: pairs of regular expressions (folder below DIR, '' for DIR itself;
      file name), case ignored. The first pair is taken whose folders hold
      images.
    record: function (path, groups) -> `Record`; groups are the named groups of
      both expressions, and 'rank', the image's position in its folder.
    tree: the expected layout, for the message.

  Returns:
    Tuple of `Record`s as `checked` sorts them.

  Raises:
    FileNotFoundError, NotADirectoryError: there is no such folder.
    LayoutError: no image in the right place, or one with a wrong name.
    ValueError: as `checked`.
  """
  require_folder(source)
  folders = [(below, names) for below, names in _walk(source) if names]
  for below_pattern, file_pattern in layouts:
    right = [
      (below, names)
      for below, names in folders
      if re.fullmatch(below_pattern, below, re.IGNORECASE)
    ]
    if not right:
      continue
    pattern = re.compile(f'{below_pattern}/{file_pattern}', re.IGNORECASE)
    records = []
    for below, names in right:
      for rank, name in enumerate(names):
        match = pattern.fullmatch(f'{below}/{name}')
        path = f'{below}/{name}'.removeprefix('/')
        if match is None:
          raise LayoutError(f'{source}: {path} is not named as this set', tree)
        records.append(record(path, {**match.groupdict(), 'rank': rank}))
    return checked(records, source)
  raise LayoutError(
    f'{source} holds no image where this set has them '
    f'(folders with images: {some([below or "." for below, _ in folders])})',
    tree,
  )


def of_hand(path, groups, *, sample=None, session=NO_SESSION, device=''):
  """The record of a palm that the owners name by its person and hand.

  Args:
    path: of the image.
    groups: {'person', 'hand': left, right, l or r, case ignored}, and 'sample'
      unless one is given.
    sample, session, device: as in `Record`.
  """
  hand = {'l': 'left', 'r': 'right'}[groups['hand'][0].lower()]
  return Record(
    path=path,
    identity=f'{groups["person"]} {hand}',
    person=groups['person'],
    hand=hand,
    sample=int(groups['sample']) if sample is None else sample,
    session=session,
    device=device,
  )


def require_folder(source):
  """Raises FileNotFoundError or NotADirectoryError unless it is a folder."""
  if not os.path.exists(source):
    raise FileNotFoundError(
      f'there is no folder {str(source)!r}; give the one that holds the set'
    )
  if not os.path.isdir(source):
    raise NotADirectoryError(
      f'{source} is a file; unpack it and give the folder'
    )


def checked(records, source):
  """Sorts records by palm, device, session and sample.

  Raises:
    ValueError: two images have one place in the order, an image is told twice,
      or there are not two palms.
  """
  places, known = {}, {}
  for record in records:
    other = known.setdefault(record.path, record)
    if other is not record:
      raise ValueError(
        f'{source}: {record.path} is told twice, of palms {other.identity} and '
        f'{record.identity}; remove one'
      )
    place = (record.identity, record.device, record.session, record.sample)
    if place in places:
      raise ValueError(
        f'{source}: {places[place].path} and {record.path} are the same sample '
        f'of palm {record.identity}; remove one'
      )
    places[place] = record
  identities = sorted({record.identity for record in records})
  if len(identities) < 2:
    raise ValueError(
      f'{source} has {len(identities)} palms; recognition needs at least two'
    )
  return tuple(places[place] for place in sorted(places))


def _walk(source):
  """Lists (folder below DIR with '/', its image names), both sorted."""

  def fail(error):
    raise error  # `os.walk` would pass over a folder it cannot read.

  listing = []
  for path, folders, names in os.walk(source, onerror=fail, followlinks=True):
    below = pathlib.Path(path).relative_to(source)
    # No deeper: a link that points back up cannot loop.
    deeper = folders if len(below.parts) < _DEPTH else []
    folders[:] = [name for name in deeper if not name.startswith('.')]
    images = [
      name
      for name in names
      if name.lower().endswith(SUFFIXES) and not name.startswith('.')
    ]
    listing.append(('/'.join(below.parts), sorted(images)))
  return sorted(listing)


def some(names, count=3):
  """The first few names, for a message."""
  more = f' and {len(names) - count} more' if len(names) > count else ''
  return (', '.join(names[:count]) or 'none') + more
