"""The recipe `robust` with palms: a palm network is trained and attacked.

  start ─┬─ plain ──────── the control      ── attacked_plain ────────┐
         ├─ ot ─────────── matched images   ── attacked_ot ───────────┼─ report
         └─ adversarial ── the usual images ── attacked_adversarial ──┘

The claims are those of `recipe`; the vectors that transport matches are the
embeddings. A new ArcFace head, equal in all arms, learns the palms of the
training together with the network. Palms of the test are of other people.
"""

import functools

from absl import logging

from palmjax import files
from palmjax.engine import processes, run_folder, stage
from palmjax.evals import bootstrap
from palmjax.evals.recognition import verification
from palmjax.networks import palm as palm_networks
from palmjax.recipes.robust import (
  arms,
  palm_arms,
  palm_checks,
  palm_measure,
  palm_report,
  palm_scores,
  statistics,
)
from palmjax.recipes.robust import scores as robust_scores
from palmjax.recipes.shared import (
  palm_images,
  palm_training,
  run_start,
  sections,
  strangers,
)

# Of configs/robust.py: what the task reads in place of the keys of that name.
SECTION = 'recognise'


def run(config, workdir):
  """Runs or resumes it; writes metrics.json, run.json, report.html.

  Args:
    config: of configs/robust.py.
    workdir: folder of the run.

  Raises:
    ValueError, OSError: one line that says what to do; all that was saved
      before stays.
  """
  workdir, mesh, root = run_start.take(config, workdir, _check)
  data_key = stage.stage_key(root, 'data')
  task = statistics.settle(sections.of(config, SECTION), 'cnn')
  with sections.named(config, SECTION):
    start = palm_arms.read_start(task)
    palms = palm_images.load(task, data_key)
    probes = palm_measure.choose(palms.evaluation, task.attack.images)
    others = strangers.find(task, palms, data_key)
  run_folder.keep_config(workdir, config.to_dict())
  logging.info('%s; attacked: %d', palms.counts(), len(probes.identities))

  trained, attacked, networks = arms.run(
    arms.ArmStages(
      fingerprint=palms.fingerprint,
      start=palm_arms.folder(task),
      train=functools.partial(palm_arms.train, palms, mesh, start, others),
      sections=palm_arms.SECTIONS,
      attack=functools.partial(palm_measure.attack, probes),
      attack_sections=palm_measure.SECTIONS,
      read=palm_measure.read,
      load=palm_networks.load,
    ),
    task,
    workdir,
    root,
  )
  if not processes.is_first():
    return  # It has taken part in all trainings.
  logging.info('measuring the networks; this takes a minute')
  palm_measure.transfer(attacked, networks, probes, task)
  test = palms.evaluation
  clean = {
    arm: verification.pair_scores(network.embed(test.images), test.labels)
    for arm, network in networks.items()
  }
  table = palm_scores.table(attacked)
  results = {
    'recipe': config.recipe,
    'seed': config.seed,
    'models': palm_scores.models(
      attacked,
      clean,
      task,
      bootstrap.Resampling(draws=config.evaluation.resamples, seed=config.seed),
    ),
    'worst': robust_scores.names_of_worst({'': table}, task.attack.radii),
    'ended': stage.endings(trained),
  }
  files.write_json(workdir / 'metrics.json', results)
  palm_report.write(
    palm_training.PalmRun(task, palms, workdir),
    probes,
    table,
    results,
    attacked=attacked,
    networks=networks,
  )


def _check(config, mesh):
  with sections.named(config, SECTION):
    palm_checks.check(sections.of(config, SECTION), mesh)
