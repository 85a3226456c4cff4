"""Drawn palms of 64 px, and templates of nothing."""

import functools

import jax
import numpy as np

from palmjax.data.palms import palms
from palmjax.inference import parts
from palmjax.ops import chunks

COUNT = 64


def draw_all(seed, identities, samples, difficulty, devices=None):
  """Any number of palms: uint8 [N, 64, 64, 3].

  A program for another number takes 6 CPU-seconds to compile, and a palm 0.02
  to draw: `COUNT` are drawn at a time.
  """
  samples = np.asarray(samples)
  if devices is None:
    devices = palms.device_of(palms.session_of(samples))

  def draw_rows(rows):
    identities, samples, devices = rows.T
    return palms.draw_batch(
      jax.random.key(seed),
      *(identities, samples),
      size=64,
      difficulty=difficulty,
      devices=devices,
    )

  rows = np.stack([identities, samples, devices], axis=1)
  return chunks.apply(draw_rows, rows, sizes=(COUNT,))


@functools.cache
def draw(seed, difficulty, sample=0):
  """`COUNT` different palms, one image each: uint8 [COUNT, 64, 64, 3]."""
  images = draw_all(seed, np.arange(COUNT), np.full(COUNT, sample), difficulty)
  images.flags.writeable = False
  return images


def see_pixels(images):
  """Embeddings that tell little: pixels of a small grey image."""
  small = images.mean(axis=-1).reshape(-1, 8, 8, 8, 8).mean(axis=(2, 4))
  flat = small.reshape(len(small), -1)
  flat = flat - flat.mean(axis=1, keepdims=True)
  norms = np.linalg.norm(flat, axis=1, keepdims=True)
  return (flat / np.maximum(norms, 1e-6)).astype(np.float32)


@functools.cache
def templates(seed, difficulty):
  """What `draw` gives, as templates with the embeddings of `see_pixels`."""
  return parts.templates(see_pixels, draw(seed, difficulty))


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
  codes = cheap_code_scores(probes, gallery, means)
  network = parts.network_scores(probes.network, gallery.network, means)
  return np.concatenate([codes, network[None]])


def cheap_code_scores(probes, gallery, means):
  """Cosines of codes less the means, without a search for the best shift."""

  def cosines(a, b):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return a @ b.T

  def upright(codes):
    return codes[:, parts.UPRIGHT].reshape(len(codes), -1) / 127

  scores = [
    cosines(upright(a) - mean.ravel(), upright(b) - mean.ravel())
    for a, b, mean in zip(probes[:2], gallery[:2], means[:2], strict=True)
  ]
  return np.stack(scores).astype(np.float32)


def compare_cheaply(monkeypatch):
  """Makes `parts` compare codes without a search."""
  monkeypatch.setattr(parts, 'code_scores', cheap_code_scores)
