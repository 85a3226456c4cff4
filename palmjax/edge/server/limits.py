"""How much one caller may ask for: a bucket of tokens for each."""

import collections
import math
import threading


class Buckets:
  """Token buckets by name, of which the most recent ones are kept.

  A bucket holds `burst` tokens and gains `rate` a second. A request takes one.
  """

  def __init__(self, *, rate, burst, most=10_000):
    """Takes tokens a second, tokens of a full bucket, and buckets to keep."""
    self._rate, self._burst, self._most = rate, burst, most
    self._buckets = collections.OrderedDict()
    self._lock = threading.Lock()

  def wait(self, name, now):
    """Takes a token; returns 0, or seconds to wait where there is none.

    Args:
      name: of the caller.
      now: seconds on a clock that never goes back.
    """
    with self._lock:
      level, seen = self._buckets.pop(name, (self._burst, now))
      level = min(self._burst, level + (now - seen) * self._rate)
      taken = level >= 1
      self._buckets[name] = (level - taken, now)
      if len(self._buckets) > self._most:
        self._buckets.popitem(last=False)
      return 0 if taken else math.ceil((1 - level) / self._rate)
