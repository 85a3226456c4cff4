"""11k Hands: 190 people, both sides of both hands, one session.

Afifi: 11K Hands, Multimedia Tools and Applications (2019), arXiv:1711.04322.
Palm sides only. HandInfo.csv tells person, side and hand of each photograph;
rings and the like, nail polish and irregularities are kept as remarks. The
columns were confirmed in public code that reads the set. We could not confirm
how the hands lie: they are not turned.
"""

import csv
import os

import tensorflow_datasets as tfds

from palmjax.data.sets.builders import layout, real_palms

TREE = """\
  DIR/HandInfo.csv
  DIR/Hands/Hand_0000002.jpg …
with the columns id, aspectOfHand (e.g. palmar left), imageName, accessories,
nailPolish and irregularities (0 or 1)"""

_SIDES = tuple(
  f'{side} {hand}'
  for side in ('dorsal', 'palmar')
  for hand in ('left', 'right')
)
_REMARKS = {
  'accessories': 'accessories',
  'nailPolish': 'nail polish',
  'irregularities': 'irregularities',
}
_COLUMNS = {'id', 'aspectOfHand', 'imageName', *_REMARKS}


class Hands11k(real_palms.RealPalms):
  """The palm sides of 11k Hands."""

  VERSION = tfds.core.Version('1.0.0')
  DESCRIPTION = 'Photographs of hands, palm side: 190 people, left and right.'
  HOMEPAGE = 'https://sites.google.com/view/11khands'

  @classmethod
  def find(cls, source):
    """Lists the records of a folder; raises as `layout.collect`."""
    layout.require_folder(source)
    table = os.path.join(source, 'HandInfo.csv')
    if not os.path.isfile(table):
      raise layout.LayoutError(f'{source} has no HandInfo.csv', TREE)
    if not os.path.isdir(os.path.join(source, 'Hands')):
      raise layout.LayoutError(f'{source} has no folder Hands', TREE)
    try:
      with open(table, encoding='utf-8-sig', newline='') as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or ())
        rows = list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
      line = f'{table} cannot be read: {error}'
      raise layout.LayoutError(line, TREE) from error
    missing = sorted(_COLUMNS - set(columns))
    if missing:
      raise layout.LayoutError(f'{table} has no {missing[0]}', TREE)
    for name in sorted(_COLUMNS):
      if columns.count(name) > 1:
        raise layout.LayoutError(f'{table} has {name} twice', TREE)
    seen, records = {}, []
    for row in rows:
      record = _record(row, seen, table)
      if record is not None:
        records.append(record)
    return layout.checked(records, source)


def _record(row, seen, table):
  """The record of a row, None for the back of a hand.

  Args:
    row: {column: text}.
    seen: {identity: images so far}, counted on.
    table: path, for the message.
  """
  if row['aspectOfHand'] not in _SIDES or not row['id'] or not row['imageName']:
    raise layout.LayoutError(
      f'{table}: a row has id {row["id"]!r}, aspectOfHand '
      f'{row["aspectOfHand"]!r} and imageName {row["imageName"]!r}',
      TREE,
    )
  side, hand = row['aspectOfHand'].split()
  if side == 'dorsal':
    return None
  identity = f'{row["id"]} {hand}'
  seen[identity] = seen.get(identity, 0) + 1
  return layout.Record(
    path=f'Hands/{row["imageName"]}',
    identity=identity,
    person=row['id'],
    hand=hand,
    sample=seen[identity],
    remarks=', '.join(
      text for column, text in _REMARKS.items() if row[column] == '1'
    ),
  )
