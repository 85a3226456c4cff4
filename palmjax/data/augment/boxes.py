"""Random changes of annotated images: the picture, its boxes and its points.

For each image on its own, as one map from the centre of the image,

  p' = s R_k F p + t,

a mirror F, k quarter turns R_k, an enlargement s and a shift t, or a closer
look, in which s and t put one of the hands into the middle; then colour,
brightness, contrast, blur and noise, and a rectangle erased. Under such maps a
box stays exactly the box of what it held, which under other turns it would not.
What comes in from beyond the border is grey: a mirrored border would show hands
without a box.
"""

import chex
import jax
import jax.numpy as jnp

from palmjax.data.augment import palms as palm_augment
from palmjax.ops import color, pixels, warp
from palmjax.ops import erase as erasing

# A box of which less is left, inside the image and not erased, is not valid.
LEFT = 0.4
# Area of an erased rectangle, share of the image.
_ERASED = (0.01, 0.08)
# Share of a closer look that the longer side of the hand takes, and how much
# closer it may be; hands that fill the image are not looked at from afar.
CLOSER_FILL = (0.35, 0.85)
_CLOSER_SIZE = (0.8, 4.0)


def make_augment(
  *,
  mirror,
  turns,
  scale,
  shift,
  saturation,
  hue,
  grey,
  brightness,
  contrast,
  blur,
  noise,
  erase,
  closer=0.0,
  size=None,
):
  """Builds the augmentation; every strength 0 leaves images untouched.

  Args:
    mirror: whether half of the images are mirrored, left to right.
    turns: whether images are turned by 0, 90, 180 or 270 degrees.
    scale: standard deviation of the log of the size.
    shift: standard deviation along each axis, share of the side.
    saturation: standard deviation of the log of the factor of chroma.
    hue: standard deviation in degrees.
    grey: probability that the colours are taken away.
    brightness, contrast, blur, noise: as in `palms.make_augment`.
    erase: probability that a rectangle of one random colour covers a part.
    closer: probability that an image with hands is a closer look at one.
    size: side of the result in pixels; None: that of the images. Theirs may be
      larger, which closer looks gain from; four pixels are read for each, no
      more, so that what is made less than half as large loses detail to chance.

  Returns:
    augment(key, batch) -> batch, dicts of image uint8 [B, S, S, 3]; boxes
    float32 [B, M, 4]; classes int32, valid, framed and facing bool, each
    [B, M]; points float32 [B, M, 3, 2]. Other entries are left out. Boxes are
    clipped to the image; one of which less than `LEFT` of the area is left
    becomes a row of zeros, not valid. A palm frame with a point outside the
    image is no longer `framed`. A mirrored palm still faces the camera. What
    happens to an image depends on the key and its position, not on the other
    images of the batch or their number.

  Raises:
    ValueError: a negative strength, or a probability above 1.
  """
  _check_strengths(scale=scale, shift=shift, erase=erase, closer=closer)
  recolour = make_recolour(saturation=saturation, hue=hue, grey=grey)
  change_light = palm_augment.make_light(
    brightness=brightness,
    contrast=contrast,
    blur=blur,
    noise=noise,
    erase=0,
  )

  def augment(key, batch):
    _check(batch)
    count, side = batch['image'].shape[:2]
    own_key, light_key = jax.random.split(key)
    # One key for each image, which the size of the batch does not enter.
    keys = jax.vmap(lambda i: jax.random.fold_in(own_key, i))(jnp.arange(count))
    keys = jax.vmap(jax.random.split)(keys)
    # All numbers in two draws: random bits are slow to compile.
    normal = jax.vmap(lambda k: jax.random.normal(k, (5,)))(keys[:, 0])
    uniform = jax.vmap(lambda k: jax.random.uniform(k, (14,)))(keys[:, 1])

    images = pixels.to_float(batch['image'])
    notes = {name: batch[name] for name in _SHAPES}
    full = _area(notes['boxes'])
    side, given = size or side, side
    # Strengths are Python numbers: what is 0 costs nothing and changes nothing.
    if mirror or turns or scale or shift or closer or side != given:
      matrices = _matrices(
        flip=jnp.where(mirror & (uniform[:, 0] < 0.5), -1.0, 1.0),
        turn=jnp.floor(4 * uniform[:, 1]).astype(jnp.int32) * turns,
      )
      enlarged = jnp.exp(scale * normal[:, 0])
      centre = jnp.zeros((count, 2))
      if closer:
        enlarged, centre = _closer(
          uniform[:, 11:], notes, given, enlarged, chance=closer
        )
      matrices *= enlarged[:, None, None]
      offsets = shift * normal[:, 1:3] - _apply(matrices, centre)
      images = _move_images(images, matrices, offsets, side)
      notes = _move_notes(notes, matrices, offsets, given, side)
      full *= jnp.square(enlarged * side / given)[:, None]
    images = recolour(images, normal[:, 3], normal[:, 4], uniform[:, 2])
    images = change_light(light_key, images)
    left = _area(notes['boxes'])
    if erase:
      covered = erasing.random_rectangles(
        uniform[:, 3:7], (side, side), area=_ERASED
      )
      covered &= (uniform[:, 7] < erase)[:, None, None]
      colour = 2 * uniform[:, None, None, 8:11] - 1
      images = jnp.where(covered[..., None], colour, images)
      left -= _covered_area(covered, notes['boxes'])
    seen = (left >= LEFT * full) & (left > 0)
    notes = _keep(notes, notes['valid'] & seen)
    return {'image': pixels.to_uint8(images), **notes}

  return augment


