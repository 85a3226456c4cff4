"""Where COCO data sets keep their boxes: COCO's own layout and Roboflow's."""

import json
import pathlib

from palmjax.data.boxes import formats
from palmjax.data.sets.builders import layout

TREE = """\
DIR/annotations/instances_train*.json    instances_val*.json
DIR/train*/NAME.jpg                      also DIR/images/train*, DIR/images
or, as Roboflow has it, valid and test alike
DIR/train/_annotations.coco.json
DIR/train/NAME.jpg"""


def read_coco(directory, split) -> formats.Source:
  """COCO's own layout and Roboflow's; crowds are left out.

  Classes are the categories by id. Roboflow's extra category, which is but the
  parent of the others, is none.
  """
  path, below = _coco_file(directory, split)
  try:
    values = json.loads(path.read_text(encoding='utf-8-sig'))
    listed = {image['id']: image for image in values['images']}
    files = {k: str(image['file_name']) for k, image in listed.items()}
    categories = sorted(values['categories'], key=lambda c: c['id'])
    names = {category['id']: str(category['name']) for category in categories}
    annotations = [dict(annotation) for annotation in values['annotations']]
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path} is no COCO file of instances: {type(error).__name__} {error}'
    ) from error
  parents = {category.get('supercategory') for category in categories}
  for category in categories:
    if category.get('supercategory') == 'none' and category['name'] in parents:
      del names[category['id']]

  rows, problems, left_out = {key: [] for key in listed}, [], 0
  for annotation in annotations:
    where = f'{path.relative_to(directory)}: annotation {annotation.get("id")}'
    if annotation.get('iscrowd'):
      left_out += 1
      continue
    try:
      x, y, w, h = map(float, annotation['bbox'])
      category = annotation['category_id']
      hash(category)  # A list is none.
      row = formats.Row(where, category, (x, y, x + w, y + h))
      of_image = rows.get(annotation['image_id'])
    except (KeyError, TypeError, ValueError):
      problems.append(f'{where}: box, class or image is missing or none')
      continue
    if of_image is None:
      problems.append(f'{where}: there is no image {annotation["image_id"]}')
    else:
      of_image.append(row)
  # The first image may be missing.
  folders = [
    f
    for f in below
    if any((directory / f / x).is_file() for x in files.values())
  ]
  if not folders:
    raise layout.LayoutError(f'{directory} has no image of {path.name}', TREE)
  images = [
    formats.Listed(
      (pathlib.PurePosixPath(folders[0]) / files[key]).as_posix(),
      rows[key],
      formats.to_size(image.get('width'), image.get('height')),
    )
    for key, image in listed.items()
  ]
  return formats.Source(images, names, problems, left_out)


def _coco_file(directory, split):
  """(the json file, folders in which its images may be)."""
  aliases = ('valid', 'val') if split == 'valid' else (split,)
  for name in aliases:
    path = directory / name / '_annotations.coco.json'
    if path.is_file():
      return path, [name]
  part = 'val' if split == 'valid' else split
  found = sorted((directory / 'annotations').glob(f'instances_{part}*.json'))
  if not found:
    raise layout.LayoutError(
      f'{directory} has no annotations/instances_{part}*.json', TREE
    )
  if len(found) > 1:
    raise ValueError(
      f'{found[0]} and {found[1].name} are both of {split}; keep one of them'
    )
  name = found[0].stem.removeprefix('instances_')
  return found[0], [name, f'images/{name}', 'images', '.']
