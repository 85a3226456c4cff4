"""Small sets of boxes, in each form, and detections of boxes."""

import json

import numpy as np
from PIL import Image

# Other classes than those of drawn hands.
NAMES = ('dark', 'light')
PARTS = {'train': 9, 'val': 4}
SIDE = 40


def write(root, form):
  """Writes a set of `form` ('yolo', 'voc' or 'coco') into a folder.

  A bright square is the object.
  """
  {'yolo': _yolo, 'voc': _voc, 'coco': _coco}[form](root)
  return root


def _images(part):
  """(number, pixels, class, x, y): the square has 16 px."""
  generator = np.random.default_rng(len(part))
  for number in range(PARTS[part]):
    pixels = generator.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
    label = number % 2
    x, y = generator.integers(0, SIDE - 16, 2).tolist()
    pixels[y : y + 16, x : x + 16] = 110 + 100 * label
    yield number, pixels, label, x, y


def _save(path, pixels):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(path)


def _yolo(root):
  for part in PARTS:
    (root / part / 'labels').mkdir(parents=True)
    for i, pixels, label, x, y in _images(part):
      _save(root / part / 'images' / f'{i}.png', pixels)
      middle = f'{(x + 8) / SIDE} {(y + 8) / SIDE}'
      (root / part / 'labels' / f'{i}.txt').write_text(
        f'{label} {middle} {16 / SIDE} {16 / SIDE}\n'
      )
  (root / 'data.yaml').write_text(
    f'names: {list(NAMES)}\ntrain: train/images\nval: val/images\n'
  )


def _voc(root):
  (root / 'Annotations').mkdir()
  (root / 'ImageSets' / 'Main').mkdir(parents=True)
  for part in PARTS:
    listed = []
    for i, pixels, label, x, y in _images(part):
      name = f'{part}{i}'
      listed.append(f'{name}\n')
      _save(root / 'JPEGImages' / f'{name}.png', pixels)
      box = f'<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>'
      box += f'<xmax>{x + 16}</xmax><ymax>{y + 16}</ymax>'
      (root / 'Annotations' / f'{name}.xml').write_text(
        f'<annotation><object><name>{NAMES[label]}</name>'
        f'<bndbox>{box}</bndbox></object></annotation>'
      )
    (root / 'ImageSets' / 'Main' / f'{part}.txt').write_text(''.join(listed))


def _coco(root):
  (root / 'annotations').mkdir()
  for part in PARTS:
    content = {
      'categories': [{'id': i, 'name': n} for i, n in enumerate(NAMES)],
      'images': [],
      'annotations': [],
    }
    for i, pixels, label, x, y in _images(part):
      _save(root / part / f'{i}.png', pixels)
      content['images'].append(
        {'id': i, 'file_name': f'{i}.png', 'width': SIDE, 'height': SIDE}
      )
      content['annotations'].append(
        {'id': i, 'image_id': i, 'category_id': label, 'bbox': [x, y, 16, 16]}
      )
    path = root / 'annotations' / f'instances_{part}.json'
    path.write_text(json.dumps(content))


def objects_of(boxes, score):
  """One detection an image."""
  count = len(boxes)
  return {
    'boxes': np.asarray(boxes, np.float32)[:, None],
    'scores': np.full((count, 1), score, np.float32),
    'classes': np.zeros((count, 1), np.int32),
  }


def right(test, share):
  """Boxes that are right in a share of the images, and else far off."""
  count = round(share * len(test['boxes']))
  wrong = np.float32([12, 12, 15, 15])
  return objects_of(
    [
      test['boxes'][i, 0] if i < count else wrong
      for i in range(len(test['boxes']))
    ],
    0.9,
  )
