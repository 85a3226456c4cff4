"""Tests of a device: its users and strangers, at one moment of its life."""

from typing import NamedTuple

import jax
import numpy as np

from palmjax.data.palms import drift
from palmjax.evals.recognition import chosen_pairs, error_rates, gap

# Moments without an update: at the start, and after the last session.
BEFORE, DRIFTED = 'device_before', 'device_drifted'
# Streams of the key of a life.
_TESTS, _STRANGERS = range(2)
# Images of a user: enrolled, and held out for the check of an update.
_ENROLLED = 2


class People(NamedTuple):
  """Who meets a device.

  Attributes:
    references: uint8 [U, S, S, 3], enrolled.
    checks: uint8 [U, S, S, 3], a second image of the enrolment.
    captures: uint8 [U, N, S, S, 3], of the users' lives.
    tests: uint8 [U, M, S, S, 3], of the same users, in no update.
    strangers: uint8 [V, S, S, 3], of people who are not enrolled.
    stranger_labels: int [V], from 0 on.
    stranger_labels: int [V], who they are, from 0 on.
    impostors: uint8 [W, S, S, 3], one of each palm of the server's cohort.
  """

  references: np.ndarray
  checks: np.ndarray
  captures: np.ndarray
  tests: np.ndarray
  strangers: np.ndarray
  stranger_labels: np.ndarray
  impostors: np.ndarray


def people(part, impostors, *, fmr):
  """Splits the palms of a test into users and strangers.

  Args:
    part: `palm_images.Part`; the first half of its identities are users.
    impostors: uint8 [W, S, S, 3].
    fmr: that thresholds will be set for.

  Returns:
    `People`; every user has as many images as the one with fewest.

  Raises:
    ValueError: a user has fewer than 4 images, or there are too few impostors
      for the rate.
  """
  pairs = len(impostors) * (len(impostors) - 1) // 2
  if not error_rates.is_measurable(fmr, pairs):
    raise ValueError(
      f'fmr={fmr}: the {len(impostors)} palms that thresholds are set on make '
      f'{pairs} pairs, which must be at least {error_rates.RULE_OF_30} / fmr: '
      'give a higher rate'
    )
  count = len(part.identities) // 2
  rows = [np.flatnonzero(part.labels == k) for k in range(count)]
  least = min(map(len, rows))
  if least < _ENROLLED + 2:
    raise ValueError(
      f'a palm of the test has {least} images; the life of a device takes '
      f'{_ENROLLED + 2}: two of the enrolment, one to live and one to test'
    )
  images = part.images[np.stack([one[:least] for one in rows])]
  middle = _ENROLLED + (least - _ENROLLED) // 2
  return People(
    references=images[:, 0],
    checks=images[:, 1],
    captures=images[:, _ENROLLED:middle],
    tests=images[:, middle:],
    strangers=part.images[part.labels >= count],
    stranger_labels=part.labels[part.labels >= count] - count,
    impostors=impostors,
  )


def measure(network, everyone, config, key, *, amount):
  """Tests a student as it is used, at one amount of drift.

  Args:
    network: `PalmNetwork` that embeds.
    everyone: `People`.
    config: of `replay.settings_of`.
    key: of the life.
    amount: drift in [0, 1].

  Returns:
    (`chosen_pairs.ChosenPairs`: every test of a user and every image of a
    stranger with the references; identities are the users and, after them, the
    strangers; the threshold, a cosine).
  """
  references = network.embed(everyone.references)
  tests = drifted(everyone.tests, amount, config, key, _TESTS)
  users, each = tests.shape[:2]
  probes = network.embed(tests.reshape(-1, *tests.shape[2:]))
  strangers = network.embed(
    drifted(everyone.strangers, amount, config, key, _STRANGERS)
  )
  owners = np.repeat(np.arange(users), each)
  pairs = chosen_pairs.ChosenPairs(
    genuine=np.sum(probes * references[owners], axis=1),
    impostor=(strangers @ references.T).ravel(),
    genuine_identity=owners,
    impostor_identity=np.stack(
      [
        np.repeat(users + everyone.stranger_labels, users),
        np.tile(np.arange(users), len(strangers)),
      ]
    ),
  )
  return pairs, threshold(network, everyone, config)


def rates(moments, *, resampling):
  """FNMR and FMR at each moment, and what an update took back.

  Args:
    moments: {name: (`ChosenPairs`, threshold) of `measure`}, with `BEFORE` and
      `DRIFTED`, of the same people.
    resampling: of the intervals.

  Returns:
    {name: {'eer', 'fnmr', 'fmr'} and, of a moment after an update,
    'recovered'}.
  """
  missed = {
    name: np.bincount(pairs.genuine_identity, pairs.genuine < cosine)
    for name, (pairs, cosine) in moments.items()
  }
  measured = {}
  for name, (pairs, cosine) in moments.items():
    measured[name] = chosen_pairs.rates(
      pairs, threshold=cosine, resampling=resampling
    )
    if name not in (BEFORE, DRIFTED):
      measured[name]['recovered'] = gap.recovered(
        missed[name], missed[DRIFTED], missed[BEFORE], resampling=resampling
      )
  return measured


def drifted(images, amount, config, key, *streams):
  """Images [..., S, S, 3] as light, skin and camera of a moment show them."""
  for stream in streams:
    key = jax.random.fold_in(key, stream)
  flat = images.reshape(-1, *images.shape[-3:])
  changes = drift.Drift(
    **{name: amount * value for name, value in config.drift.items()}
  )
  return np.asarray(drift.apply(flat, changes, key)).reshape(images.shape)


def threshold(network, everyone, config):
  """Cosine that the server's palms pass at the preset false match rate."""
  embeddings = network.embed(everyone.impostors)
  scores = (embeddings @ embeddings.T)[np.triu_indices(len(embeddings), 1)]
  return float(error_rates.threshold_at_fmr(scores, config.fmr).threshold)
