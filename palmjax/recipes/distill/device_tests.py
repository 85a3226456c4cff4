"""Tests of a device: its users and strangers, at one moment of its life."""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np

from palmjax.data.palms import drift
from palmjax.data.sets.builders import layout
from palmjax.edge import thresholds
from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, gap

# Moments without an update: at the start, and after the last session.
BEFORE, DRIFTED = 'device_before', 'device_drifted'
# A device whose BatchNorm statistics alone follow, and one that trains as much
# without its samples.
_CONTROLS = {'statistics': 'device_statistics', 'placebo': 'device_placebo'}
# Streams of the key of a life.
_TESTS, _STRANGERS = range(2)


class People(NamedTuple):
  """Who meets a device; M images of each of U users and V strangers.

  Users are enrolled; the strangers who come by and those of the tests are
  different people. Captures and tests of a user are of different sessions, and
  of other sessions than the enrolment, where sessions are known.

  Attributes:
    references: uint8 [U, S, S, 3], enrolled.
    checks: uint8 [U, S, S, 3], a second image of the enrolment.
    captures: uint8 [U, N, S, S, 3], of the users' lives.
    tests: uint8 [U, M, S, S, 3], of the same users, in no update.
    passers: uint8 [V1, N, S, S, 3], strangers who come by.
    strangers: uint8 [V2, M, S, S, 3], strangers of the tests.
    impostors: uint8 [W, S, S, 3], one of each palm that thresholds are set on.
    rehearsed: uint8 [R, S, S, 3], one of each palm that updates rehearse; other
      palms, for training pushes those apart that it sees.
  """

  references: np.ndarray
  checks: np.ndarray
  captures: np.ndarray
  tests: np.ndarray
  passers: np.ndarray
  strangers: np.ndarray
  impostors: np.ndarray
  rehearsed: np.ndarray


class Moment(NamedTuple):
  """Decisions on the tests of one moment.

  Attributes:
    missed: int [U], tests of each user that are refused.
    passed: int [V, U], tests of each stranger that pass as each user.
    tests: of each user, and of each stranger.
  """

  missed: np.ndarray
  passed: np.ndarray
  tests: int


def people(part, impostors, rehearsed, *, fmr):
  """Splits the palms of a test: half are users, a quarter come by.

  Of a user the first two images are enrolled, the last session is tested, and
  what is between is captured; where sessions are unknown, the last third is
  tested.

  Args:
    part: `palm_images.Part`; identities that no network was trained on.
    impostors: uint8 [W, S, S, 3].
    rehearsed: uint8 [R, S, S, 3], of identities that are neither in the test
      nor impostors.
    fmr: that thresholds will be set for.

  Returns:
    `People`; all have as many captures and tests as the one with fewest.

  Raises:
    ValueError: too few palms, images or sessions, or too few impostors for the
      rate.
  """
  pairs = len(impostors) * (len(impostors) - 1) // 2
  if not error_rates.is_measurable(fmr, pairs):
    raise ValueError(
      f'fmr={fmr}: the {len(impostors)} palms that thresholds are set on make '
      f'{pairs} pairs, which must be at least {error_rates.RULE_OF_30} / fmr: '
      'give a higher rate'
    )
  count = len(part.identities)
  # The two palms of a person stay together.
  users, passing = count // 4 * 2, count // 8 * 2
  if not passing:
    raise ValueError(f'the life of a device takes 8 palms, not {count}')
  rows = [_split(part, k) for k in range(count)]
  captured, tested = (min(len(row[i]) for row in rows) for i in (1, 2))
  enrolled, captures, tests = (
    part.images[np.stack([row[i][:size] for row in rows])]
    for i, size in enumerate((2, captured, tested))
  )
  return People(
    references=enrolled[:users, 0],
    checks=enrolled[:users, 1],
    captures=captures[:users],
    tests=tests[:users],
    passers=captures[users : users + passing],
    strangers=tests[users + passing :],
    impostors=impostors,
    rehearsed=rehearsed,
  )


