"""Trains a small hand detector with two teachers, and measures their gain.

  hands ─┬─ teacher1 (bigger) ──────────────────────┐
         ├─ teacher2 (larger images, larger stride) ┤
         ├─ student_alone ── the control            │
         ├─ student_both ───────────────────────────┘
         └─ frame_reader ── corrects the palm frames that they find

Students start from the same weights and share their random draws: only the
loss differs. All are measured on images that none of them has seen.

With a rule of the section `stop` each training ends by itself. Students may
then differ in their steps, too.
"""

import functools

from absl import logging

from palmjax import files
from palmjax.engine import processes, run_folder, stage
from palmjax.networks import export as exports
from palmjax.networks import hand as hand_networks
from palmjax.networks import palm_frame as palm_frame_networks
from palmjax.recipes.gesture import checks as gesture_checks
from palmjax.recipes.gesture import palm_frame as palm_frame_stage
from palmjax.recipes.gesture import report as gesture_report
from palmjax.recipes.gesture import scores as gesture_scores
from palmjax.recipes.shared import hand_images, hand_training, run_start

# The teachers of each arm.
ARMS = {
  'student_alone': (),
  'student_teacher1': ('teacher1',),
  'student_teacher2': ('teacher2',),
  'student_both': ('teacher1', 'teacher2'),
}


def run(config, workdir):
  """Runs or resumes the recipe; writes metrics.json, run.json, report.html.

  Args:
    config: of configs/gesture.py.
    workdir: folder of the run.

  Raises:
    ValueError, OSError: one line that says what to do; all that was saved
      before stays.
  """
  workdir, mesh, root = run_start.take(
    config, workdir, functools.partial(gesture_checks.check, arms=ARMS)
  )
  hands = hand_images.load(
    config, stage.stage_key(root, 'data'), workdir / 'drawn'
  )
  hand_training.check_start(config, hands.classes)
  run_folder.keep_config(workdir, config.to_dict())
  logging.info(
    'training: %d images; evaluation: %s',
    len(hands.training['image']),
    ' and '.join(f'{len(test["image"])}' for test in hands.tests.values()),
  )

  def make(name, body, sections, inputs, **facts):
    return stage.run(
      name,
      functools.partial(body, hands, mesh),
      workdir=workdir,
      key=root,
      config=config.to_dict(),
      sections=sections,
      facts={'data': hands.fingerprint, **facts},
      inputs=inputs,
      profile=run_start.profile(config),
    )

  trained = {}
  for name in sorted({name for arm in config.arms for name in ARMS[arm]}):
    size = 'teacher1' if name == 'teacher1' else 'student'
    body = functools.partial(hand_training.train_teacher, name=name)
    sections = (*hand_training.SECTIONS, size, 'teachers')
    trained[name] = make(name, body, sections, {})
  # What lies at the path, not the path, is what students start from.
  start = exports.start_digests(config.train.start)
  # One key for all students: equal weights, equal draws.
  body = functools.partial(
    hand_training.train_student, key=stage.stage_key(root, 'student')
  )
  for arm in config.arms:
    teachers = {name: trained[name] for name in ARMS[arm]}
    sections = (*hand_training.SECTIONS, 'student')
    trained[arm] = make(arm, body, sections, teachers, start=start)
  reader, read = None, {}
  if config.palm_frame.steps:
    name = palm_frame_stage.NAME
    read[name] = make(
      name, palm_frame_stage.train, palm_frame_stage.SECTIONS, {}
    )
    reader = palm_frame_networks.load(read[name].path)

  looks = {
    name: hand_networks.load(
      result.path,
      shrink=1 if name == 'teacher2' else config.resolution.factor,
    )
    for name, result in trained.items()
  }
  if not processes.is_first():
    return  # It has taken part in all trainings.
  logging.info('measuring the detectors; this takes a minute')
  scores = gesture_scores.score(config, hands, looks, reader)
  results = {
    'recipe': config.recipe,
    'seed': config.seed,
    'models': gesture_scores.models(config, scores, looks),
    'ended': stage.endings({**trained, **read}),
  }
  files.write_json(workdir / 'metrics.json', results)
  gesture_report.write(
    hand_training.HandRun(config, hands, workdir), scores, results, looks=looks
  )
