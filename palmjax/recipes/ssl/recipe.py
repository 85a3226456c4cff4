"""Semi-supervised palm recognition: what a GAN adds to few labelled palms.

  labelled palms ─┬─ cnn1 ────────────────┐
                  ├─ gan ── generated ────┴─ soft_labels ─┐
                  ├─ cnn2 ────────────────────────────────┘
                  └─ control: cnn2 without the generated palms

CNN-1 and CNN-2 start fresh from different weights. The control starts from the
weights of CNN-2 and from the same keys, for where a network starts matters as
much as what it sees. All get equally many steps with equally large batches, of
which a part is generated for CNN-2: it sees each labelled image less often. All
are measured on identities that none of them has seen.

With a rule of the section `stop` each training ends by itself. CNN-2 and the
control may then differ in their steps, too.
"""

import dataclasses
import functools

import jax
from absl import logging

from palmjax import files
from palmjax.data import streams
from palmjax.engine import mesh as meshes
from palmjax.engine import processes, run_folder, stage
from palmjax.evals import bootstrap
from palmjax.evals.recognition import verification
from palmjax.losses import soft_label as soft_label_loss
from palmjax.networks import palm as palm_networks
from palmjax.recipes.shared import (
  controls,
  palm_images,
  palm_training,
  run_start,
  strangers,
)
from palmjax.recipes.ssl import checks as ssl_checks
from palmjax.recipes.ssl import gan as ssl_gan
from palmjax.recipes.ssl import labels as ssl_labels
from palmjax.recipes.ssl import report as ssl_report
from palmjax.steps import classify, soft_label

MODELS = ('cnn1', 'cnn2', 'control')
# Streams of a stage's key.
_LABELLED, _GENERATED = 100, 101


def run(config, workdir):
  """Runs or resumes the recipe; writes metrics.json, run.json, report.html.

  Args:
    config: of configs/ssl.py.
    workdir: folder of the run.

  Raises:
    ValueError, OSError: one line that says what to do; all that was saved
      before stays.
  """
  workdir, mesh, root = run_start.take(config, workdir, ssl_checks.check)
  palms = palm_images.load(config, data_key(config))
  run_folder.keep_config(workdir, config.to_dict())
  logging.info('labelled: %s', palms.counts())

  def make(name, body, sections, **inputs):
    return stage.run(
      name,
      functools.partial(body, palms, mesh),
      workdir=workdir,
      key=root,
      config=config.to_dict(),
      sections=sections,
      facts={'data': palms.fingerprint},
      inputs=inputs,
      profile=run_start.profile(config),
    )

  # CNN-2 and the control: equal weights, order and augmentation.
  shared_key = stage.stage_key(root, 'start of cnn2')
  # Palms that their thresholds are set on.
  others = strangers.find(config, palms, data_key(config))
  train_on_labels = functools.partial(_train_on_labels, others=others)
  train_cnn2 = functools.partial(train_on_both, key=shared_key, others=others)
  train_control = functools.partial(train_on_labels, key=shared_key)
  cnn = palm_training.SECTIONS
  cnn1 = make('cnn1', train_on_labels, cnn)
  gan = make('gan', ssl_gan.train, ssl_gan.SECTIONS, judge=cnn1)
  soft = make(
    'soft_labels', ssl_labels.label, ('soft',), teacher=cnn1, generator=gan
  )
  cnn2 = make('cnn2', train_cnn2, (*cnn, 'soft'), soft=soft)
  control = make('control', train_control, cnn)

  if not processes.is_first():
    return  # It has taken part in all trainings.
  logging.info('measuring the networks; this takes a minute')
  trained = dict(zip(MODELS, (cnn1, cnn2, control), strict=True))
  scores = {
    name: _scores(palms.evaluation, result.path)
    for name, result in trained.items()
  }
  alone = {
    name: verification.matrix_scores(matrix, palms.evaluation.labels)
    for name, matrix in controls.scores(palms.evaluation.images).items()
  }
  results = _results(config, scores, alone, {**trained, 'gan': gan})
  files.write_json(workdir / 'metrics.json', results)
  ssl_report.write(
    palm_training.PalmRun(config, palms, workdir),
    scores | alone,
    results,
    soft_labels=soft.path,
  )


def data_key(config):
  """The key of `palm_images.load`."""
  return stage.stage_key(jax.random.key(config.seed), 'data')


