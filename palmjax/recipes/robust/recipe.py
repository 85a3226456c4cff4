"""Trains a hand detector on perturbed images and attacks it (CN112215298A).

  start ─┬─ plain ──────── the control      ── attacked_plain ────────┐
         ├─ ot ─────────── matched images   ── attacked_ot ───────────┼─ report
         └─ adversarial ── the usual images ── attacked_adversarial ──┘

  claim 1   load the detector, go on training it, store it
                                         `training.read_start`, `training.train`
  claim 2   standard and perturbed vectors → target set
                                              `steps.perturb.find_target_images`
  claim 3   cost → transport → distance     `losses.transport.matching_distance`
  claim 4   L1 on the set, L2 on the target set         `steps.robust.make_step`
  claim 5   L1 + L2 is the target loss                  `steps.robust.make_step`
  claim 6   at most a threshold: converged               `engine.stop.Threshold`
  claim 7   otherwise training goes on                          `training.train`
  claim 8   an apparatus of these parts                                    `run`
  claim 9   a computer that runs this program
  claim 10  a medium that holds this program

All arms begin with the same weights and take batches in the same order,
augmented alike: only the perturbed images differ. 'free' makes
`perturb.replays` updates with each batch, so of as many updates it sees fewer
images. `palm_recipe` does the same with palms.
"""

import functools

from absl import logging

from palmjax import files
from palmjax.engine import processes, run_folder, stage
from palmjax.evals import bootstrap
from palmjax.networks import hand as hand_networks
from palmjax.recipes.robust import (
  arms,
  battery,
  measure,
  palm_recipe,
  statistics,
  training,
)
from palmjax.recipes.robust import checks as robust_checks
from palmjax.recipes.robust import report as robust_report
from palmjax.recipes.robust import scores as robust_scores
from palmjax.recipes.shared import hand_images, hand_training, run_start


def run(config, workdir):
  """Runs or resumes the recipe; writes metrics.json, run.json, report.html.

  It loads, perturbs, trains, judges and stores (claim 8).

  Args:
    config: of configs/robust.py.
    workdir: folder of the run.

  Raises:
    ValueError, OSError: one line that says what to do; all that was saved
      before stays.
  """
  if robust_checks.task(config) == 'recognise':
    palm_recipe.run(config, workdir)
    return
  workdir, mesh, root = run_start.take(config, workdir, robust_checks.check)
  hands = hand_images.load(
    config, stage.stage_key(root, 'data'), workdir / 'drawn'
  )
  start = training.read_start(config, hands.classes)
  run_folder.keep_config(workdir, config.to_dict())
  config = statistics.settle(config, 'train')
  tests = measure.chosen(hands.tests, config.attack.images)
  logging.info(
    'training: %d images; attacked: %s',
    len(hands.training['image']),
    ' and '.join(f'{len(test["image"])}' for test in tests.values()),
  )
  if config.attack.battery == 'short':
    logging.info(battery.SHORT)

  trained, attacked, networks = arms.run(
    arms.ArmStages(
      fingerprint=hands.fingerprint,
      start=training.folder(config),
      train=functools.partial(training.train, hands, mesh, start),
      sections=training.SECTIONS,
      attack=functools.partial(
        measure.attack, list(tests.values()), hands.classes
      ),
      attack_sections=measure.SECTIONS,
      read=measure.read,
      load=hand_networks.load,
    ),
    config,
    workdir,
    root,
  )
  if not processes.is_first():
    return  # It has taken part in all trainings.
  logging.info('measuring the detectors; this takes a minute')
  measure.transfer(
    attacked, networks, list(tests.values()), hands.classes, config
  )
  tables = {
    suffix: robust_scores.table(
      attacked, number, test, hands.classes, config.attack.radii
    )
    for number, (suffix, test) in enumerate(tests.items())
  }
  results = {
    'recipe': config.recipe,
    'seed': config.seed,
    'models': robust_scores.models(
      tables,
      config.attack.radii,
      bootstrap.Resampling(draws=config.evaluation.resamples, seed=config.seed),
    ),
    'worst': robust_scores.names_of_worst(tables, config.attack.radii),
    'chosen': robust_scores.chosen_attacks(tables, config.attack.radii),
    'ended': stage.endings(trained),
  }
  files.write_json(workdir / 'metrics.json', results)
  robust_report.write(
    hand_training.HandRun(config, hands, workdir),
    tests,
    tables,
    results,
    networks=networks,
  )
