"""The embedding networks that a config can name."""

import functools

from palmjax.models import batch_norm, mobilefacenet, resnet, vgg


def build(
  name,
  *,
  embedding_size,
  width,
  dtype,
  attention,
  batch_norm_momentum=batch_norm.MOMENTUM,
):
  """The network of a name: images [B, H, W, C] → embeddings [B, D] float32.

  Suffixes change one thing of the published form: `_strided` pools nowhere but
  in the tail (stride-2 convolutions), `_pool` and `_gdconv` replace the tail
  (see `layers.Tail`), `_small` is the stem for images of 32 to 64 pixels.

  Args:
    name: a key of the table below.
    embedding_size: D.
    width: factor of every other channel count; 1 is the published one.
    dtype: of the activations.
    attention: whether spatial attention stands before the tail.
    batch_norm_momentum: of the running statistics.

  Returns:
    A flax module, called with (images, train=).

  Raises:
    ValueError: no network of this name, or no momentum.
  """
  batch_norm.check_momentum(batch_norm_momentum)
  sizes = {
    'embedding_size': embedding_size,
    'width': width,
    'dtype': dtype,
    'attention': attention,
    'batch_norm_momentum': batch_norm_momentum,
  }

  basic = functools.partial(resnet.ResNet, 'basic', resnet.DEPTH_18, **sizes)
  networks = {
    'mobilefacenet': lambda: mobilefacenet.MobileFaceNet(**sizes),
    'vgg16': lambda: vgg.VGG16(**sizes),
    'vgg16_strided': lambda: vgg.VGG16(strided=True, **sizes),
    'vgg16_pool': lambda: vgg.VGG16(tail='pool', **sizes),
    'vgg16_gdconv': lambda: vgg.VGG16(tail='gdconv', **sizes),
    'resnet18': basic,
    'resnet18_small': lambda: basic(stem='small'),
    'resnet18_small_gdconv': lambda: basic(stem='small', tail='gdconv'),
    'resnet18_strided': lambda: basic(stem='stride'),
    'resnet18_gdconv': lambda: basic(tail='gdconv'),
    'separable18': lambda: resnet.ResNet('separable', resnet.DEPTH_18, **sizes),
    'resnet50': lambda: resnet.ResNet('bottleneck', resnet.DEPTH_50, **sizes),
    'resnext50': lambda: resnet.ResNet(
      'bottleneck', resnet.DEPTH_50, groups=32, group_features=4, **sizes
    ),
    'iresnet18': lambda: resnet.IResNet(resnet.DEPTH_18, **sizes),
    'iresnet50': lambda: resnet.IResNet(resnet.IRESNET_DEPTH_50, **sizes),
  }
  if name not in networks:
    raise ValueError(
      f'no network {name!r}: choose one of {", ".join(sorted(networks))}'
    )
  return networks[name]()
