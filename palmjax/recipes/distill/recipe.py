"""A server distils a teacher into a student, and a device goes on learning.

CN114528937A, claims 1 to 5:

  palms ─┬─ teacher ─────── student_distilled ── device_ARM (`replay`)
         └─ student_alone ─ student_placebo

Networks are tested on identities that none was trained on, beside two controls
that learn nothing. Devices are tested on other sessions of their own users, and
on strangers.
"""

import functools

import numpy as np
from absl import logging

from palmjax import files
from palmjax.engine import processes, run_folder, stage
from palmjax.evals import bootstrap
from palmjax.evals.recognition import gap, verification
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks
from palmjax.recipes.distill import checks as distill_checks
from palmjax.recipes.distill import (
  device_tests,
  replay,
  template_tests,
  training,
)
from palmjax.recipes.distill import report as distill_report
from palmjax.recipes.shared import (
  config_keys,
  controls,
  palm_images,
  palm_training,
  run_start,
  strangers,
)


def run(config, workdir):
  """Runs or resumes the recipe; writes metrics.json, run.json, report.html.

  Args:
    config: of configs/distill.py.
    workdir: folder of the run.

  Raises:
    ValueError, OSError: one line that says what to do; all that was saved
      before stays.
  """
  workdir, mesh, root = run_start.take(config, workdir, distill_checks.check)
  data_key = stage.stage_key(root, 'data')
  palms = palm_images.load(
    config, data_key, unlabelled=config.distill.unlabelled > 0
  )
  others = strangers.find(config, palms, data_key)
  if others.tested:
    raise ValueError(
      'the thresholds of devices need palms that are neither trained on nor '
      'tested, and too few are left: give a larger set, or fewer '
      '--config.labelled.identities'
    )
  with config_keys.named('device'):
    everyone = device_tests.people(
      palms.evaluation,
      others.read(config.image_size),
      training.one_of_each(palms.labelled),
      fmr=config.device.fmr,
    )
    replay.require(everyone, config.device)
  run_folder.keep_config(workdir, config.to_dict())
  logging.info('training: %s', palms.counts())

  def make(name, body, names, facts=None, **inputs):
    return stage.run(
      name,
      body,
      workdir=workdir,
      key=root,
      config=config.to_dict(),
      sections=names,
      facts={'data': palms.fingerprint, **(facts or {})},
      inputs=inputs,
      profile=run_start.profile(config),
    )

  start = training.of_network(config, training.TEACHER).cnn.start
  teacher = make(
    'teacher',
    functools.partial(training.train_teacher, palms, others, mesh=mesh),
    (*training.SECTIONS, 'teacher'),
    # What lies at the path, not the path, is what the network starts from.
    facts={'start': exports.start_digests(start)},
  )
  results = {'teacher': teacher}
  key = stage.stage_key(root, 'start of the students')
  for arm, name in training.TEACHERS.items():
    results[arm] = make(
      arm,
      functools.partial(
        training.train_student, palms, others, mesh=mesh, key=key
      ),
      (*training.SECTIONS, 'student', 'distill'),
      **({'teacher': results[name]} if name else {}),
    )
  life = stage.stage_key(root, 'life of a device')
  lives = {
    arm: make(
      f'device_{arm}',
      functools.partial(replay.run, everyone, arm=arm, key=life),
      ('augment', 'loss', 'device'),
      student=results[training.DISTILLED],
      teacher=teacher,
    )
    for arm in config.device.arms
  }

  if not processes.is_first():
    return  # It has taken part in all trainings.
  logging.info('measuring the networks; this takes a minute')
  networks = _load(results)
  scores = _measure(palms.evaluation, networks)
  moments = _moments(config, everyone, networks, lives, life)
  metrics = summarise(config, scores, networks, results)
  metrics['models'] |= device_tests.rates(
    moments, resampling=_resampling(config)
  )
  metrics['models'] |= template_tests.measure(
    networks[training.DISTILLED],
    palms.evaluation,
    np.random.default_rng(config.seed),
  )
  files.write_json(workdir / 'metrics.json', metrics)
  distill_report.write(
    palm_training.PalmRun(config, palms, workdir),
    scores,
    metrics,
    networks,
    everyone=everyone,
    lives={arm: result.metrics['sessions'] for arm, result in lives.items()},
  )


def _load(results):
  """{model: `PalmNetwork`}: all, and the exits of the distilled one."""
  networks = {
    name: palm_networks.load(result.path) for name, result in results.items()
  }
  path = results[training.DISTILLED].path
  export = exports.load(path)
  for number in range(1, palm_networks.whole(export, path).model.num_exits + 1):
    networks[exit_name(number)] = palm_networks.of_export(
      export, path, number=number
    )
  return networks


def _moments(config, everyone, networks, lives, key):
  """{moment: `device_tests.Moment`}."""
  settings = replay.settings_of(config)
  student = networks[training.DISTILLED]
  moments = {device_tests.BEFORE: (student, 0.0)}
  moments[device_tests.DRIFTED] = student, 1.0
  for arm, life in lives.items():
    moments[f'device_{arm}'] = palm_networks.load(life.path), 1.0
  return {
    name: device_tests.measure(network, everyone, settings, key, amount=amount)
    for name, (network, amount) in moments.items()
  }


def _measure(part, networks):
  """{model: `verification.PairScores`} of the controls and the networks."""
  return {
    name: verification.matrix_scores(matrix, part.labels)
    for name, matrix in controls.scores(part.images).items()
  } | {
    name: verification.pair_scores(network.embed(part.images), part.labels)
    for name, network in networks.items()
  }


def exit_name(number):
  """Name of an exit of the distilled student among the models."""
  return f'{training.DISTILLED}, exit {number}'


def summarise(config, scores, networks, results):
  """Computes what metrics.json holds: the same bytes for the same run.

  Args:
    config: of configs/distill.py.
    scores: {model: `verification.PairScores`}.
    networks: {model: `PalmNetwork`}.
    results: {network: `stage.Result`}.

  Returns:
    Dict of JSON values: 'recipe', 'seed', 'models' and 'ended'.
  """
  resampling = _resampling(config)
  models = {
    name: verification.fnmr_rates(
      pairs, fmrs=config.evaluation.fmrs, resampling=resampling
    )
    for name, pairs in scores.items()
  }
  for name in (training.DISTILLED, training.PLACEBO):
    models[name]['gap closed'] = gap.closed(
      scores[name],
      scores[training.ALONE],
      scores['teacher'],
      resampling=resampling,
    )
  for baseline in (training.ALONE, training.PLACEBO, 'orientation code'):
    models[training.DISTILLED][f'eer/{baseline}'] = verification.eer_ratio(
      scores[training.DISTILLED], scores[baseline], resampling=resampling
    )
  for name, network in networks.items():
    models[name]['params'] = {'value': network.num_params}
  return {
    'recipe': config.recipe,
    'seed': config.seed,
    'models': models,
    'ended': stage.endings(results),
  }


def _resampling(config):
  return bootstrap.Resampling(
    draws=config.evaluation.resamples, seed=config.seed
  )
