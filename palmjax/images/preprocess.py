"""From an image to the network's input; one function for training and use.

Its numbers travel with the exported network (`preprocess.json`): whoever uses
it applies them again, and edited ones are refused (`networks.export`).

Local contrast normalisation takes the light away and leaves the creases; of
all that was tried it carried drawn palms over to real ones best. The formula
is in `ops.contrast`.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp

from palmjax.ops import blur, contrast, pixels

CHANNELS = {'grey': 1, 'rgb': 3}
CONTRASTS = ('local', 'none')
# Blurs of `crease_images`, in pixels.
_DENOISE, _SMOOTH = 0.8, 0.6
_GAIN = 2.5  # Deviation .19 before, so that few pixels are clipped.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocess:
  """What images go through before the network.

  Attributes:
    image_size: side of the network's input in pixels.
    channels: 'grey' or 'rgb'.
    value_range: of the images that `apply` is given.
    contrast: 'local' normalisation or 'none'.
    contrast_sigma: local normalisation: width of the high-pass, share of the
      side; the deviation is taken over twice that.
    contrast_floor: added to the local deviation; above the noise of skin.
    contrast_clip: largest absolute value of the result.
    roi_frame: how the palm lies in the image.
    metric: how two embeddings of the network are compared.
  """

  image_size: int
  channels: str = 'grey'
  value_range: tuple[float, float] = (-1.0, 1.0)
  contrast: str = 'local'
  contrast_sigma: float = 0.08
  contrast_floor: float = 0.01
  contrast_clip: float = 3.0
  roi_frame: str = 'fingers up, thumb side left for a left palm'
  metric: str = 'cosine'

  def __post_init__(self):
    """Raises ValueError on values that no image can be brought to."""
    if self.image_size < 8:
      raise ValueError(f'image_size={self.image_size}: give 8 pixels or more')
    if self.channels not in CHANNELS:
      raise ValueError(
        f'channels={self.channels!r}: choose one of {sorted(CHANNELS)}'
      )
    if self.contrast not in CONTRASTS:
      raise ValueError(
        f'contrast={self.contrast!r}: choose one of {list(CONTRASTS)}'
      )
    if self.value_range != (-1.0, 1.0):
      raise ValueError(
        f'value_range={self.value_range}: this code works in (-1.0, 1.0)'
      )

  @property
  def shape(self):
    """Shape (h, w, c) of one image of the network's input."""
    return (self.image_size, self.image_size, CHANNELS[self.channels])

  def apply(self, images):
    """Prepares images; pure, for use inside jit.

    Args:
      images: float [B, H, H, 3] in [-1, 1], of any size.

    Returns:
      float32 [B, image_size, image_size, 1 or 3]: with local contrast in
      [-contrast_clip, contrast_clip], else in [-1, 1].
    """
    chex.assert_shape(images, (None, None, None, 3))
    images = images.astype(jnp.float32)
    if self.channels == 'grey':
      images = contrast.grey(images)
    size = (self.image_size, self.image_size)
    if images.shape[1:3] != size:
      images = jax.image.resize(
        images, (len(images), *size, images.shape[3]), 'linear', antialias=True
      )
    if self.contrast == 'local':
      images = contrast.normalise(
        images,
        sigma=self.contrast_sigma,
        floor=self.contrast_floor,
        clip=self.contrast_clip,
      )
    return images

  def to_json(self):
    """Returns the plain values for `preprocess.json`."""
    return {**dataclasses.asdict(self), 'value_range': list(self.value_range)}

  @classmethod
  def from_json(cls, values):
    """Builds it from `to_json`'s values.

    Raises:
      ValueError: a key is missing, unknown, or has an impossible value.
    """
    known = {field.name for field in dataclasses.fields(cls)}
    if odd := sorted(known ^ values.keys()):
      raise ValueError(
        f'preprocess.json: {odd[0]!r} is '
        + ('missing' if odd[0] in known else 'unknown to this version')
        + '; export the network again'
      )
    return cls(**{**values, 'value_range': tuple(values['value_range'])})


def crease_images(images):
  """Pictures of the creases alone: denoised, local contrast normalised, grey.

  A generator with little time spends it on skin tone and light, which fill a
  photograph, and never comes to the creases, which do not. Here they are the
  whole picture. `Preprocess.apply` hardly changes such a picture further, so
  that a network takes it like a photograph.

  Args:
    images: uint8 [N, S, S, 3].

  Returns:
    uint8 [N, S, S, 3], the three channels equal.
  """
  chex.assert_shape(images, (None, None, None, 3))
  grey = contrast.grey(pixels.to_float(jnp.asarray(images)))
  grey = blur.gaussian(grey, _DENOISE, border='reflect')
  clip = 3.0
  lines = contrast.normalise(grey, clip=clip) / clip
  # Normalisation lifts what noise the first blur left.
  lines = blur.gaussian(lines, _SMOOTH, border='reflect')
  # Of full contrast: a discriminator sees faint lines late.
  lines = jnp.clip(_GAIN * lines, -1.0, 1.0)
  return jnp.repeat(pixels.to_uint8(lines), 3, axis=-1)
