"""Drawn palms of 64 px, and templates of nothing."""

import functools

import jax
import numpy as np

from palmjax.data.palms import palms
from palmjax.inference import parts

COUNT = 64


@functools.cache
def draw(seed, difficulty, sample=0):
  """`COUNT` different palms, one image each: uint8 [COUNT, 64, 64, 3]."""
  images = palms.draw_batch(
    jax.random.key(seed),
    np.arange(COUNT),
    np.full(COUNT, sample),
    size=64,
    difficulty=difficulty,
  )
  images = np.asarray(images)
  images.flags.writeable = False
  return images


def random_templates(rng, count, *, dimension=16, shared=0.0):
  """Templates of independent random numbers, with `shared` of one direction."""

  def codes():
    rough = rng.normal(size=(count, 5, 8, 8, 2)).repeat(4, 2).repeat(4, 3)
    return np.clip(40 * rough, -127, 127).astype(np.int8)

  embeddings = rng.normal(size=(count, dimension)) / np.sqrt(dimension)
  embeddings[:, 0] += shared
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  return parts.Templates(codes(), codes(), embeddings.astype(np.float32))


def cheap_compare(probes, gallery, means):
  """Cosines less the means, thrice: what stands in for `parts.compare`."""

  def cosines(a, b):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return a @ b.T

  def upright(codes):
    return codes[:, parts.UPRIGHT].reshape(len(codes), -1) / 127

  found = [
    cosines(upright(a) - mean.ravel(), upright(b) - mean.ravel())
    for a, b, mean in zip(probes[:2], gallery[:2], means[:2], strict=True)
  ]
  found.append(
    cosines(probes.network - means.network, gallery.network - means.network)
  )
  return np.stack(found).astype(np.float32)
