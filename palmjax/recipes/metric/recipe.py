"""Palm recognition at full strength: one backbone, one loss, a whole report.

  palms ── network ──┬─ all pairs: EER, FNMR at FMR, d′, beside the controls
                     ├─ searches: rank-k, FNIR at FPIR
                     ├─ both across sessions, devices and sets
                     └─ all pairs again, ever larger squares erased

Everything is measured on identities that the network has not seen. Correlation
and the orientation code, which learn nothing, are controls on the same pairs.
"""

import dataclasses
import functools
import os

import jax
from absl import logging

from palmjax import files
from palmjax.data import streams
from palmjax.data.sets import stored_images
from palmjax.engine import mesh as meshes
from palmjax.engine import processes, run_folder, stage
from palmjax.evals import bootstrap
from palmjax.evals.recognition import (
  binned_rates,
  error_rates,
  identification,
  iso19795,
  occlusion,
  verification,
)
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks
from palmjax.recipes.metric import checks as metric_checks
from palmjax.recipes.metric import class_shards, operating
from palmjax.recipes.metric import losses as metric_losses
from palmjax.recipes.metric import protocols as metric_protocols
from palmjax.recipes.metric import report as metric_report
from palmjax.recipes.shared import (
  config_keys,
  palm_images,
  palm_start,
  palm_training,
  run_start,
  strangers,
)

# Streams of the stage's key, and of the evaluation's.
LABELLED, _ERASED = 100, 101


def run(config, workdir):
  """Runs or resumes the recipe; writes metrics.json, run.json, report.html.

  Args:
    config: of configs/metric.py.
    workdir: folder of the run.

  Raises:
    ValueError, OSError: one line that says what to do; all that was saved
      before stays.
  """
  workdir, mesh, root = run_start.take(config, workdir, metric_checks.check)
  mesh = class_shards.split(mesh, config.loss)
  data_key = stage.stage_key(root, 'data')
  palms = palm_images.load(config, data_key)
  others = strangers.find(config, palms, data_key)
  if config.data.turned:
    palms = dataclasses.replace(
      palms,
      labelled=palm_images.turned(palms.labelled),
      evaluation=palm_images.turned(palms.evaluation),
      validation=palms.validation and palm_images.turned(palms.validation),
    )
  tests = load_tests(config, palms)
  run_folder.keep_config(workdir, config.to_dict())
  logging.info('training: %s', palms.counts())
  network = stage.run(
    'network',
    functools.partial(_train, palms, others, mesh),
    workdir=workdir,
    key=root,
    config=config.to_dict(),
    sections=(*palm_training.SECTIONS, 'loss'),
    facts={
      'data': palms.fingerprint,
      'turned': config.data.turned,
      # What lies at the path, not the path, is what the network starts from.
      'start': exports.start_digests(config.cnn.start),
    },
    inputs={},
    profile=run_start.profile(config),
  )
  if not processes.is_first():
    return  # It has taken part in all trainings.
  logging.info('measuring the network; this takes a minute')
  trained = palm_networks.load(network.path)
  compared = [metric_protocols.compare(one, trained.embed) for one in tests]
  test = compared[0].test
  curve = occlusion.curve(
    trained.embed,
    test.images,
    test.labels,
    jax.random.fold_in(root, _ERASED),
    shares=config.evaluation.occlusion,
    resampling=_resampling(config),
  )
  results = summarise(config, compared, curve, network)
  for name, rates in operating.rates(
    tests,
    compared,
    trained,
    network.path,
    others=others,
    seed=config.seed,
    resampling=_resampling(config),
  ).items():
    results['models'].setdefault(name, {}).update(rates)
  files.write_json(workdir / 'metrics.json', results)
  palm_run = palm_training.PalmRun(config, palms, workdir)
  metric_report.write(
    palm_run,
    compared,
    results,
    embed=trained.embed,
    set_on=operating.set_on(network.path, others),
  )


def _train(palms, others, mesh, stage, config):
  """The network, with the loss of the config."""
  loss = config.loss.to_dict()
  comparison = metric_losses.comparison(loss)
  batch_size = config.cnn.identities * config.cnn.images
  classes = len(palms.labelled.identities)
  made = class_shards.training(config.loss, mesh, classes)
  return palm_training.train(
    stage,
    config,
    mesh=mesh,
    classes=classes,
    make_step=made['make_step'],
    create_state=state_creator(config, made['create_state']),
    init_head=made['init_head'],
    batches=batches(palms.labelled, mesh, config.cnn, stage.key),
    # Its scale makes logits of cosines again.
    loss={
      'loss': loss['name'],
      'margin': loss['margin'],
      'scale': loss['scale'],
    },
    comparison=comparison,
    strangers=others,
    **palm_training.until(config, palms, batch_size, comparison=comparison),
  )


