"""Rules of the capture device: when it keeps samples, asks and trains.

CN114528937A, claims 1 to 5. All rules are pure: clocks come in as seconds, and
nothing is read or written. A score is 100 · (1 + cos) / 2.
"""

import dataclasses
import math

import numpy as np

HIGHEST = 100.0


def score(cosine):
  """Score 0 to 100 of a cosine: 100 · (1 + cos) / 2 (claim 3).

  Args:
    cosine: scalar or array; rounding beyond ±1 is cut.

  Returns:
    float64 of the same shape.

  Raises:
    ValueError: a cosine is not finite.
  """
  cosine = np.asarray(cosine, np.float64)
  if not np.all(np.isfinite(cosine)):
    raise ValueError('a cosine is not finite; was the embedding zero?')
  return HIGHEST * (1 + np.clip(cosine, -1, 1)) / 2


def passes(value, preset):
  """Whether a score is at least the preset score."""
  return value >= preset


@dataclasses.dataclass(frozen=True)
class FirstInterval:
  """Scores [lo, hi) of first target samples (claim 2).

  `preset` ≤ `lo`: the accepted identity is a label to trust. `hi` < 100: a
  sample that equals its reference teaches nothing.

  Raises:
    ValueError: not preset ≤ lo < hi < 100.
  """

  preset: float
  lo: float
  hi: float

  def __post_init__(self):
    if not 0 <= self.preset <= self.lo < self.hi < HIGHEST:
      raise ValueError(
        f'scores need 0 <= preset <= lo < hi < 100, not preset {self.preset}, '
        f'lo {self.lo}, hi {self.hi}'
      )


def first_label(value, identity, interval):
  """Label of a first target sample, or None (claims 1b, 2, 5d).

  Args:
    value: score of the image.
    identity: whose reference was accepted; None where none was.
    interval: `FirstInterval`.

  Returns:
    `identity` where the image is to be saved, else None.
  """
  return identity if interval.lo <= value < interval.hi else None


@dataclasses.dataclass(frozen=True)
class Failures:
  """Consecutive failures of one session of one user."""

  count: int = 0


def after_attempt(failures, value, *, preset, limit):
  """Counts an attempt; says whether to save its image (claim 5a).

  A success resets the count. The attempt that brings the count to `limit` is
  the last one: its image is a second target sample, and the count starts again.

  Args:
    failures: `Failures` of this session and user before the attempt.
    value: score of the attempt.
    preset: score to pass.
    limit: failures in a row, at least 1.

  Returns:
    (`Failures` after the attempt, whether its image is saved).

  Raises:
    ValueError: `limit` is below 1.
  """
  if limit < 1:
    raise ValueError(f'the count of failures is {limit}; it needs at least 1')
  if passes(value, preset):
    return Failures(), False
  count = failures.count + 1
  if count >= limit:
    return Failures(), True
  return Failures(count), False


def should_fetch_labels(waiting, *, enough, online, idle):
  """Whether to ask the server for labels (claim 5b).

  Args:
    waiting: second target samples without a label.
    enough: M, samples that suffice alone; at least 1.
    online: whether the server can be reached.
    idle: whether nobody uses the device.

  Returns:
    bool; False where nothing waits.

  Raises:
    ValueError: `enough` is below 1.
  """
  if enough < 1:
    raise ValueError(f'label fetch at {enough} samples; it needs at least 1')
  return waiting > 0 and (waiting >= enough or (online and idle))


@dataclasses.dataclass(frozen=True)
class Clock:
  """Time since the last update, on a clock that may be set.

  Attributes:
    seen: seconds, the clock when it was last looked at.
    elapsed: seconds that passed while the clock went forward.
  """

  seen: float
  elapsed: float = 0.0


def tick(clock, now):
  """The clock after a look at it.

  A step back counts as no time. Time before the step stays counted, and time
  after it counts from the new value. A clock set back thus neither triggers nor
  blocks an update. A clock set forward cannot be told from time that passed.

  Args:
    clock: `Clock`.
    now: seconds.

  Raises:
    ValueError: `now` is not finite.
  """
  if not math.isfinite(now):
    raise ValueError(f'the clock says {now}; it must be finite')
  return Clock(now, clock.elapsed + max(now - clock.seen, 0.0))


def should_self_distill(samples, elapsed, *, enough, period, idle):
  """Whether to self-distil: (n ≥ N or elapsed ≥ t) and idle (claim 1c).

  Args:
    samples: n, usable samples.
    elapsed: seconds since the last update, `Clock.elapsed`.
    enough: N, at least 1.
    period: t in seconds, above 0.
    idle: whether nobody uses the device.

  Returns:
    bool; False without samples.

  Raises:
    ValueError: `enough` is below 1, or `period` is not above 0.
  """
  if enough < 1 or not period > 0:
    raise ValueError(f'N is {enough}, t {period} s; need N >= 1 and t > 0')
  return bool(idle and samples > 0 and (samples >= enough or elapsed >= period))


def kinds(labelled_second):
  """Kinds of samples to train on (claim 5d).

  Args:
    labelled_second: second target samples that have a label.

  Returns:
    ('first', 'second') where there are any, else ('first',).
  """
  return ('first', 'second') if labelled_second > 0 else ('first',)


def training_sets(count, size, seed):
  """Splits samples into at least one training set (claim 4a).

  Every sample is in one set. The sizes differ by at most one.

  Args:
    count: samples, at least 1.
    size: largest size of a set, at least 1.
    seed: of the order; equal seeds give equal sets.

  Returns:
    list of int arrays of indices.

  Raises:
    ValueError: `count` or `size` is below 1.
  """
  if count < 1 or size < 1:
    raise ValueError(f'{count} samples in sets of {size}; need at least 1')
  order = np.random.default_rng(seed).permutation(count)
  return np.array_split(order, -(-count // size))