def make_recolour(*, saturation, hue, grey):
  """Builds random changes of colour that keep the light.

  Args:
    saturation, hue, grey: as in `make_augment`.

  Returns:
    recolour(images float [B, H, W, 3], normal [B], normal [B], uniform [B]) ->
    the same shape; the draws are those of chroma, hue and chance of grey.

  Raises:
    ValueError: a negative strength, or a probability above 1.
  """
  _check_strengths(saturation=saturation, hue=hue, grey=grey)

  def recolour(images, chroma, turn, chance):
    if not (saturation or hue or grey):
      return images
    chroma = jnp.where(chance < grey, 0.0, jnp.exp(saturation * chroma))
    turned = color.hue(jnp.deg2rad(hue) * turn)
    return color.apply(images, warp.compose(color.saturation(chroma), turned))

  return recolour


def _check_strengths(**strengths):
  for name, value in strengths.items():
    chance = name in ('grey', 'erase', 'closer')
    if value < 0 or (chance and value > 1):
      raise ValueError(
        f'{name}={value}: give '
        + ('a probability, 0 to 1' if chance else '0 or more')
      )


_SHAPES = {
  'boxes': (4,),
  'classes': (),
  'valid': (),
  'points': (3, 2),
  'framed': (),
  'facing': (),
}


def _check(batch):
  count, side = batch['image'].shape[:2]
  chex.assert_shape(batch['image'], (count, side, side, 3))
  room = batch['valid'].shape[1]
  for name, shape in _SHAPES.items():
    chex.assert_shape(batch[name], (count, room, *shape))


def _closer(uniform, notes, side, enlarged, *, chance):
  """Enlargement and centre of looks, some of them at one hand each.

  Args:
    uniform: float [B, 3].
    notes: with 'boxes' and 'valid'.
    side: of the images in pixels.
    enlarged: float [B], of the looks that are at no hand.
    chance: of a look at a hand.

  Returns:
    float [B], and [B, 2] in sides from the centre of the image.
  """
  valid = notes['valid']
  # One of the valid ones: the k-th, k at random.
  number = jnp.sum(valid, axis=1, keepdims=True)
  wanted = jnp.floor(uniform[:, 1:2] * number)
  index = jnp.argmax(valid & (jnp.cumsum(valid, axis=1) == wanted + 1), axis=1)
  box = jnp.take_along_axis(notes['boxes'], index[:, None, None], axis=1)[:, 0]
  low, high = jnp.split(box / side, 2, axis=-1)
  least, most = CLOSER_FILL
  fill = least + (most - least) * uniform[:, 2]
  near = jnp.clip(
    fill / jnp.maximum(jnp.max(high - low, axis=-1), 1e-3), *_CLOSER_SIZE
  )
  chosen = (uniform[:, 0] < chance) & (number[:, 0] > 0)
  return (
    jnp.where(chosen, near, enlarged),
    jnp.where(chosen[:, None], (low + high) / 2 - 0.5, 0.0),
  )


def _matrices(*, flip, turn):
  """R_k F, [B, 2, 2], of flips ±1 and quarter turns clockwise."""
  # Whole numbers, which a cosine in float32 is not.
  cos = jnp.array([1.0, 0.0, -1.0, 0.0])[turn]
  sin = jnp.array([0.0, 1.0, 0.0, -1.0])[turn]
  rows = jnp.stack([cos * flip, -sin, sin * flip, cos], axis=-1)
  return rows.reshape(-1, 2, 2)


def _apply(matrices, points):
  """matrices [B, 2, 2] on points [B, ..., 2], in full float32."""
  return jnp.einsum('bij,b...j->b...i', matrices, points, precision='highest')


def _move_images(images, matrices, offsets, side):
  """Moves pictures, in sides from the centre; grey beyond the border."""
  place = warp.grid(side, side) - offsets[:, None, None]
  # The transpose over s² is the inverse of s times an orthogonal matrix.
  square = jnp.sum(jnp.square(matrices[:, 0]), axis=-1)[:, None, None]
  place = _apply(jnp.swapaxes(matrices, 1, 2) / square, place)
  inside = jnp.all(jnp.abs(place) < 0.5, axis=-1, keepdims=True)
  return jnp.where(inside, warp.warp(images, place), 0.0)


def _move_notes(notes, matrices, offsets, given, side):
  """Moves boxes and points as `_move_images` does, of sides in pixels."""

  def move(points):
    shift = offsets.reshape(-1, *[1] * (points.ndim - 2), 2)
    return side * (_apply(matrices, points / given - 0.5) + shift + 0.5)

  corners = move(notes['boxes'].reshape(*notes['boxes'].shape[:2], 2, 2))
  boxes = jnp.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=-1)
  points = move(notes['points'])
  inside = jnp.all((points >= 0) & (points <= side), axis=(2, 3))
  return {
    **notes,
    'boxes': jnp.clip(boxes, 0, side),
    'points': points,
    'framed': notes['framed'] & inside,
  }


def _covered_area(covered, boxes):
  """Square pixels of boxes [B, M, 4] under rectangles [B, S, S]: [B, M]."""
  start = jnp.arange(covered.shape[1], dtype=jnp.float32)
  area = 1.0
  for axis, low, high in ((1, 0, 2), (2, 1, 3)):
    # Of each column and each row of pixels, what lies in the box.
    shared = jnp.minimum(start + 1, boxes[..., high, None])
    shared = jnp.clip(shared - jnp.maximum(start, boxes[..., low, None]), 0, 1)
    area *= jnp.sum(shared * covered.any(axis=axis)[:, None], axis=-1)
  return area


def _area(boxes):
  return jnp.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _keep(notes, valid):
  """`notes` with zeros in all rows but the `valid` ones."""

  def keep(values):
    mask = valid.reshape(*valid.shape, *[1] * (values.ndim - 2))
    return jnp.where(mask, values, jnp.zeros((), values.dtype))

  return jax.tree.map(keep, notes)
