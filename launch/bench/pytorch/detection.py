"""Targets and losses of the hand detector in PyTorch.

What `ops.maps.centers.encode` and `losses.detection` compute, on maps
[B, channels, h, w]: a test compares the losses. Every hand's palm frame is
known here, as in the batches that are timed.
"""

import torch
from torch.nn import functional

from palmjax.losses import detection
from palmjax.ops.maps import cells as map_cells

_OVERLAP, _REACH, _MARGIN, _EPSILON = 0.7, 1 / 3, 1e-4, 1e-4


def targets(batch, shape, num_classes, stride):
  """Target maps of annotations.

  Args:
    batch: {'boxes': [B, M, 4], 'points': [B, M, 3, 2], in pixels, 'classes':
      int [B, M], 'facing': bool [B, M]}.
    shape: (h, w) of the maps.
    num_classes: C.
    stride: pixels a cell.

  Returns:
    A dict as of `ops.maps.centers.encode`; heatmaps are [B, channels, h, w].
  """
  boxes, points = batch['boxes'] / stride, batch['points'] / stride
  low, high = boxes[..., :2], boxes[..., 2:]
  size, centre = high - low, (low + high) / 2
  cell = centre.floor()
  valid = (size > 0).all(-1) & _inside(cell, shape)
  reach = _radius(size.ceil().clamp(min=1.0)).floor()
  index, present = _spread(cell, valid, shape)
  steps = torch.from_numpy(map_cells.STEPS).to(boxes.device)
  count, hands = len(steps), cell.shape[1]

  point = points.flatten(1, 2)
  point_cell = point.floor()
  kinds = torch.arange(3, device=point.device).repeat(hands)
  point_valid = valid.repeat_interleave(3, 1) & _inside(point_cell, shape)
  point_index, point_present = _spread(point_cell, point_valid, shape)
  point_reach = (reach * _REACH).floor().clamp(min=1.0).repeat_interleave(3, 1)

  def seen(places):
    """Places relative to a cell, from it and from its neighbours."""
    shifts = steps.reshape(count, *[1] * (places.ndim - 2), 2)
    return (places[:, None] - shifts).flatten(1, 2)

  return {
    'heatmap': _heatmap(
      cell, reach, batch['classes'], valid, shape, num_classes
    ),
    'cells': index,
    'present': present,
    'size': size.repeat(1, count, 1),
    'offset': seen(centre - cell),
    'palm_frame': seen(points - cell[:, :, None]),
    'facing': batch['facing'].repeat(1, count),
    'point_heatmap': _heatmap(
      point_cell,
      point_reach,
      kinds.expand(len(point), -1),
      point_valid,
      shape,
      3,
    ),
    'point_cells': point_index,
    'point_present': point_present,
    'point_offset': seen(point - point_cell),
    'point_kind': kinds.repeat(count),
  }


def loss(maps, wanted):
  """L_det of maps [B, channels, h, w] and of `targets`."""
  present = wanted['present']
  size, offset, palm_frame = (
    _at(maps[name], wanted['cells'])
    for name in ('size', 'offset', 'palm_frame')
  )
  points = palm_frame[..., :-1].unflatten(-1, (3, 2))
  hand = wanted['size'].prod(-1).clamp(min=0).sqrt().clamp(min=1.0)
  place = _at(maps['points'][:, 3:], wanted['point_cells']).unflatten(
    -1, (3, 2)
  )
  rows = torch.arange(place.shape[1], device=place.device)
  place = place[:, rows, wanted['point_kind']]
  terms = {
    'class': _focal(maps['class'], wanted['heatmap']),
    'size': _mean((size - wanted['size']).abs(), present),
    'offset': _mean((offset - wanted['offset']).abs(), present),
    'palm_frame': _mean(
      (points - wanted['palm_frame']).abs() / hand[..., None, None], present
    ),
    'facing': _mean(
      functional.binary_cross_entropy_with_logits(
        palm_frame[..., -1],
        wanted['facing'].to(palm_frame.dtype),
        reduction='none',
      ),
      present,
    ),
    'points': _focal(maps['points'][:, :3], wanted['point_heatmap']),
    'place': _mean(
      (place - wanted['point_offset']).abs(), wanted['point_present']
    ),
  }
  return sum(detection.WEIGHTS[name] * term for name, term in terms.items())


def _radius(size):
  """The published radius of sizes [..., 2], in cells."""
  s, lost = size.sum(-1), (1 - _OVERLAP) * size.prod(-1)
  outward = lost / (
    _OVERLAP * s + ((_OVERLAP * s).square() + 4 * _OVERLAP * lost).sqrt()
  )
  return 4 * _OVERLAP * outward


def _inside(cell, shape):
  limits = torch.tensor(shape[::-1], device=cell.device)
  return ((cell >= 0) & (cell < limits)).all(-1)


def _spread(cell, present, shape):
  """Cells and their neighbours, as `ops.maps.cells.spread`."""
  steps = torch.from_numpy(map_cells.STEPS).to(cell.device)
  moved = cell[:, None] + steps[:, None]
  kept = present[:, None] & _inside(moved, shape)
  same = (moved[:, 1:, :, None] == cell[:, None, None]).all(-1)
  taken = (same & present[:, None, None]).any(-1)
  kept = torch.cat([kept[:, :1], kept[:, 1:] & ~taken], 1)
  index = (moved[..., 1] * shape[1] + moved[..., 0]).long()
  return torch.where(kept, index, 0).flatten(1), kept.flatten(1)


def _heatmap(cell, reach, classes, present, shape, num_classes):
  """Gaussian blobs [B, C, h, w], as `ops.maps.cells.heatmap`."""

  def along(position, length):
    cells = torch.arange(length, device=position.device)
    distance = cells - position[..., None]
    sigma = (2 * reach[..., None] + 1) / 6
    blob = torch.exp(-distance.square() / (2 * sigma.square()))
    return torch.where(distance.abs() <= reach[..., None], blob, 0.0)

  vertical, horizontal = (
    along(cell[..., 1], shape[0]),
    along(cell[..., 0], shape[1]),
  )
  one_hot = functional.one_hot(classes, num_classes) * present[..., None]
  heatmap = torch.zeros(len(cell), num_classes, *shape, device=cell.device)
  for k in range(cell.shape[1]):
    blob = vertical[:, k, :, None] * horizontal[:, k, None]
    heatmap = torch.maximum(
      heatmap, one_hot[:, k, :, None, None] * blob[:, None]
    )
  return heatmap


def _at(values, cells):
  """Values of a map [B, D, h, w] at cells [B, R]: [B, R, D]."""
  rows = cells[:, None].expand(-1, values.shape[1], -1)
  return values.flatten(2).gather(2, rows).transpose(1, 2)


def _focal(logits, heatmap):
  p = logits.float().sigmoid().clamp(_MARGIN, 1 - _MARGIN)
  centres = heatmap == 1
  terms = torch.where(
    centres,
    (1 - p).square() * p.log(),
    (1 - heatmap) ** 4 * p.square() * (1 - p).log(),
  )
  return -terms.sum() / centres.sum().clamp(min=1)


def _mean(values, mask):
  mask = mask.reshape(*mask.shape, *[1] * (values.ndim - 2)).expand_as(values)
  return torch.where(mask, values, 0.0).sum() / (mask.sum() + _EPSILON)
