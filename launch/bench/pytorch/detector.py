"""The hand detector of palmjax in PyTorch.

Layers are those of `models.detector` without a multiplied stride. Its parameter
count is that of palmjax; `hands` prints both.
"""

import torch
from torch import nn
from torch.nn import functional

from launch.bench.pytorch import gan
from palmjax.models import detector as published
from palmjax.models import layers as sizes
from palmjax.ops.maps import centers

# Kinds of maps beside the classes, and how many channels each has.
VALUES = dict(centers.VALUES)
# Of lengths, in cells.
_UNIT = 16.0


class Detector(nn.Module):
  """Images [B, 3, H, W] to {name of a map: [B, channels, H / 4, W / 4]}."""

  def __init__(self, num_classes, width, depth):
    super().__init__()

    def scaled(features):
      return sizes.scale_channels(features, width=width)

    before, down = 3, []
    for features, blocks in published.DOWN:
      after = scaled(features)
      first = layer(before, after, 3, 2) if not down else None
      level = [first or Bottleneck(before, after, 2)]
      level += [Bottleneck(after, after) for _ in range(blocks * depth)]
      down.append(nn.Sequential(*level))
      before = after
    self.down = nn.ModuleList(down)
    laterals = [scaled(features) for features, _ in published.DOWN]
    merges, up = [], []
    for lateral, (features, blocks) in zip(
      laterals[-2:0:-1], published.UP, strict=True
    ):
      after = scaled(features)
      merges.append(
        nn.ModuleList(
          layer(channels, after, 1, activation=False)
          for channels in (before, lateral)
        )
      )
      up.append(
        nn.Sequential(
          *(Bottleneck(after, after) for _ in range(blocks * depth))
        )
      )
      before = after
    self.merges, self.up = nn.ModuleList(merges), nn.ModuleList(up)
    hidden, kinds = scaled(published.HEAD_FEATURES), {'class': num_classes}
    kinds |= VALUES
    self.head = nn.Conv2d(before, len(kinds) * hidden, 3, padding=1)
    self.maps = nn.ModuleDict(
      {name: nn.Conv2d(hidden, count, 1) for name, count in kinds.items()}
    )
    unit = torch.tensor([_UNIT] * 6 + [1.0])[:, None, None]
    self.register_buffer('unit', unit, persistent=False)

  def forward(self, x):
    levels = []
    for level in self.down:
      x = level(x)
      levels.append(x)
    for merge, blocks, lateral in zip(
      self.merges, self.up, levels[-2:0:-1], strict=True
    ):
      x = blocks(functional.relu(gan.upsample(merge[0](x)) + merge[1](lateral)))
    parts = functional.relu(self.head(x)).chunk(len(self.maps), 1)
    maps = {
      name: project(part)
      for (name, project), part in zip(self.maps.items(), parts, strict=True)
    }
    maps['size'] = maps['size'] * _UNIT
    maps['palm_frame'] = maps['palm_frame'] * self.unit
    return maps


class Bottleneck(nn.Module):
  """1×1, depthwise 3×3, linear 1×1; plus the input if shapes allow."""

  def __init__(self, before, after, stride=1):
    super().__init__()
    hidden = published.EXPANSION * before
    self.inner = nn.Sequential(
      layer(before, hidden, 1),
      layer(hidden, hidden, 3, stride, groups=hidden),
      layer(hidden, after, 1, activation=False),
    )
    self.adds = stride == 1 and before == after

  def forward(self, x):
    y = self.inner(x)
    return x + y if self.adds else y


def layer(before, after, size, stride=1, groups=1, activation=True):
  """Convolution, BatchNorm and, unless told otherwise, ReLU.

  A border of one on both sides reads an even map at stride 2 as a border of one
  before it: the last window ends with the map.
  """
  made = [
    nn.Conv2d(
      before, after, size, stride, size // 2, groups=groups, bias=False
    ),
    nn.BatchNorm2d(after),
  ]
  return nn.Sequential(*made, *([nn.ReLU()] if activation else []))
