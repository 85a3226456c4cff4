"""Adaptive discriminator augmentation: transforms and the rule for p.

The paper is arXiv:2006.06676.

Every image that the discriminator sees, real or generated, passes this
pipeline. Each transform is applied to each image with probability p. While p
stays below about 0.8 the discriminator sees enough plain images that the
generator does not learn the transforms. The whole geometry is one matrix and
one warp, the whole colour one 4 × 4 matrix; differentiable twice in the images.

The share of real images that the discriminator is sure of tells how much it
overfits: r = mean sign(D(x)) over the last batches (sec. 3). Every `interval`
batches p moves by a fixed amount toward the r that is wanted.
"""

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from palmjax.ops import color, warp


@flax.struct.dataclass(kw_only=True)
class Transforms:
  """ADA's parameters: one value for each image and transform; 0: off.

  Attributes:
    mirror: [B], 1 mirrors left to right.
    quarter_turns: [B], number of clockwise turns by 90°.
    pixel_shift: [B, 2], right and down, in whole pixels.
    scale: [B], log2 of the enlargement.
    first_rotation: [B], radians, clockwise.
    anisotropy: [B], log2 of the stretch along x, and of the squeeze along y.
    second_rotation: [B], radians, clockwise.
    shift: [B, 2], right and down, in sides.
    brightness: [B], added to every colour.
    contrast: [B], log2 of the factor of every colour.
    luma_flip: [B], 1 negates luma.
    hue: [B], radians.
    saturation: [B], log2 of the factor of chroma.
  """

  mirror: jax.Array
  quarter_turns: jax.Array
  pixel_shift: jax.Array
  scale: jax.Array
  first_rotation: jax.Array
  anisotropy: jax.Array
  second_rotation: jax.Array
  shift: jax.Array
  brightness: jax.Array
  contrast: jax.Array
  luma_flip: jax.Array
  hue: jax.Array
  saturation: jax.Array


def augment(
  key,
  images,
  p,
  *,
  mirror=True,
  quarter_turns=True,
  rotation=np.pi,
  scale=0.2,
  shift=0.125,
  hue=np.pi,
):
  """Transforms every image at random.

  The defaults are the paper's. Grey images (C = 1) take brightness, contrast
  and luma flip only.

  Args:
    key: random key.
    images: float [B, H, W, C] in [−1, 1], H = W, C = 1 or 3.
    p: scalar in [0, 1], may be traced; 0 leaves the images as they are.
    mirror: whether to mirror left to right.
    quarter_turns: whether to turn by multiples of 90°.
    rotation: largest angle of either rotation, radians.
    scale: deviation of log2 of either scale.
    shift: in sides: bound of the whole-pixel shift, deviation of the other.
    hue: largest turn of the hue, radians.

  Returns:
    float [B, H, W, C], not clipped.
  """
  chex.assert_rank(images, 4)
  batch, height, width, _ = images.shape
  chex.assert_equal(height, width)
  transforms = draw(
    key,
    batch,
    p,
    size=height,
    mirror=mirror,
    quarter_turns=quarter_turns,
    rotation=rotation,
    scale=scale,
    shift=shift,
    hue=hue,
  )
  return apply(images, transforms)


def draw(
  key,
  batch,
  p,
  *,
  size,
  mirror,
  quarter_turns,
  rotation,
  scale,
  shift,
  hue,
):
  """Random `Transforms` of `batch` images of `size` px, as for `augment`."""
  uniform_key, normal_key, gate_key = jax.random.split(key, 3)
  # One call per distribution: every random call is compiled anew.
  uniform = iter(jax.random.uniform(uniform_key, (8, batch)))
  normal = iter(jax.random.normal(normal_key, (7, batch)))
  gate = iter(jax.random.uniform(gate_key, (13, batch)))

  def symmetric(bound):
    return bound * (2 * next(uniform) - 1)

  def gated(values, p=p):
    return jnp.where(next(gate) < p, values, 0.0)

  # Of the two rotations at least one happens with probability p.
  either = 1 - jnp.sqrt(1 - p)
  pixel_shift = jnp.stack([symmetric(shift), symmetric(shift)])
  return Transforms(
    mirror=gated(jnp.floor(2 * next(uniform)) * mirror),
    quarter_turns=gated(jnp.floor(4 * next(uniform)) * quarter_turns),
    pixel_shift=gated(jnp.round(size * pixel_shift)).T,
    scale=gated(scale * next(normal)),
    first_rotation=gated(symmetric(rotation), either),
    anisotropy=gated(scale * next(normal)),
    second_rotation=gated(symmetric(rotation), either),
    shift=gated(shift * jnp.stack([next(normal), next(normal)])).T,
    brightness=gated(0.2 * next(normal)),
    contrast=gated(0.5 * next(normal)),
    luma_flip=gated(jnp.floor(2 * next(uniform))),
    hue=gated(symmetric(hue)),
    saturation=gated(next(normal)),
  )


def apply(images, transforms):
  """Applies `Transforms` of B images to float [B, H, W, C]."""
  t = transforms
  shift = -t.pixel_shift / images.shape[1]
  inverse = jnp.exp2(-t.anisotropy)
  # Output to input: every factor is the inverse of what the picture does.
  geometry = (
    warp.scaling(1 - 2 * t.mirror, 1.0),
    warp.rotation(-np.pi / 2 * t.quarter_turns),
    warp.translation(shift[:, 0], shift[:, 1]),
    warp.scaling(jnp.exp2(-t.scale), jnp.exp2(-t.scale)),
    warp.rotation(-t.first_rotation),
    warp.scaling(inverse, 1 / inverse),
    warp.rotation(-t.second_rotation),
    warp.translation(-t.shift[:, 0], -t.shift[:, 1]),
  )
  images = warp.homography(images, warp.compose(*geometry))
  colors = [
    color.brightness(t.brightness),
    color.contrast(jnp.exp2(t.contrast)),
    color.luma_flip(t.luma_flip),
  ]
  if images.shape[-1] == 3:
    colors += [color.hue(t.hue), color.saturation(jnp.exp2(t.saturation))]
  return color.apply(images, warp.compose(*reversed(colors)))


def create_state():
  """State of `adapt_probability` at p = 0: {'p', 'sign_sum', 'sign'}."""
  return {name: jnp.zeros(()) for name in ('p', 'sign_sum', 'sign')}


def adapt_probability(
  state, real_logits, *, count, interval, target, ramp_kimg, limit
):
  """Adapts the augmentation probability p (ADA) after one batch.

  Args:
    state: of `create_state`; `sign` is the last complete r.
    real_logits: float [B], of augmented real images.
    count: int scalar, batches so far, this one included.
    interval: batches per update of p.
    target: r that is wanted.
    ramp_kimg: thousands of real images that move p by 1.
    limit: largest p.

  Returns:
    The next state; p moves when `count` is a multiple of `interval`.
  """
  chex.assert_rank(real_logits, 1)
  sign_sum = state['sign_sum'] + jnp.sign(real_logits).mean()
  due = count % interval == 0
  sign = jnp.where(due, sign_sum / interval, state['sign'])
  step = real_logits.shape[0] * interval / (ramp_kimg * 1000)
  moved = jnp.clip(state['p'] + jnp.sign(sign - target) * step, 0.0, limit)
  return {
    'p': jnp.where(due, moved, state['p']),
    'sign_sum': jnp.where(due, 0.0, sign_sum),
    'sign': sign,
  }