def _split(part, identity):
  """Rows of (enrolment, captures, tests) of an identity."""
  rows = np.flatnonzero(part.labels == identity)
  sessions = part.sessions[rows]
  rows = rows[np.argsort(sessions, kind='stable')]
  sessions = np.sort(sessions)
  if (sessions == layout.NO_SESSION).any():
    last = np.arange(len(rows)) >= len(rows) - max(len(rows) // 3, 1)
    first = np.arange(len(rows)) < 2
  else:
    last, first = sessions == sessions[-1], sessions == sessions[0]
  between = ~first & ~last
  if first.sum() < 2 or not between.any() or (first & last).any():
    raise ValueError(
      f'{part.identities[identity]} has {len(rows)} images of '
      f'{len(np.unique(sessions))} sessions; the life of a device takes two '
      'images of a first session, and images of two later ones'
    )
  return rows[first][:2], rows[between], rows[last]


def measure(network, everyone, config, key, *, amount):
  """Tests a student as it is used, at one amount of drift.

  Args:
    network: `PalmNetwork` that embeds.
    everyone: `People`.
    config: of `replay.settings_of`.
    key: of the life.
    amount: drift in [0, 1].

  Returns:
    `Moment`.
  """
  references = network.embed(everyone.references)
  cosines = [
    embed_each(network, drifted(images, amount, config, key, stream))
    @ references.T
    for images, stream in (
      (everyone.tests, _TESTS),
      (everyone.strangers, _STRANGERS),
    )
  ]
  least = threshold(network, everyone, config)
  passes = [x >= least for x in cosines]
  users = np.arange(len(references))
  return Moment(
    missed=np.sum(~passes[0][users, :, users], axis=1),
    passed=np.sum(passes[1], axis=1),
    tests=everyone.tests.shape[1],
  )


def embed_each(network, images):
  """Embeddings float32 [P, N, D] of images uint8 [P, N, S, S, 3]."""
  people, each = images.shape[:2]
  flat = network.embed(images.reshape(-1, *images.shape[2:]))
  return flat.reshape(people, each, -1)


def rates(moments, *, resampling):
  """FNMR and FMR at each moment, and what an update took back.

  Users and strangers are resampled apart. Thresholds are not resampled: each
  rests on the pairs of one cohort.

  Args:
    moments: {name: `Moment`}, with `BEFORE` and `DRIFTED`, of the same people.
    resampling: of the intervals.

  Returns:
    {name: {'fnmr', 'fmr'} and, of a moment after an update, 'recovered' and the
    paired differences 'fnmr - drifted', 'fnmr - statistics' and 'fnmr -
    placebo'}.
  """
  users = len(moments[BEFORE].missed)
  weights = bootstrap.draw(users, resampling)
  measured = {}
  for name, moment in moments.items():
    measured[name] = {
      'fnmr': _fnmr(moment, weights, resampling),
      'fmr': _fmr(moment, weights, resampling),
    }
    if name in (BEFORE, DRIFTED):
      continue
    measured[name]['recovered'] = gap.recovered(
      moment.missed,
      moments[DRIFTED].missed,
      moments[BEFORE].missed,
      resampling=resampling,
    )
    for words, other in {'drifted': DRIFTED, **_CONTROLS}.items():
      if other in moments and other != name:
        measured[name][f'fnmr - {words}'] = _difference(
          moment, moments[other], weights, resampling
        )
  return measured


def _fnmr(moment, weights, resampling):
  shares = moment.missed / moment.tests
  return _rate(
    np.mean(shares), weights @ shares / len(shares), len(shares), resampling
  )


def _fmr(moment, weights, resampling):
  strangers, users = moment.passed.shape
  shares = moment.passed / moment.tests
  others = bootstrap.draw(
    strangers, dataclasses.replace(resampling, seed=resampling.seed + 1)
  )
  resamples = np.einsum('rv,vu,ru->r', others, shares, weights)
  return _rate(
    np.mean(shares), resamples / shares.size, min(strangers, users), resampling
  )


def _rate(value, resamples, count, resampling):
  (low,), (high,) = bootstrap.bounds(
    resamples[:, None],
    np.array([value]),
    resampling.confidence,
    num_independent=count,
    best=np.array([float(value == 1.0)]),
  )
  return {'value': float(value), 'low': float(low), 'high': float(high)}


def _difference(moment, other, weights, resampling):
  shares = (moment.missed - other.missed) / moment.tests
  low, high = bootstrap.difference_bounds(
    weights @ shares / len(shares),
    np.mean(shares),
    resampling.confidence,
    num_independent=len(shares),
  )
  return {'value': float(np.mean(shares)), 'low': low, 'high': high}


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
  return thresholds.cosine(network.embed(everyone.impostors), config.fmr)
