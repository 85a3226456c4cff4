"""The stage `frame_reader`: trains a network that reads palm frames."""

import jax

from palmjax.data import streams
from palmjax.data.augment import palm_frame_crops
from palmjax.engine import loop
from palmjax.engine import mesh as meshes
from palmjax.networks import export as exports
from palmjax.networks import palm_frame as palm_frames
from palmjax.recipes.shared import ending, hand_settings
from palmjax.steps import palm_frame as palm_frame_steps

NAME = 'frame_reader'
# Streams of the stage's key.
_INIT, _TRAIN, _BATCHES = range(3)
# Sections of a config that `train` reads.
SECTIONS = (
  'augment',
  'dtype',
  'batch_norm_momentum',
  'palm_frame',
  'stop',
  'log_every',
)
# What of the section `augment` changes crops: their light, not their place.
_LIGHT = (
  'saturation',
  'hue',
  'grey',
  'brightness',
  'contrast',
  'blur',
  'noise',
  'erase',
)


def crops(config):
  """What the training looks at, of `data.augment.palm_frame_crops`."""
  section = config.palm_frame
  return palm_frame_crops.make_crops(
    size=section.image_size,
    angle=section.angle,
    scale=section.scale,
    shift=section.shift,
    **{name: config.augment[name] for name in _LIGHT},
  )


def train(hands, mesh, stage, config):
  """Trains the reader on the hands whose palm frame is known, and exports it.

  Args:
    hands: `hand_images.HandImages`.
    mesh: devices.
    stage: `engine.stage.Stage`; its key is that of initial weights, order and
      crops.
    config: with `SECTIONS`.

  Returns:
    Metrics: {'params', 'ended'}.

  Raises:
    ValueError: no training image shows a palm frame.
  """
  section, key = config.palm_frame, stage.key
  if not hands.training['framed'].any():
    raise ValueError(
      'no training image shows a palm frame: give --config.data.images, drawn '
      'hands, or --config.palm_frame.steps=0'
    )
  training = _framed(hands.training)
  description = {
    'name': NAME,
    'width': section.width,
    'dtype': config.dtype,
    'batch_norm_momentum': config.batch_norm_momentum,
  }
  model, tx = palm_frames.build(description), hand_settings.optimiser(section)
  state = palm_frame_steps.create_state(
    model,
    tx,
    jax.random.fold_in(key, _INIT),
    input_shape=(section.image_size, section.image_size, 3),
  )
  look = crops(config)
  data = streams.DeviceSet(training, sharding=meshes.batch_sharding(mesh))
  step = palm_frame_steps.make_step(model, tx, crops=look)
  state, ended = loop.fit(
    loop.always(meshes.jit_step(step, mesh)),
    state,
    frozen=None,
    batches=data.batches(
      section.batch_size,
      seed=streams.seed_of(jax.random.fold_in(key, _BATCHES)),
    ),
    num_steps=section.steps,
    key=jax.random.fold_in(key, _TRAIN),
    workdir=stage.workdir,
    mesh=mesh,
    name=stage.name,
    profile=stage.profile,
    ckpt_every=section.ckpt_every,
    log_every=config.log_every,
    eval_every=config.stop.every,
    **ending.by_loss(
      config.stop,
      palm_frame_steps.make_loss(model, crops=look),
      training=training,
      held_out=hands.held_out and _framed(hands.held_out),
      batch_size=section.batch_size,
    ),
  )
  state = jax.device_get(state)
  params = state.params['reader']
  exports.save(
    stage.export,
    variables={'params': params, **state.stats},
    model={**description, 'ended': ended},
    preprocess=palm_frames.PalmFrameInput(
      image_size=section.image_size
    ).to_json(),
  )
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  return {'params': int(count), 'ended': ended}


def _framed(arrays):
  """Of the images that show a palm frame what the step reads."""
  known = arrays['framed'].any(axis=1)
  return {
    name: arrays[name][known]
    for name in ('image', 'points', 'framed', 'facing')
  }
