"""Class weights that are split over devices: `loss.class_shards` and `_share`.

With 1 and 1 every device holds all class weights, and a step uses all. Else the
step is that of `steps.sharded_metric`.
"""

import functools

from palmjax.engine import mesh as meshes
from palmjax.losses import sharded_margin
from palmjax.models import heads
from palmjax.recipes.metric import losses as metric_losses
from palmjax.recipes.shared import config_keys
from palmjax.steps import classify, metric, sharded_metric


def check(loss, mesh):
  """Checks the section `loss`, before anything is drawn.

  Args:
    loss: section of a config.
    mesh: devices of the run.

  Raises:
    ValueError: shards that do not divide the devices, a share that is none, or
      a loss that needs all class weights.
  """
  if not 0 < loss.class_share <= 1:
    raise ValueError(
      f'--config.loss.class_share={loss.class_share}: give a share above 0 and '
      'at most 1'
    )
  split(mesh, loss)
  if _are_used(loss):
    metric_losses.margin(loss.to_dict())


def split(mesh, loss):
  """Gives the devices the axes (data, model), if a step of these needs them.

  Args:
    mesh: of `mesh.make`.
    loss: section of a config.

  Returns:
    The mesh; as it is where each device holds and uses all classes.

  Raises:
    ValueError: shards that do not divide the devices.
  """
  if not _are_used(loss):
    return mesh
  with config_keys.named('loss.class_shards'):
    return meshes.split(mesh, loss.class_shards)


def training(loss, mesh, classes):
  """How `palm_training.train` makes the state and the step.

  Args:
    loss: section of a config.
    mesh: of `split`.
    classes: K, identities of the training.

  Returns:
    {'make_step', 'create_state', 'init_head'} of `palm_training.train`.
  """
  section = loss.to_dict()
  if not _are_used(loss):
    return {
      'make_step': functools.partial(
        metric.make_step, **metric_losses.losses(section)
      ),
      'create_state': metric.create_state,
      'init_head': None,
    }
  shards = loss.class_shards
  return {
    'make_step': functools.partial(
      sharded_metric.make_step,
      mesh=mesh,
      num_classes=classes,
      margin=metric_losses.margin(section),
      scale=loss.scale,
      share=loss.class_share,
    ),
    'create_state': classify.create_state,
    'init_head': functools.partial(
      heads.init_split_head,
      num_rows=shards * sharded_margin.rows_per_shard(classes, shards),
      sharding=meshes.split_rows(mesh),
    ),
  }


def _are_used(loss):
  """Whether the section `loss` of a config splits or samples classes."""
  return loss.class_shards > 1 or loss.class_share < 1