def state_creator(config, create_state):
  """Returns `create_state`, or one that starts from `cnn.start`.

  Args:
    config: `palm_training.SECTIONS`; `cnn.start` is an export or ''.
    create_state: as `classify.create_state`.

  Returns:
    Function with the arguments and the result of `create_state`. It raises
    ValueError where the export does not fit the config.
  """
  if not config.cnn.start:
    return create_state

  def start(*args, **sizes):
    return palm_start.from_export(
      create_state(*args, **sizes), config, config.cnn.start
    )

  return start


def load_tests(config, palms):
  """Reads the sets that a run is tested on.

  Args:
    config: of configs/metric.py.
    palms: `palm_images.PalmImages` of the run.

  Returns:
    List of `protocols.Test`: the held-out palms of the run, then each of
    `evaluation.sets`.

  Raises:
    OSError, ValueError: a set cannot be read, is named twice, or is trained on.
  """
  tests = [metric_protocols.held_out_test(config, palms)]
  for directory in config.evaluation.sets:
    with config_keys.named('evaluation.sets'):
      test = metric_protocols.other_set(directory, size=config.image_size)
    # Another part or another version of one set is of the same people.
    names = {config.data.name, *(other.name for other in tests)}
    trained_on = config.data.dir and os.path.realpath(config.data.dir)
    if test.name in names or os.path.realpath(directory) == trained_on:
      raise ValueError(
        f'--config.evaluation.sets: {test.name} is named twice, or is the set '
        'of the training; give other sets'
      )
    tests.append(test)
  return tests


def batches(labelled, mesh, section, key):
  """The stream: any images, or several of each identity in a batch.

  Args:
    labelled: `palm_images.Part`; read from disk as it goes, where its images
      are there.
    mesh: devices.
    section: {'identities', 'images'} of a batch: `cnn` of a config.
    key: random key of the stage.

  Returns:
    start → iterator of {'image', 'label'}.
  """
  seed = streams.seed_of(jax.random.fold_in(key, LABELLED))
  sharding = meshes.batch_sharding(mesh)
  identities, images = section.identities, section.images
  if isinstance(labelled.images, stored_images.StoredImages):
    examples = stored_images.Examples(labelled.images, labelled.labels)
    return streams.grain_batches(
      examples, identities, seed=seed, sharding=sharding
    )
  data = streams.DeviceSet(
    {'image': labelled.images, 'label': labelled.labels}, sharding=sharding
  )
  if images == 1:
    return data.batches(identities, seed=seed)
  # Whatever the loss: an ablation changes one thing at a time.
  with config_keys.named('cnn.identities'):
    return data.identity_batches(identities, images, seed=seed)


def _resampling(config):
  return bootstrap.Resampling(
    draws=config.evaluation.resamples, seed=config.seed
  )


def summarise(config, compared, curve, network):
  """Computes what metrics.json holds: the same bytes for the same run.

  Args:
    config: of configs/metric.py.
    compared: list of `protocols.Compared`, that of the held-out palms first.
    curve: {share erased: rate}, as of `occlusion.curve`.
    network: `stage.Result`.

  Returns:
    Dict of JSON values: 'recipe', 'seed', 'models' and 'ended'.
  """
  resampling = _resampling(config)
  models = {}
  fmrs = config.evaluation.fmrs
  for test, scores, searches, counted in compared:
    for name, pairs in scores.items():
      models[name] = {
        **verification.fnmr_rates(pairs, fmrs=fmrs, resampling=resampling),
        'd_prime': error_rates.d_prime(pairs.genuine, pairs.impostor),
      }
      if name.startswith('network'):
        for control in ('correlation', 'orientation code'):
          models[name][f'eer/{control}'] = verification.eer_ratio(
            pairs,
            scores[name.replace('network', control, 1)],
            resampling=resampling,
          )
    for name, pair_counts in counted.items():
      models[name] = {
        **binned_rates.rates(*pair_counts, fmrs=fmrs, resampling=resampling),
        'd_prime': binned_rates.d_prime(pair_counts.counts),
      }
    for name, searched in searches.items():
      models[name] |= identification.rates(
        searched, fpirs=config.evaluation.fpirs, resampling=resampling
      )
    models[f'network{test.suffix}'] |= iso19795.failures(
      test.captured, test.failed, resampling=resampling
    )
  models['network'] |= {
    **{f'eer@erased={share:g}': rate for share, rate in curve.items()},
    'params': {'value': network.metrics['params']},
  }
  return {
    'recipe': config.recipe,
    'seed': config.seed,
    'models': models,
    'ended': stage.endings({'network': network}),
  }
