"""The life of a device: light, skin and camera drift, and the student follows.

CN114528937A, steps D1 to D7 and S4. Some palms of the test are users, who
enrol once. In every session users come with captures of their own, and so do
strangers, all with more drift than before. The device identifies every capture
among all users. A score within the first interval makes a first target sample.
The last of several failures in a row makes a second one; the server's teacher
labels it, unless the teacher takes it for a stranger. Then the student learns
from what was kept.

An update is checked on the second enrolment images and on first target samples
that were held out. If more of them are refused than before, it is rolled back,
and the samples wait for the next one. Each student has its own embedding space,
so its references and its threshold are made anew, on palms of the server that
are neither users nor strangers. Those palms do not drift.
"""

import functools

import jax
import ml_collections
import numpy as np
from absl import logging

from palmjax.data.augment import palms as palm_augment
from palmjax.edge import rules, update
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks
from palmjax.recipes.distill import device_tests, sessions

# What an arm changes of the settings of `update.Settings`, or of the life.
ARMS = {
  'both': {},
  'first_only': {'second': False},
  'no_fused': {'alpha': 0.0},
  'no_one_to_many': {'beta': 0.0},
  'statistics': {'statistics_only': True},
  'placebo': {'samples': False},
  'labels_5': {'wrong': 0.05},
  'labels_20': {'wrong': 0.2},
}
_OF_LIFE = ('second', 'wrong', 'samples')
_OF_UPDATE = (
  'learning_rate',
  'margin',
  'scale',
  'temperature',
  'alpha',
  'beta',
)
# Stream of the key of a life, beside those of sessions and tests.
_UPDATES = 20
_DAY = 86_400.0
# One in so many first target samples is held out for the check of an update.
_HELD = 5


def require(everyone, config):
  """Raises ValueError where there are more sessions than captures.

  Args:
    everyone: `device_tests.People`.
    config: section `device` of configs/distill.py.
  """
  captures = everyone.captures.shape[1]
  if config.sessions > captures:
    raise ValueError(
      f'sessions={config.sessions}: there are {captures} captures of each '
      f'user, and no session is without: give {captures} or fewer'
    )


def run(everyone, stage, config, *, arm, key, student, teacher):
  """A stage: the life of one device; exports the student that comes out.

  Args:
    everyone: `device_tests.People`.
    stage: `engine.stage.Stage`.
    config: sections 'augment', 'loss', 'device'.
    arm: of `ARMS`.
    key: random key; lives of equal keys meet the same captures.
    student, teacher: exports.

  Returns:
    {'sessions': list of dicts, as of `live`}.
  """
  history, network, export = live(
    student, teacher, everyone, settings_of(config), key, arm=arm
  )
  # The server's class weights and the end of its training are not of this one.
  model = {k: v for k, v in export.model.items() if k != 'ended'}
  exports.save(
    stage.export,
    variables={
      'params': {'backbone': network.params['backbone']},
      **network.stats,
    },
    model=model,
    preprocess=export.preprocess,
  )
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
    (a dict for each session: 'drift'; 'first' and 'second', samples that were
    kept; 'first_wrong' and 'second_wrong', those with a label of somebody else;
    'updates' and 'refused', 0 or 1; the student after the last session, with
    all exits; the `Export` that it began as).
  """
  changes = ARMS[arm]
  settings = {name: config[name] for name in _OF_UPDATE} | changes
  for name in _OF_LIFE:
    settings.pop(name, None)
  settings = update.Settings(**settings)
  augment = _augment(**config.augment.to_dict())
  export = exports.load(student)
  network = palm_networks.whole(export, student)
  teacher = palm_networks.load(teacher)
  kept, held, waiting, history = [], [], [], []
  clock = rules.Clock(0.0)
  for session in range(config.sessions):
    amount = (session + 1) / config.sessions
    clock = rules.tick(clock, clock.seen + config.days * _DAY)
    first, failed = sessions.meet(
      palm_networks.at_exit(network, export.model['exit']),
      everyone,
      config,
      key,
      session,
    )
    first = sessions.mislabelled(
      first, everyone, changes.get('wrong', 0.0), key, session
    )
    rows = np.arange(len(first.truth))
    held.append(first.take(rows % _HELD == _HELD - 1))
    kept.append(first.take(rows % _HELD != _HELD - 1))
    second = first.take([])
    if changes.get('second', True):
      waiting += failed
      if rules.should_fetch_labels(
        len(waiting), enough=config.enough, online=True, idle=True
      ):
        second, waiting = sessions.label(teacher, everyone, waiting, config), []
        if 'second' in rules.kinds(len(second.truth)):
          kept.append(second)
    row = {
      'drift': amount,
      'first': len(first.truth),
      'first_wrong': sessions.wrong(first),
      'second': len(second.truth),
      'second_wrong': sessions.wrong(second),
      'updates': 0,
      'refused': 0,
    }
    samples = sessions.together(kept).samples
    learned = samples
    if not changes.get('samples', True):
      learned = update.one_class_each(everyone.references)
    if rules.should_self_distill(
      len(samples.labels),
      clock.elapsed,
      enough=config.enough,
      period=config.period * _DAY,
      idle=True,
    ):
      updated = _update(
        network,
        learned,
        sessions.together(held).samples,
        settings,
        (everyone, config, export.model['exit']),
        jax.random.fold_in(jax.random.fold_in(key, _UPDATES), session),
        augment,
      )
      clock = rules.Clock(clock.seen)
      if updated is None:
        row['refused'] = 1
      else:
        network, kept, held = updated, [], []  # Samples are consumed.
        row['updates'] = 1
    history.append(row)
    logging.info('%s: session %d: %s', arm, len(history), row)
  return history, network, export


def _update(network, samples, held, settings, device, key, augment):
  """The updated student, or None where it is refused."""
  everyone, config, number = device
  try:
    trained, _ = update.update(
      network,
      everyone.references,
      samples,
      settings,
      key,
      strangers=everyone.rehearsed,
      augment=augment,
      steps=config.steps,
      set_size=config.set_size,
      batch_size=config.batch_size,
    )
  except update.NotFiniteError as error:
    logging.warning('an update is refused: %s', error)
    return None
  images = np.concatenate([everyone.checks, held.images])
  users = np.arange(len(everyone.references))
  labels = np.concatenate([users, held.labels])
  missed = []
  for one in (trained, network):
    used = palm_networks.at_exit(one, number)
    references = used.embed(everyone.references)
    cosines = np.sum(used.embed(images) * references[labels], axis=1)
    least = device_tests.threshold(used, everyone, config)
    missed.append(np.sum(cosines < least))
  return trained if missed[0] <= missed[1] else None


# One object, so that lives with the same settings share their programs.
_augment = functools.cache(palm_augment.make_augment)
