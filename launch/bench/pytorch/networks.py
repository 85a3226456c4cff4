"""The recognition networks of palmjax in PyTorch, for grey images.

Their parameter counts are those of palmjax; `compare` prints both.
"""

from torch import nn

from palmjax.models import mobilefacenet as published
from palmjax.models import resnet

LENGTH = 128  # Of an embedding.


def conv(kind, before, after, stride=1, linear=False):
  """Convolution, BatchNorm and PReLU, as `models.layers.ConvLayer`."""
  size = 1 if kind == 'pointwise' else 3
  layers = [
    nn.Conv2d(
      before,
      after,
      size,
      stride,
      size // 2,
      groups=before if kind == 'depthwise' else 1,
      bias=False,
    ),
    nn.BatchNorm2d(after),
  ]
  return nn.Sequential(*layers, *([] if linear else [nn.PReLU(after)]))


class Residual(nn.Module):
  """x + f(x), or f(x) + shortcut(x)."""

  def __init__(self, inner, shortcut=None, after=None):
    super().__init__()
    self.inner = inner
    self.shortcut = shortcut or nn.Identity()
    self.after = after or nn.Identity()

  def forward(self, x):
    return self.after(self.shortcut(x) + self.inner(x))


def mobilefacenet(size):
  """MobileFaceNet for grey images of a side that 16 divides."""
  features = published.STEM_FEATURES
  layers = [
    conv('dense', 1, features, 2),
    conv('depthwise', features, features),
  ]
  for expansion, after, blocks, stride in published.BOTTLENECKS:
    for block in range(blocks):
      step = stride if block == 0 else 1
      hidden = expansion * features
      inner = nn.Sequential(
        conv('pointwise', features, hidden),
        conv('depthwise', hidden, hidden, step),
        conv('pointwise', hidden, after, linear=True),
      )
      same = step == 1 and features == after
      layers.append(Residual(inner) if same else inner)
      features = after
  last = published.HEAD_FEATURES
  return nn.Sequential(
    *layers,
    conv('pointwise', features, last),
    nn.Conv2d(last, last, size // 16, groups=last, bias=False),
    nn.BatchNorm2d(last),
    nn.Conv2d(last, LENGTH, 1, bias=False),
    nn.BatchNorm2d(LENGTH),
    nn.Flatten(),
  )


def resnet18(size):
  """ResNet-18 with the stem for small images."""
  del size
  layers = [
    nn.Conv2d(1, 64, 3, 1, 1, bias=False),
    nn.BatchNorm2d(64),
    nn.ReLU(),
  ]
  before = 64
  for stage, after in enumerate((64, 128, 256, 512)):
    for block in range(2):
      stride = 2 if stage and not block else 1
      inner = nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, 1, 1, bias=False),
        nn.BatchNorm2d(after),
      )
      shortcut = None
      if stride > 1 or before != after:
        shortcut = nn.Sequential(
          nn.Conv2d(before, after, 1, stride, bias=False),
          nn.BatchNorm2d(after),
        )
      layers.append(Residual(inner, shortcut, nn.ReLU()))
      before = after
  return nn.Sequential(
    *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, LENGTH)
  )


class _Bottleneck(nn.Module):
  """1×1, 3×3 of the stride, 1×1 to four times as many channels."""

  def __init__(self, before, inner, stride):
    super().__init__()
    after = resnet.BOTTLENECK_EXPANSION * inner
    self.inner = nn.Sequential(
      nn.Conv2d(before, inner, 1, bias=False),
      nn.BatchNorm2d(inner),
      nn.ReLU(),
      nn.Conv2d(inner, inner, 3, stride, 1, bias=False),
      nn.BatchNorm2d(inner),
      nn.ReLU(),
      nn.Conv2d(inner, after, 1, bias=False),
      nn.BatchNorm2d(after),
    )
    self.shortcut = nn.Identity()
    if stride > 1 or before != after:
      self.shortcut = nn.Sequential(
        nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
      )

  def forward(self, x):
    return nn.functional.relu(self.shortcut(x) + self.inner(x))


def resnet50(size):
  """ResNet-50 with the stem of 7×7 and pooling."""
  del size
  first = resnet.FEATURES[0]
  layers = [
    nn.Conv2d(1, first, 7, 2, 3, bias=False),
    nn.BatchNorm2d(first),
    nn.ReLU(),
    nn.MaxPool2d(3, 2, 1),
  ]
  before = first
  for stage, (inner, blocks) in enumerate(
    zip(resnet.FEATURES, resnet.DEPTH_50, strict=True)
  ):
    for block in range(blocks):
      layers.append(_Bottleneck(before, inner, 2 if stage and not block else 1))
      before = resnet.BOTTLENECK_EXPANSION * inner
  return nn.Sequential(
    *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, LENGTH)
  )


# By the names of `models.backbones`.
NETWORKS = {
  'mobilefacenet': mobilefacenet,
  'resnet18_small': resnet18,
  'resnet50': resnet50,
}
