"""Equal error rate against the share of every image that is erased.

In each image a square of the wanted share, at a random place inside it, gets
one random colour: both images of a pair are covered, each elsewhere. Over the
shares a square stays about where it is and grows, and the bootstrap draws the
same identities, so the curve is smoother than its points are certain.
"""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.recognition import verification
from palmjax.ops import erase

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)


@jax.jit
def erase_squares(key, images, share):
  """Images with a square erased: a pure function of the key.

  Args:
    key: PRNG key. What happens to an image depends on it and the position of
      the image, not on the other images.
    images: uint8 [N, H, W, C].
    share: of the area, in [0, 1]; exact on average, within a pixel a side. In
      an image that is not square the rectangle has its proportions.

  Returns:
    uint8 [N, H, W, C].
  """
  chex.assert_rank(images, 4)
  chex.assert_type(images, jnp.uint8)
  keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(len(images)))
  numbers = images.shape[3] + 2
  uniform = jax.vmap(lambda k: jax.random.uniform(k, (numbers,)))(keys)
  area = jnp.full(len(images), share, jnp.float32)
  half = 0.5 * jnp.sqrt(area)[:, None]
  centre = half + (1.0 - 2.0 * half) * uniform[:, :2]
  covered = erase.rectangles(
    area, jnp.ones_like(area), centre, images.shape[1:3]
  )
  colour = jnp.floor(256.0 * uniform[:, None, None, 2:]).astype(jnp.uint8)
  return jnp.where(covered[..., None], colour, images)


def curve(
  embed: Callable,
  images,
  labels,
  key,
  *,
  shares: Sequence[float] = SHARES,
  resampling=bootstrap.DEFAULT,
) -> dict:
  """EER of all pairs at each erased share, with intervals over identities.

  Args:
    embed: uint8 [N, H, W, C] → float [N, D], unit L2 norm; batches are its own
      affair.
    images: uint8 [N, H, W, C].
    labels: integer [N].
    key: PRNG key of the places and colours.
    shares: each in [0, 1).
    resampling: of the intervals, the same at each share.

  Returns:
    {share: {'value', 'low', 'high'}}, in the order of `shares`.

  Raises:
    ValueError: a share is outside of [0, 1), or see `verification.pair_scores`.
  """
  if not all(0.0 <= share < 1.0 for share in shares):
    raise ValueError('An erased share must be at least 0 and below 1.')
  eers = {}
  for share in shares:
    erased = np.asarray(erase_squares(key, images, share))
    eers[share] = verification.evaluate(
      embed(erased),
      labels,
      fars=(),
      resampling=resampling,
    )['eer']
  return eers
