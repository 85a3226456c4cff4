"""The life of a device: light, skin and camera drift, and the student follows.

CN114528937A, steps D1 to D7 and S4. Some palms of the test are users, who
enrol once. In every session each of them is captured again, with more drift.
The device identifies every capture among all users. A score within the first
interval makes a first target sample; the last of several failures in a row
makes a second one, which the server's teacher labels. Then the student learns
from what was kept. An update that recognises the second enrolment image of the
users worse than before is rolled back.

The other palms of the test are strangers. Neither they nor the captures that
are tested are seen by any update. Thresholds are set anew after each update, on
palms of the server that are neither users nor strangers: embeddings of another
student would be of another space.
"""

import jax
import ml_collections
import numpy as np
from absl import logging

from palmjax import files
from palmjax.data.augment import palms as palm_augment
from palmjax.edge import rules, update
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks
from palmjax.recipes.distill import device_tests

# What an arm changes of the settings of `update.Settings`, or of the life.
ARMS = {
  'both': {},
  'first_only': {'second': False},
  'no_fused': {'alpha': 0.0},
  'no_one_to_many': {'beta': 0.0},
  'statistics': {'statistics_only': True},
  'labels_5': {'wrong': 0.05},
  'labels_20': {'wrong': 0.2},
}
_OF_LIFE = ('second', 'wrong')
_OF_UPDATE = (
  'steps',
  'set_size',
  'batch_size',
  'learning_rate',
  'margin',
  'scale',
  'temperature',
  'alpha',
  'beta',
)
# Streams of the key of a life, beside those of the tests.
_CAPTURES, _UPDATES, _WRONG = range(10, 13)


def run(everyone, stage, config, *, arm, key, student, teacher):
  """A stage: the life of one device; exports the student that comes out.

  Args:
    everyone: `device_tests.People`.
    stage: `engine.stage.Stage`.
    config: sections 'image_size', 'augment', 'loss', 'device'.
    arm: of `ARMS`.
    key: random key; lives of equal keys meet the same captures.
    student, teacher: exports.

  Returns:
    {'sessions': list of dicts: drift, samples of each kind, whether the student
    was updated}.
  """
  history, network, export = live(
    student, teacher, everyone, settings_of(config), key, arm=arm
  )
  exports.save(
    stage.export,
    variables={'params': network.params, **network.stats},
    model=export.model,
    preprocess=export.preprocess,
  )
  files.write_json(stage.export / 'sessions.json', history)
  return {'sessions': history}


def settings_of(config):
  """What a life reads, of a config with 'augment', 'loss' and 'device'."""
  return ml_collections.ConfigDict(
    {
      **config.device.to_dict(),
      **config.loss.to_dict(),
      'augment': config.augment.to_dict(),
    }
  )


def live(student, teacher, everyone, config, key, *, arm):
  """Lives the life of a device.

  Args:
    student, teacher: exports.
    everyone: `device_tests.People`.
    config: of `settings_of`.
    key, arm: as for `run`.

  Returns:
    (sessions as for `run`, the student after the last one, with all exits, the
    `Export` that it began as).
  """
  changes = ARMS[arm]
  settings = update.Settings(
    **{
      **{name: config[name] for name in _OF_UPDATE},
      **{
        name: value for name, value in changes.items() if name not in _OF_LIFE
      },
    }
  )
  augment = palm_augment.make_augment(**config.augment.to_dict())
  export = exports.load(student)
  network = palm_networks.whole(export, student)
  teacher = palm_networks.load(teacher)
  kept, history = [], []
  waiting = []
  for session in range(config.sessions):
    amount = (session + 1) / config.sessions
    captures = device_tests.drifted(
      everyone.captures, amount, config, key, _CAPTURES, session
    )
    first, second = _capture(
      palm_networks.at_exit(network, export.model['exit']),
      everyone,
      captures,
      config,
    )
    wrong = changes.get('wrong', 0.0)
    kept.append(_wrong(first, everyone, wrong, key, session))
    # S4: the server's teacher labels what was not recognised.
    if changes.get('second', True):
      waiting += second
    if rules.should_fetch_labels(
      len(waiting), enough=config.enough, online=True, idle=True
    ):
      images = np.stack(waiting)
      kept.append(label(teacher, everyone.references, images, config))
      waiting = []
    samples = _together(kept)
    row = {
      'drift': amount,
      'first': len(first[1]),
      'second': len(second),
      'updated': False,
    }
    if rules.should_self_distill(
      len(samples.labels), 0.0, enough=config.enough, period=1.0, idle=True
    ):
      trained, metrics = update.update(
        network,
        everyone.references,
        samples,
        settings,
        jax.random.fold_in(jax.random.fold_in(key, _UPDATES), session),
        augment=augment,
      )
      row |= {'loss': metrics['loss'], 'samples': len(samples.labels)}
      if _recognises_as_well(trained, network, export, everyone, config):
        network, row['updated'] = trained, True
        kept = []  # Consumed.
    logging.info(
      '%s: session %d of %d: %s', arm, session + 1, config.sessions, row
    )
    history.append(row)
  return history, network, export


