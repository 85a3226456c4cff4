"""Scores of two palms, and thresholds: turns, fusion, calibration.

Two palms a, b are called the same where their score s reaches a threshold t:

  cosine             s = e(a)·e(b), embeddings of unit norm
  8 turns            s = ⅛ Σ_g e(g a)·e(g b) over the rotations by 90° of the
                     image and of its mirror image
  with correlation   s = ½ [(s_n − μ_n) / σ_n + (s_c − μ_c) / σ_c]

n is the network, c correlation, μ and σ are over impostor pairs. The score of 8
turns is a product of unit vectors, too: the 8 embeddings one after the other
over √8. Files call that score 'cosine, 8 views'.

`calibration.json` beside the weights of an export holds the thresholds of each
score and what they were set on. It names the digests of the weights and of the
pre-processing: thresholds that belong to others are refused.
"""

import dataclasses
import json
import os

import chex
import numpy as np

from palmjax import files
from palmjax.evals.recognition import (
  binned_rates,
  error_rates,
  streaming,
  verification,
)
from palmjax.inference import parts
from palmjax.networks import export as exports

FORMAT = 1
TURNS = 8

_CALIBRATION = 'calibration.json'
CHUNK = 1024  # Images whose turns are in memory at a time.


class NotCalibratedError(ValueError):
  """No threshold is known for a kind of score."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
  """Thresholds of one kind of score.

  Attributes:
    comparison: the kind, from `comparison`.
    dataset: what the impostor pairs were drawn from, in words.
    impostor_pairs: how many there were.
    thresholds: pairs (FMR, threshold), the rates falling.
    standard: `parts.Standard` of network and correlation, else None.
  """

  comparison: str
  dataset: str
  impostor_pairs: int
  thresholds: tuple[tuple[float, float], ...]
  standard: parts.Standard | None = None

  def threshold(self, fmr):
    """The threshold set for a false match rate.

    Raises:
      ValueError: none was set for this rate; names those that were.
    """
    return error_rates.threshold_for(
      self.thresholds,
      fmr,
      f'{self.impostor_pairs:,} impostor pairs support (rule of 30) those',
    )

  def describe(self):
    """Describes the pairs that the thresholds were set on, in words."""
    return f'{self.impostor_pairs:,} impostor pairs: {self.dataset}'


def comparison(*, turns=False, correlation=False):
  """Name of a kind of score, e.g. 'cosine, 8 views'."""
  return (
    'cosine'
    + (', 8 views' if turns else '')
    + (', with correlation' if correlation else '')
  )


def embed_turns(embed, images):
  """Embeddings of the 8 turns of each image, as one vector of unit norm.

  Args:
    embed: uint8 [N, S, S, 3] → float32 [N, D], unit norm.
    images: uint8 [N, S, S, 3].

  Returns:
    float32 [N, 8 D]; products of two are the mean over turns.
  """
  chex.assert_rank(images, 4)
  chex.assert_equal(images.shape[1], images.shape[2])
  return np.concatenate(
    [
      _embed_turns_of_chunk(embed, images[start : start + CHUNK])
      for start in range(0, max(1, len(images)), CHUNK)
    ]
  )


def _embed_turns_of_chunk(embed, images):
  turned = [
    np.rot90(side, quarters, axes=(1, 2))
    for side in (images, images[:, :, ::-1])
    for quarters in range(TURNS // 2)
  ]
  # All at once: few images fill one chunk of `embed` instead of 8.
  parts = np.split(embed(np.concatenate(turned)), len(turned))
  return np.concatenate(parts, axis=1) / np.sqrt(np.float32(len(turned)))


def standardise(network, correlation):
  """Mean and standard deviation of impostor scores, as `parts.Standard`."""
  both = [np.asarray(part, np.float64) for part in (network, correlation)]
  chex.assert_rank(both, 1)
  return parts.Standard(
    mean=tuple(float(part.mean()) for part in both),
    std=tuple(float(part.std()) for part in both),
  )


def fuse(network, correlation, standard):
  """Fuses network and correlation: mean of standardised scores, float64."""
  both = [np.asarray(part, np.float64) for part in (network, correlation)]
  chex.assert_equal_shape(both)
  return 0.5 * sum(
    (part - mean) / std
    for part, mean, std in zip(both, standard.mean, standard.std, strict=True)
  )


def calibrate(
  impostor, *, comparison, dataset, standard=None, fmrs=verification.FMRS
):
  """Sets the thresholds of one kind of score.

  Args:
    impostor: float [I], scores of impostor pairs, or `streaming.Counts`.
    comparison: the kind of score, from the function of that name.
    dataset: what the pairs were drawn from, in words.
    standard: that of the scores where correlation is in them, else None.
    fmrs: wanted rates; those that the pairs do not support are left out.

  Returns:
    `Calibration`.

  Raises:
    ValueError: the pairs support none of the rates.
  """
  if isinstance(impostor, streaming.Counts):
    find, pairs = binned_rates.threshold_at_fmr, int(impostor.impostor.sum())
  else:
    find, pairs = error_rates.threshold_at_fmr, len(impostor)
  known = sorted(fmrs, reverse=True)
  # The error of the highest rate is that of all.
  error_rates.require_measurable(known[0], pairs)
  return Calibration(
    comparison=comparison,
    dataset=dataset,
    impostor_pairs=pairs,
    thresholds=tuple(
      (fmr, find(impostor, fmr).threshold)
      for fmr in known
      if error_rates.is_measurable(fmr, pairs)
    ),
    standard=standard,
  )


def save(directory, calibrations):
  """Writes calibration.json beside the network in an export folder.

  Args:
    directory: that of the export.
    calibrations: `Calibration`s, at most one of each comparison.

  Raises:
    ValueError: two of one comparison.
    FileNotFoundError: no export there.
  """
  names = [calibration.comparison for calibration in calibrations]
  if len(set(names)) < len(names):
    raise ValueError(f'two calibrations of one comparison among {names}')
  content = {
    'format': FORMAT,
    'of': exports.digests(directory),
    'calibrations': [_to_json(calibration) for calibration in calibrations],
  }
  files.write_file(
    os.path.join(directory, _CALIBRATION),
    json.dumps(content, indent=2, ensure_ascii=False) + '\n',
  )


def load(directory, comparison, *, digests=None):
  """Reads the calibration of one kind of score.

  Args:
    directory: export folder.
    comparison: the kind, from the function of that name.
    digests: of the export in the folder, if it was read already.

  Returns:
    `Calibration`.

  Raises:
    NotCalibratedError: the folder has no calibration.json, or it has nothing on
      this kind; one line.
    FileNotFoundError: the folder has no export.
    ValueError: the file is damaged, of another format, of other weights or
      another pre-processing; one line.
  """
  path = os.path.join(directory, _CALIBRATION)
  try:
    with open(path, encoding='utf-8') as file:
      content = json.load(file)
  except FileNotFoundError:
    raise NotCalibratedError(
      f'{path} is missing: without it no threshold is known; make a cohort of '
      'your palms with this export (python -m palmjax.calibrate), which uses '
      'its network, too, or train it again'
    ) from None
  except ValueError as error:
    raise ValueError(f'{path} is damaged: {error}') from error
  version = content.get('format') if isinstance(content, dict) else None
  if version != FORMAT:
    raise ValueError(
      f'{path} has format {version}, this version of palmjax reads {FORMAT}; '
      'calibrate again'
    )
  try:
    network = content['of']
    calibrations = {
      calibration.comparison: calibration
      for calibration in map(_from_json, content['calibrations'])
    }
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(f'{path} is damaged: {error!r}') from error
  if digests is None:
    digests = exports.digests(directory)
  if network != digests:
    raise ValueError(
      f'{path} is of other weights or another pre-processing; calibrate again'
    )
  if comparison not in calibrations:
    raise NotCalibratedError(
      f'{path} has no thresholds for {comparison!r}, but for '
      + ' and '.join(map(repr, calibrations))
    )
  return calibrations[comparison]


def _to_json(calibration):
  values = dataclasses.asdict(calibration)
  values['set'] = values.pop('dataset')
  values['thresholds'] = [
    {'fmr': fmr, 'threshold': threshold}
    for fmr, threshold in calibration.thresholds
  ]
  if calibration.standard is not None:
    values['standard'] = calibration.standard._asdict()
  return values


def _from_json(values):
  standard = values['standard']
  if standard is not None:
    standard = parts.Standard(tuple(standard['mean']), tuple(standard['std']))
  return Calibration(
    comparison=values['comparison'],
    dataset=values['set'],
    impostor_pairs=values['impostor_pairs'],
    thresholds=tuple(
      (float(entry['fmr']), float(entry['threshold']))
      for entry in values['thresholds']
    ),
    standard=standard,
  )