def _train_on_labels(palms, mesh, stage, config, *, others, key=None):
  """The first loss, on labelled images alone.

  Args:
    palms: `palm_images.PalmImages`.
    mesh: devices.
    stage: `engine.stage.Stage`.
    config: `palm_training.SECTIONS`.
    others: `strangers.Strangers`.
    key: in place of that of the stage.

  Returns:
    Metrics of `palm_training.train`.
  """
  if key is not None:
    stage = dataclasses.replace(stage, key=key)
  batch_size = config.cnn.batch_size
  return palm_training.train(
    stage,
    config,
    mesh=mesh,
    classes=len(palms.labelled.identities),
    make_step=functools.partial(
      classify.make_step, logits_fn=_logits_fn(config)
    ),
    loss=_loss(config),
    batches=_labelled(palms, mesh, batch_size, stage.key),
    strangers=others,
    **palm_training.until(config, palms, batch_size),
  )


def train_on_both(palms, mesh, stage, config, *, others, key, soft):
  """The second loss, labelled and generated images in one batch.

  Args:
    palms, mesh, stage, others, key: as of `_train_on_labels`.
    config: `palm_training.SECTIONS` and `soft`.
    soft: export directory of the stage `soft_labels`.

  Returns:
    Metrics of `palm_training.train`.
  """
  stage = dataclasses.replace(stage, key=key)
  images, labels = ssl_labels.read_soft_labels(soft)
  arrays = {'generated': images, 'soft': labels}
  if config.soft.confidence:
    arrays['confidence'] = soft_label_loss.confidence(labels)
  generated = ssl_checks.generated_per_batch(config)
  batch_size = config.cnn.batch_size - generated
  make_step = functools.partial(
    soft_label.make_step,
    logits_fn=_logits_fn(config),
    weight=config.soft.weight,
    augment_generated=config.soft.augment,
    plain_mean=config.soft.plain_mean,
  )
  batches = streams.merge(
    _labelled(palms, mesh, batch_size, key),
    _on_devices(mesh, arrays).batches(
      generated, seed=streams.seed_of(jax.random.fold_in(key, _GENERATED))
    ),
  )
  return palm_training.train(
    stage,
    config,
    mesh=mesh,
    classes=len(palms.labelled.identities),
    make_step=make_step,
    loss=_loss(config),
    batches=batches,
    strangers=others,
    **palm_training.until(config, palms, batch_size),
  )


def _loss(config):
  """The loss as plain values: what a network is exported with."""
  return {key: config.cnn[key] for key in ('loss', 'margin', 'scale')}


def _logits_fn(config):
  return palm_training.logits_fn(_loss(config))


def _labelled(palms, mesh, batch_size, key):
  """The stream of labelled images."""
  part = palms.labelled
  arrays = {'image': part.images, 'label': part.labels}
  return _on_devices(mesh, arrays).batches(
    batch_size, seed=streams.seed_of(jax.random.fold_in(key, _LABELLED))
  )


def _on_devices(mesh, arrays):
  return streams.DeviceSet(arrays, sharding=meshes.batch_sharding(mesh))


def _scores(part, directory):
  """All-pairs scores of an exported network on the evaluation identities."""
  embeddings = palm_networks.load(directory).embed(part.images)
  return verification.pair_scores(embeddings, part.labels)


def _results(config, scores, alone, stages):
  """What metrics.json holds: results only, the same bytes for the same run."""
  resampling = bootstrap.Resampling(
    draws=config.evaluation.resamples, seed=config.seed
  )
  models = {
    name: {
      **verification.rates(
        pairs, fars=config.evaluation.fars, resampling=resampling
      ),
      'params': {'value': stages[name].metrics['params']},
    }
    for name, pairs in scores.items()
  }
  for name, pairs in alone.items():
    models[name] = verification.rates(
      pairs, fars=config.evaluation.fars, resampling=resampling
    )
  for baseline in ('control', 'cnn1'):
    models['cnn2'][f'eer/{baseline}'] = verification.eer_ratio(
      scores['cnn2'], scores[baseline], resampling=resampling
    )
  models['gan'] = {
    name: value if isinstance(value, dict) else {'value': value}
    for name, value in stages['gan'].metrics.items()
    if name != 'ended'
  }
  return {
    'recipe': config.recipe,
    'seed': config.seed,
    'models': models,
    'ended': stage.endings(stages),
  }