def label(teacher, references, images, config):
  """Labels of second target samples by the teacher (S4, claim 5b).

  The teacher compares a sample with the enrolled references: logits are
  s cos θ, as with class weights.

  Args:
    teacher: `PalmNetwork`.
    references: uint8 [K, S, S, 3].
    images: uint8 [N, S, S, 3].
    config: of `settings_of`.

  Returns:
    `update.Samples`.
  """
  cosines = teacher.embed(images) @ teacher.embed(references).T
  logits = config.scale * cosines
  soft = np.exp(logits - logits.max(axis=1, keepdims=True))
  soft /= soft.sum(axis=1, keepdims=True)
  count = len(images)
  return update.Samples(
    images, np.argmax(soft, axis=1), soft, np.ones(count, bool)
  )


def _capture(network, everyone, captures, config):
  """One session: ((images, labels) kept at once, images that failed)."""
  references = network.embed(everyone.references)
  preset = float(rules.score(device_tests.threshold(network, everyone, config)))
  interval = rules.FirstInterval(
    preset,
    *(preset + share * (rules.HIGHEST - preset) for share in config.interval),
  )
  users, each = captures.shape[:2]
  embeddings = network.embed(captures.reshape(-1, *captures.shape[2:]))
  scores = rules.score(embeddings @ references.T).reshape(users, each, -1)
  images, labels, second = [], [], []
  for user in range(users):
    failures = rules.Failures()
    for image, row in zip(captures[user], scores[user], strict=True):
      best = int(np.argmax(row))
      failures, save = rules.after_attempt(
        failures, row[best], preset=preset, limit=config.failures
      )
      if save:
        second.append(image)
      accepted = best if rules.passes(row[best], preset) else None
      chosen = rules.first_label(row[best], accepted, interval)
      if chosen is not None:
        images.append(image)
        labels.append(chosen)
  return (images, labels), second


def _wrong(first, everyone, share, key, session):
  """First target samples, a share of them with the label of another user."""
  images, labels = first
  count, users = len(labels), len(everyone.references)
  labels = np.array(labels, np.int64)
  rng = np.random.default_rng(
    [session, int(jax.random.bits(jax.random.fold_in(key, _WRONG)))]
  )
  wrong = rng.random(count) < share
  labels[wrong] = (labels[wrong] + rng.integers(1, users, wrong.sum())) % users
  return update.Samples(
    np.array(images, np.uint8).reshape(-1, *everyone.references.shape[1:]),
    labels,
    np.zeros((count, users), np.float32),
    np.zeros(count, bool),
  )


def _together(kept):
  return update.Samples(*map(np.concatenate, zip(*kept, strict=True)))


def _recognises_as_well(trained, network, export, everyone, config):
  """The held-out check: no more of the users' second images are refused."""
  missed = []
  for one in (trained, network):
    used = palm_networks.at_exit(one, export.model['exit'])
    references, checks = map(used.embed, (everyone.references, everyone.checks))
    cosines = np.sum(references * checks, axis=1)
    missed.append(
      np.sum(cosines < device_tests.threshold(used, everyone, config))
    )
  return missed[0] <= missed[1]
