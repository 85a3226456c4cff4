"""Orientation code of palms: recognition by the directions of lines.

The code c of a palm is a field of 32 × 32 vectors (cos 2θ, sin 2θ): the
direction of the darkest line, of 8, around each pixel of a grey image of
64 × 64, averaged over 2 × 2 pixels (`ops.gabor`). Nothing is learnt. The score
of a probe p and a palm g of the gallery is the largest normalised inner product

  s(p, g) = max_{r, d} <g₀, p_{r,d}> / (|g₀| |p_{r,d}|)

of the central crop g₀ of the gallery's code with all crops p_{r,d} of the same
size of the probe's codes. There is a code for each rotation r of the probe's
image; d moves the crop by up to m cells along each side. The mean code of many
palms can be taken off both codes before.

The score is not symmetric: g keeps its centre and p shows its border.
`two_way_scores` are.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.inference import code_search
from palmjax.networks import compiled
from palmjax.ops import chunks, gabor, warp

ORIENTATIONS = 8
ROTATIONS = (-8, -4, 0, 4, 8)  # Of the probe's image, degrees.
SIZE = 32  # Side of a code in cells.
_LUMA = (299, 587, 114)  # In thousandths: Rec. ITU-R BT.601.
SCALE = 127  # int8 of a code's 1.

_IMAGE = 2 * SIZE
# A grey image whose values in [-1, 1] lie closer together shows nothing: its
# winners are rounding errors. Half a step of 8 bits.
_LEAST_RANGE = 0.5 / 127.5
# Images coded at a time: of 64 the spectra leave the cache, and cost twice.
_CHUNK = 16
# Fewer images go one by one, turned or not: one program codes them all, and
# programs take longer to compile than a few images to code.
_FEW = 8
# For fewer pairs, or fewer codes on a side, the fast search pads more than it
# saves.
MANY_PAIRS, LEAST_SIDE = 2**10, 8


class Kind(NamedTuple):
  """Settings of an orientation code: filters and shifts.

  Attributes:
    name: in results and errors.
    wave_length: of the filters, in pixels of 64.
    sigma: of the filters, in pixels of 64.
    window: side of the filters in pixels, odd.
    shift: m, largest shift of a crop along each side, in cells of 32; at least
      2.
  """

  name: str
  wave_length: float
  sigma: float
  window: int
  shift: int


FINE = Kind('fine', 6.0, 2.6, 17, 3)
WIDE6 = Kind('wide6', 7.0, 3.0, 17, 6)


def templates(images, kind):
  """Orientation codes of upright palms, for galleries; 2 kB for each palm.

  A flat image has a code of zeros: its score with every palm is 0, and with
  itself, too. In a nearly flat image noise decides: the code is arbitrary and
  the scores are finite.

  Args:
    images: uint8 [N, S, S, 3], RGB.
    kind: `Kind`.

  Returns:
    int8 [N, 32, 32, 2], codes times 127; that of an image is the same whatever
    stands beside it.

  Raises:
    ValueError: no image, or another shape or type.
  """
  if np.ndim(images) and len(images) < _FEW:
    return probes(images, kind)[:, ROTATIONS.index(0)]
  return _codes(images, kind, (0,))[:, 0]


def probes(images, kind):
  """Orientation codes of palms at all `ROTATIONS`; see `templates`.

  Turned images are mirrored beyond their border.

  Args:
    images: uint8 [N, S, S, 3], RGB.
    kind: `Kind`.

  Returns:
    int8 [N, R, 32, 32, 2]; `[:, ROTATIONS.index(0)]` equals `templates`.

  Raises:
    ValueError: no image, or another shape or type.
  """
  return _codes(images, kind, ROTATIONS)


def mean(templates):
  """Mean code of palms: int8 [N, 32, 32, 2] → float32 [32, 32, 2], / 127.

  Raises:
    ValueError: no template, or another shape or type.
  """
  templates = _checked('templates', templates, (SIZE, SIZE, 2), np.int8)
  return (templates.mean(0, dtype=np.float64) / SCALE).astype(np.float32)


def _checked(name, rows, shape, dtype):
  """`rows` as an array, or a ValueError of one line."""
  rows = np.asarray(rows)
  if rows.ndim != 1 + len(shape) or rows.shape[1:] != shape or not len(rows):
    raise ValueError(
      f'{name} of shape {rows.shape}: want [N, {", ".join(map(str, shape))}] '
      'with N at least 1'
    )
  if rows.dtype != dtype:
    raise ValueError(f'{name} are {rows.dtype}: want {np.dtype(dtype)}')
  return rows


def _codes(images, kind, rotations):
  """int8 [N, R, 32, 32, 2] of uint8 [N, S, S, 3]."""
  side = max(1, np.shape(images)[1]) if np.ndim(images) > 1 else 1
  images = _checked('images', images, (side, side, 3), np.uint8)
  # An argument, not a constant: kinds share one program.
  bank = gabor.bank(ORIENTATIONS, kind.wave_length, kind.sigma, kind.window)
  return chunks.apply(
    lambda rows: _CODERS[rotations](rows, bank),
    images,
    sizes=(1 if len(images) < _FEW else _CHUNK,),
  )


def _coder(rotations):
  """codes(images uint8 [B, S, S, 3], bank) → int8 [B, R, 32, 32, 2]."""

  def codes(images, bank):
    # Whole numbers: programs that round in another order code an image alike.
    luma = jnp.sum(images.astype(jnp.int32) * np.asarray(_LUMA), axis=-1)
    grey = (luma[..., None] - 127500).astype(jnp.float32) / 127500
    if grey.shape[1:3] != (_IMAGE, _IMAGE):
      grey = jax.image.resize(
        grey, (len(grey), _IMAGE, _IMAGE, 1), 'linear', antialias=True
      )
    flat = jnp.ptp(grey, axis=(1, 2, 3)) < _LEAST_RANGE
    if rotations != (0,):
      matrices = warp.rotation(np.deg2rad(np.asarray(rotations, np.float32)))
      grey = warp.homography(
        jnp.repeat(grey, len(rotations), axis=0),
        jnp.tile(matrices, (len(images), 1, 1)),
      )
    code = gabor.code(gabor.winners(grey, bank), ORIENTATIONS)
    code = code.reshape(len(images), len(rotations), SIZE, SIZE, 2)
    code = jnp.where(flat[:, None, None, None, None], 0.0, code)
    return jnp.round(SCALE * code).astype(jnp.int8)

  return codes


_CODERS = {
  rotations: compiled.network(_coder(rotations), 'orientation code', rotations)
  for rotations in ((0,), ROTATIONS)
}


def scores(probes, gallery, kind, *, mean=None):
  """Similarity of all pairs of codes; higher is more alike.

  Args:
    probes: int8 [P, R, 32, 32, 2], from `probes`.
    gallery: int8 [G, 32, 32, 2], from `templates`.
    kind: `Kind` of both.
    mean: float [32, 32, 2], from `mean`, taken off both; None: nothing is. It
      is not taken off a code of zeros.

  Returns:
    float32 [P, G] in [-1, 1], a NumPy array. A crop of zeros has a score of 0.

  Raises:
    ValueError: no palm on a side, another shape or type, or a mean that is not
      finite.
  """
  code = SIZE, SIZE, 2
  probes = _checked('probes', probes, (len(ROTATIONS), *code), np.int8)
  gallery = _checked('gallery', gallery, code, np.int8)
  if mean is None:
    mean = np.zeros(code, np.float32)
  if np.shape(mean) != code or not np.isfinite(mean).all():
    raise ValueError(
      f'a mean of shape {np.shape(mean)}: want finite numbers, {list(code)}'
    )
  mean = np.asarray(mean, np.float32)
  sides = len(probes), len(gallery)
  many = math.prod(sides) > MANY_PAIRS and min(sides) >= LEAST_SIDE
  search = code_search.fast if many else code_search.full
  return search(probes, gallery, mean, kind.shift)


def two_way_scores(probes, gallery, kind, *, mean=None):
  """The mean of `scores` of both directions: ½ s(p, g) + ½ s(g, p).

  Which side is the probe changes nothing. A gallery that is the same object as
  the probes is compared once.

  Args:
    probes: int8 [P, R, 32, 32, 2], from `probes`.
    gallery: int8 [G, R, 32, 32, 2], likewise.
    kind: `Kind` of both.
    mean: as for `scores`.

  Returns:
    float32 [P, G] in [-1, 1], a NumPy array.

  Raises:
    ValueError: as `scores`.
  """
  probes, gallery = (
    _checked(name, codes, (len(ROTATIONS), SIZE, SIZE, 2), np.int8)
    for name, codes in (('probes', probes), ('gallery', gallery))
  )
  upright = ROTATIONS.index(0)
  one = scores(probes, gallery[:, upright], kind, mean=mean)
  if gallery is probes:
    return (one + one.T) / 2
  return (one + scores(gallery, probes[:, upright], kind, mean=mean).T) / 2
