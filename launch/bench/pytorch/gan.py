"""The GAN of palmjax in PyTorch, without ADA: networks and four updates.

Layers are those of `models.layers`, `models.generator` and
`models.discriminator`; losses and coefficients those of `steps.gan.updates`.
"""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional
from torch.optim import swa_utils

from palmjax.models import layers as sizes

_SLOPE, _GAIN = 0.2, 2**0.5


class Dense(nn.Module):
  """Dense layer of an equalised learning rate."""

  def __init__(self, before, after, multiplier=1.0, bias=0.0):
    super().__init__()
    self.kernel = nn.Parameter(torch.randn(after, before) / multiplier)
    self.bias = nn.Parameter(torch.full((after,), bias / multiplier))
    self.multiplier, self.scale = multiplier, multiplier / before**0.5

  def forward(self, x):
    return functional.linear(
      x, self.kernel * self.scale, self.bias * self.multiplier
    )


class Conv(nn.Module):
  """Convolution of an equalised learning rate, zero border."""

  def __init__(self, before, after, size, bias=True):
    super().__init__()
    self.kernel = nn.Parameter(torch.randn(after, before, size, size))
    self.bias = nn.Parameter(torch.zeros(after)) if bias else None
    self.scale, self.border = (size * size * before) ** -0.5, size // 2

  def forward(self, x):
    return functional.conv2d(
      x, self.kernel * self.scale, self.bias, padding=self.border
    )


class Modulated(nn.Module):
  """Convolution whose input channels are scaled by a style."""

  def __init__(self, before, after, size, latent, demodulate=True):
    super().__init__()
    self.conv = Conv(before, after, size, bias=False)
    self.style = Dense(latent, before, bias=1.0)
    self.demodulate = demodulate

  def forward(self, x, w):
    style = self.style(w)
    x = self.conv(x * style[:, :, None, None].to(x.dtype))
    if self.demodulate:
      kernel = self.conv.kernel * self.conv.scale
      power = style.square() @ kernel.square().sum((2, 3)).T
      x = x * torch.rsqrt(power + 1e-8)[:, :, None, None].to(x.dtype)
    return x


class Styled(nn.Module):
  """Modulated 3×3 convolution, interpolation, noise, bias, leaky ReLU."""

  def __init__(self, before, after, latent, up=False):
    super().__init__()
    self.conv, self.up = Modulated(before, after, 3, latent), up
    self.strength = nn.Parameter(torch.zeros(()))
    self.bias = nn.Parameter(torch.zeros(after))

  def forward(self, x, w):
    x = self.conv(x, w)
    if self.up:
      x = upsample(x)
    noise = torch.randn_like(x[:, :1])
    return leaky(x + self.strength * noise + self.bias[:, None, None])


class Generator(nn.Module):
  """Latents to images, as `models.generator`."""

  def __init__(self, section, image_size):
    super().__init__()
    latent = section.latent_size
    widths = _widths(section, image_size)
    base = sizes.resolutions(image_size)[0]
    self.mapping = nn.ModuleList(
      Dense(latent, latent, 0.01) for _ in range(section.mapping_layers)
    )
    self.constant = nn.Parameter(torch.randn(widths[0], base, base))
    pairs = [*itertools.pairwise(widths)]
    self.enlarge = nn.ModuleList(Styled(a, b, latent, True) for a, b in pairs)
    self.refine = nn.ModuleList(Styled(a, a, latent) for a in widths)
    self.to_rgb = nn.ModuleList(
      Modulated(a, 3, 1, latent, demodulate=False) for a in widths
    )
    self.rgb_bias = nn.Parameter(torch.zeros(len(widths), 3, 1, 1))
    self.latent, self.num_layers = latent, 2 * len(widths)

  def styles(self, z):
    """w [B, layers, latent] of latents."""
    w = z * torch.rsqrt(z.square().mean(-1, keepdim=True) + 1e-8)
    for layer in self.mapping:
      w = leaky(layer(w))
    return w[:, None].expand(-1, self.num_layers, -1)

  def forward(self, w):
    x = self.constant.expand(len(w), -1, -1, -1)
    x = self.refine[0](x, w[:, 0])
    images = self._rgb(0, x, w[:, 1])
    for k, enlarge in enumerate(self.enlarge, start=1):
      x = self.refine[k](enlarge(x, w[:, 2 * k - 1]), w[:, 2 * k])
      images = upsample(images) + self._rgb(k, x, w[:, 2 * k + 1])
    return images

  def _rgb(self, k, x, w):
    return self.to_rgb[k](x, w).float() + self.rgb_bias[k]


