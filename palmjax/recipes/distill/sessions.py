"""One session of a device: who comes, and what is kept of it."""

from typing import NamedTuple

import jax
import numpy as np

from palmjax.edge import labels, rules, update
from palmjax.recipes.distill import device_tests

# Streams of the key of a life, beside those of the tests.
_CAPTURES, _PASSERS, _WRONG = range(10, 13)
# In place of the number of a user.
STRANGER = -1


class Kept(NamedTuple):
  """Samples that a device keeps, and who they are, which it does not know.

  Attributes:
    samples: `update.Samples`.
    truth: int [N], number of the user, or `STRANGER`.
  """

  samples: update.Samples
  truth: np.ndarray

  def take(self, rows):
    """Those of some rows."""
    return Kept(self.samples.take(rows), self.truth[rows])


def meet(network, everyone, config, key, session):
  """The captures of one session, identified among all users.

  Args:
    network: `PalmNetwork` that embeds.
    everyone: `device_tests.People`.
    config: of `replay.settings_of`.
    key: of the life.
    session: from 0 on.

  Returns:
    (`Kept`: first target samples; list of (image, who it is): the last of so
    many failures in a row).
  """
  amount = (session + 1) / config.sessions
  references = network.embed(everyone.references)
  preset = float(rules.score(device_tests.threshold(network, everyone, config)))
  interval = rules.FirstInterval(
    preset,
    *(preset + share * (rules.HIGHEST - preset) for share in config.interval),
  )
  images, labels, truth, failed = [], [], [], []
  for group, stream in (
    (everyone.captures, _CAPTURES),
    (everyone.passers, _PASSERS),
  ):
    turns = np.array_split(np.arange(group.shape[1]), config.sessions)
    captures = device_tests.drifted(
      group[:, turns[session]], amount, config, key, stream, session
    )
    cosines = device_tests.embed_each(network, captures) @ references.T
    for person, (tries, scores) in enumerate(
      zip(captures, rules.score(cosines), strict=True)
    ):
      who = person if stream == _CAPTURES else STRANGER
      failures = rules.Failures()
      for image, row in zip(tries, scores, strict=True):
        best = int(np.argmax(row))
        failures, save = rules.after_attempt(
          failures, row[best], preset=preset, limit=config.failures
        )
        if save:
          failed.append((image, who))
        accepted = best if rules.passes(row[best], preset) else None
        chosen = rules.first_label(row[best], accepted, interval)
        if chosen is not None:
          images.append(image)
          labels.append(chosen)
          truth.append(who)
  count, users = len(labels), len(references)
  samples = update.Samples(
    np.array(images, np.uint8).reshape(-1, *everyone.references.shape[1:]),
    np.array(labels, np.int64),
    np.zeros((count, users), np.float32),
    np.zeros(count, bool),
  )
  return Kept(samples, np.array(truth, np.int64)), failed


def label(teacher, everyone, failed, config):
  """Labels of second target samples by the teacher (`edge.labels`).

  A sample of a stranger gets none.

  Args:
    teacher: `PalmNetwork`.
    everyone: `device_tests.People`.
    failed: list of (image uint8 [S, S, 3], who it is), at least one.
    config: of `replay.settings_of`.

  Returns:
    `Kept`.
  """
  images = np.stack([image for image, _ in failed])
  truth = np.array([who for _, who in failed])
  soft, best = labels.soft(
    teacher.embed(images),
    teacher.embed(everyone.references),
    scale=config.scale,
  )
  known = best >= device_tests.threshold(teacher, everyone, config)
  samples = update.Samples(
    images,
    np.argmax(soft, axis=1),
    soft.astype(np.float32),
    np.ones(len(images), bool),
  )
  return Kept(samples, truth).take(known)


def mislabelled(first, everyone, share, key, session):
  """First target samples, a share of them with the label of another user.

  Args:
    first: `Kept`.
    everyone: `device_tests.People`.
    share: of the samples, drawn for each by itself.
    key: of the life.
    session: from 0 on.

  Returns:
    `Kept`.
  """
  labels, users = first.samples.labels.copy(), len(everyone.references)
  rng = np.random.default_rng(
    [session, int(jax.random.bits(jax.random.fold_in(key, _WRONG)))]
  )
  wrong = rng.random(len(labels)) < share
  labels[wrong] = (labels[wrong] + rng.integers(1, users, wrong.sum())) % users
  return first._replace(samples=first.samples._replace(labels=labels))


def wrong(kept):
  """Number of samples with a label of somebody else."""
  return int(np.sum(kept.samples.labels != kept.truth))


def together(kept):
  """`Kept` of a list of them."""
  return Kept(
    update.joined(*(one.samples for one in kept)),
    np.concatenate([one.truth for one in kept]),
  )
