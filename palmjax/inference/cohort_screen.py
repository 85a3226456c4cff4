"""Finds images that make a cohort wrong: odd images, and one palm twice."""

from typing import NamedTuple

import numpy as np

from palmjax.inference import cohort, parts

# A pair beyond the score that so many of a whole cohort's pairs reach is one
# palm twice.
_HIDDEN = 1e-2
# No command makes the counts that are named below.
# Raw scores of the part 'fine' are about 0.12 to 0.2 between palms.
_ONE_PALM = 0.35
# Robust deviations from the other images. No palm was beyond it in 1,600
# cohorts of 30 to 120 drawn or real palms.
_ODD = 6.5
# Images of noise have a coherence of 0.147 ± 0.008. The lowest of 2,400 drawn
# palms had 0.174, and of 123 real ones, from small photos, 0.269 …
_NOISE = 0.1625
# … but where all palms are noisy none of them is odd. Noise among 37 drawn
# palms was 3 robust deviations or more below them in 95 % of draws.
_BELOW = 3.0


class Screening(NamedTuple):
  """Images that make a cohort wrong: odd images, and one palm twice.

  Attributes:
    odd: images that look like no other palm.
    twins: pairs (i, j), i < j, that show one palm; neither is odd.
  """

  odd: tuple[int, ...]
  twins: tuple[tuple[int, int], ...]


def duplicates(templates):
  """Pairs (i, j), i < j, of equal codes: j is a copy of the image i.

  Args:
    templates: `parts.Templates` of N palms.

  Returns:
    A tuple; of several copies each stands once, with the first image.
  """
  seen, pairs = {}, []
  for j in range(len(templates.network)):
    codes = b''.join(
      codes[j].tobytes() for codes in templates[: len(parts.CODES)]
    )
    first = seen.setdefault(codes, j)
    if first != j:
      pairs.append((first, j))
  return tuple(pairs)


def screen(templates):
  """Finds odd images and duplicate palms among the images of a cohort.

  An odd image scores lower with the others than palms do, or the directions of
  neighbouring lines agree more or less than in palms. One colour and blur are
  found, bold patterns often, and nine of ten images of white noise. Not found,
  as a rule: noise among noisy palms, blur as fine as creases, slow gradients,
  and palms that are turned.

  Among 60 drawn palms a second image of a palm was found in 80 of 80 cases at a
  difficulty of 0.4, in 73 at 0.6 and in 64 at 0.8. No command makes these
  counts. Text, hands and backs of hands are counted by `launch.nonpalms`.

  Args:
    templates: `parts.Templates` of N palms, N at least 3.

  Returns:
    `Screening`.

  Raises:
    ValueError: the images look like images of one palm, or an embedding is not
      finite.
  """
  parts.require_finite(templates)
  count = len(templates.network)
  raw = parts.compare(
    templates, templates, parts.no_means(templates.network.shape[1])
  )
  upper = np.triu_indices(count, 1)
  raw = np.stack([part[upper] for part in raw])
  if np.median(raw[0]) > _ONE_PALM:
    raise ValueError(
      'most of these images look like images of one palm: give one image each '
      'of different palms'
    )
  total = np.zeros((count, count))
  total[upper] = raw[:2].mean(axis=0)
  typical = (total + total.T).sum(axis=1) / (count - 1)
  coherence = _coherence(templates)
  z = _robust(np.stack([typical, _agreement(templates.fine), coherence]))
  odd = (z[0] < -_ODD) | (np.abs(z[1]) > _ODD)
  odd |= (coherence < _NOISE) & (z[2] < -_BELOW)
  fused = parts.fuse(_robust(raw), parts.Standard(np.zeros(3), np.ones(3)))
  # Hidden twins are in the last percent, and not in what is fitted.
  start, stop = np.quantile(fused, (0.95, 0.99))
  slope = (stop - start) / np.log(0.05 / 0.01)
  limit = start + slope * np.log(0.05 * len(fused) / _HIDDEN)
  alike = (fused > limit) & ~odd[upper[0]] & ~odd[upper[1]]
  twins = set(zip(*(x[alike].tolist() for x in upper), strict=True))
  # Where many palms are there twice the tail does not tell them.
  twins |= {(i, j) for i, j in duplicates(templates) if not odd[[i, j]].any()}
  return Screening(tuple(np.flatnonzero(odd).tolist()), tuple(sorted(twins)))


def _agreement(codes):
  """How far the directions in a cell agree, [N]: 1 if all are one."""
  upright = codes[:, parts.UPRIGHT].astype(np.float64)
  squares = (upright / parts.orientation_code.SCALE) ** 2
  return np.sqrt(squares.sum(axis=-1).mean(axis=(1, 2)))


def _coherence(templates):
  """How far directions agree within 2 × 2 and 4 × 4 cells, [N].

  The mean over both codes. Lines are longer than that, and noise has none.
  """
  shares = []
  for codes in templates[: len(parts.CODES)]:
    upright = codes[:, parts.UPRIGHT] / parts.orientation_code.SCALE
    for cells in (2, 4):
      blocks = upright.shape[1] // cells
      means = upright.reshape(-1, blocks, cells, blocks, cells, 2)
      squares = means.mean(axis=(2, 4)) ** 2
      shares.append(squares.sum(axis=-1).mean(axis=(1, 2)))
  return np.mean(shares, axis=0)


def _robust(values):
  """Deviations from the median of each row, [K, I]."""
  middle = np.median(values, axis=1, keepdims=True)
  spread = np.median(np.abs(values - middle), axis=1, keepdims=True)
  return (values - middle) / np.maximum(1.4826 * spread, 1e-6)


def require_clean(templates):
  """Raises ValueError where `screen` finds something wrong; names the first."""
  cohort.require_enough(templates)
  wrong = screen(templates)
  if wrong.odd:
    raise ValueError(
      f'images {", ".join(map(str, wrong.odd[:5]))}: unlike the other palms; '
      'look at them, and leave out what shows no palm'
    )
  if wrong.twins:
    pairs = ', '.join(f'{i} and {j}' for i, j in wrong.twins[:5])
    raise ValueError(
      f'images {pairs} look like one palm: give one image of each palm'
    )