class Discriminator(nn.Module):
  """Images to logits, as `models.discriminator`."""

  def __init__(self, section, image_size):
    super().__init__()
    widths = _widths(section, image_size)
    base = sizes.resolutions(image_size)[0]
    self.first = Conv(3, widths[-1], 1)
    self.blocks = nn.ModuleList(
      nn.ModuleList([Conv(a, a, 3), Conv(a, b, 3), Conv(a, b, 1, bias=False)])
      for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
    )
    self.last = Conv(widths[0] + 1, widths[0], 3)
    self.dense = Dense(widths[0] * base * base, widths[0])
    self.logit = Dense(widths[0], 1)

  def forward(self, images):
    x = leaky(self.first(images))
    for inner, outer, shortcut in self.blocks:
      y = leaky(outer(downsample(leaky(inner(x)))))
      x = (shortcut(downsample(x)) + y) * 0.5**0.5
    x = x.float()
    group = math.gcd(len(x), 4)
    spread = x.reshape(group, len(x) // group, -1).var(0, correction=0)
    deviation = (spread + 1e-8).sqrt().mean(-1).repeat(group)
    deviation = deviation[:, None, None, None].expand(-1, 1, *x.shape[2:])
    x = leaky(self.last(torch.cat([x, deviation], 1))).flatten(1)
    return self.logit(leaky(self.dense(x)))[:, 0]


def leaky(x):
  """Leaky ReLU that keeps the variance."""
  return functional.leaky_relu(x, _SLOPE) * _GAIN


def upsample(x):
  """By two, with the filter [1, 3, 3, 1]; the border is held."""
  return functional.interpolate(
    x, scale_factor=2, mode='bilinear', align_corners=False
  )


def downsample(x):
  """By two, with the filter [1, 3, 3, 1]; the border is held."""
  channels = x.shape[1]
  kernel = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device, dtype=x.dtype)
  kernel = (torch.outer(kernel, kernel) / 64).expand(channels, 1, 4, 4)
  x = functional.pad(x, (1, 1, 1, 1), mode='replicate')
  return functional.conv2d(x, kernel, stride=2, groups=channels)


def _widths(section, image_size):
  return [
    sizes.channels(s, fmap_base=section.fmap_base, fmap_max=section.fmap_max)
    for s in range(1, len(sizes.resolutions(image_size)) + 1)
  ]


def updates(config, device, *, autocast, compiled):
  """Builds the four updates on noise, and counts parameters.

  Args:
    config: of configs/ssl.py: `image_size` and the section `gan`.
    device: of PyTorch.
    autocast: context manager of the main updates; regularisers are float32.
    compiled: function that a network passes, `torch.compile` or the identity;
      it is not used where second derivatives are taken.

  Returns:
    ({name: function without arguments}, {'generator', 'discriminator': ints}).
  """
  section, size = config.gan, config.image_size
  g = Generator(section, size).to(device, memory_format=torch.channels_last)
  d = Discriminator(section, size).to(device, memory_format=torch.channels_last)
  fast_g, fast_d = compiled(g), compiled(d)
  adam_g, adam_d = (
    torch.optim.Adam(x.parameters(), section.learning_rate, betas=(0.0, 0.99))
    for x in (g, d)
  )
  average = [x.detach().clone() for x in g.parameters()]
  follow = swa_utils.get_ema_multi_avg_fn(0.999)
  count, mean = section.batch_size, torch.zeros((), device=device)
  real = torch.rand(count, 3, size, size, device=device) * 2 - 1
  real = real.contiguous(memory_format=torch.channels_last)

  def latents(count):
    return torch.randn(count, g.latent, device=device)

  def apply(adam, loss):
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()

  def discriminator():
    with autocast():
      with torch.no_grad():
        fake = fast_g(g.styles(latents(count)))
      logits = fast_d(real), fast_d(fake)
      loss = functional.softplus(-logits[0]).mean()
      loss = loss + functional.softplus(logits[1]).mean()
    apply(adam_d, loss)

  def r1():
    images = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(
      d(images).sum(), images, create_graph=True
    )
    penalty = gradient.square().sum((1, 2, 3)).mean()
    apply(adam_d, section.r1_interval * penalty / 2)

  def generator():
    with autocast():
      fake = fast_g(g.styles(latents(count)))
      loss = functional.softplus(-fast_d(fake)).mean()
    apply(adam_g, loss)
    with torch.no_grad():
      follow(average, [*g.parameters()], None)

  def path_length():
    w = g.styles(latents(max(1, count // 2)))
    images = g(w)
    directions = torch.randn_like(images) / size
    (gradient,) = torch.autograd.grad(
      (images * directions).sum(), w, create_graph=True
    )
    lengths = gradient.square().sum(-1).mean(-1).sqrt()
    penalty = (lengths - mean - 0.01 * (lengths.mean() - mean)).square().mean()
    weight = section.path_length_interval * section.path_length_weight
    apply(adam_g, weight * penalty)

  made = {
    'discriminator': discriminator,
    'r1': r1,
    'generator': generator,
    'path_length': path_length,
  }
  counts = {
    name: sum(p.numel() for p in network.parameters())
    for name, network in (('generator', g), ('discriminator', d))
  }
  return made, counts
