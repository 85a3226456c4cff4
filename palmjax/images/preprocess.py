"""From an image to the network's input; one function for training and use.

Its numbers travel with the exported network (`preprocess.json`): whoever uses
it applies them again, and edited ones are refused (`networks.export`).

Local contrast normalisation takes the light away and leaves the creases; of
all that was tried it carried drawn palms over to real ones best. The formula
is in `ops.contrast`.
"""

import dataclasses
import math
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp

from palmjax import json_values
from palmjax.images import network_input
from palmjax.ops import blur, contrast, pixels

CONTRASTS = ('local', 'none')
# Blurs of `crease_images`, in pixels.
_DENOISE, _SMOOTH = 0.8, 0.6
_GAIN = 2.5  # Deviation .19 before, so that few pixels are clipped.


# How a palm that this code cuts out lies in its image.
_ROI_FRAME = 'fingers up, thumb side left for a left palm'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocess(network_input.NetworkInput):
  """Input of a palm network: image size, channels, contrast, palm frame.

  Attributes:
    channels: 'grey' or 'rgb'.
    contrast: 'local' normalisation or 'none'.
    contrast_sigma: local normalisation: width of the high-pass, share of the
      side; the deviation is taken over twice that.
    contrast_floor: added to the local deviation; above the noise of skin.
    contrast_clip: largest absolute value of the result.
    roi_frame: how the palm lies in the image.
    metric: how two embeddings of the network are compared.
  """

  channels: str = 'grey'
  contrast: str = 'local'
  contrast_sigma: float = 0.08
  contrast_floor: float = 0.01
  contrast_clip: float = 3.0
  roi_frame: str = _ROI_FRAME
  metric: str = 'cosine'

  RULES: ClassVar[dict[str, json_values.Rule]] = {
    **network_input.NetworkInput.RULES,
    'channels': json_values.one_of(*sorted(network_input.CHANNELS)),
    'contrast': json_values.one_of(*CONTRASTS),
    'contrast_sigma': json_values.between(0, 1),
    'contrast_floor': json_values.between(0, math.inf),
    'contrast_clip': json_values.between(0, math.inf),
    'roi_frame': json_values.one_of(_ROI_FRAME),
    'metric': json_values.one_of('cosine', 'euclidean'),
  }

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
