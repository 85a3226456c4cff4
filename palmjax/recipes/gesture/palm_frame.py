"""The stage `frame_reader`: a network that reads palm frames is trained."""

import jax

from palmjax.data import streams
from palmjax.data.augment import palm_frame_views
from palmjax.engine import loop
from palmjax.engine import mesh as meshes
from palmjax.networks import export as exports
from palmjax.networks import palm_frame as palm_frames
from palmjax.recipes.shared import hand_training
from palmjax.steps import palm_frame as frames

NAME = 'frame_reader'
# Streams of the stage's key.
_INIT, _TRAIN, _BATCHES = range(3)
# What of the section `augment` changes views: their light, not their place.
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


def views(config):
  """What the training looks at, see `data.augment.palm_frame_views.make_views`."""
  section = config.frames
  return palm_frame_views.make_views(
    size=section.image_size,
    angle=section.angle,
    scale=section.scale,
    shift=section.shift,
    **{name: config.augment[name] for name in _LIGHT},
  )


def train(run, directory, export, key):
  """Trains the reader on the hands whose frame is known, and exports it.

  Args:
    run: `hand_training.Run`.
    directory: of the stage.
    export: directory of the result.
    key: random key: initial weights, order and views.

  Returns:
    Metrics: {'params'}.

  Raises:
    ValueError: no training image shows a palm frame.
  """
  config, section = run.config, run.config.frames
  known = run.hands.training['framed'].any(axis=1)
  if not known.any():
    raise ValueError(
      'no training image shows a palm frame: give --config.data.images, drawn '
      'hands, or --config.frames.steps=0'
    )
  description = {
    'name': NAME,
    'width': section.width,
    'dtype': config.dtype,
  }
  model, tx = palm_frames.build(description), hand_training.optimiser(section)
  state = frames.create_state(
    model,
    tx,
    jax.random.fold_in(key, _INIT),
    input_shape=(section.image_size, section.image_size, 3),
  )
  data = streams.DeviceSet(
    {
      name: run.hands.training[name][known]
      for name in ('image', 'points', 'framed', 'facing')
    },
    sharding=meshes.batch_sharding(run.mesh),
  )
  state, ended = loop.fit(
    loop.always(
      meshes.jit_step(
        frames.make_step(model, tx, views=views(config)), run.mesh
      )
    ),
    state,
    frozen=None,
    batches=data.batches(
      section.batch_size,
      seed=streams.seed_of(jax.random.fold_in(key, _BATCHES)),
    ),
    num_steps=section.steps,
    key=jax.random.fold_in(key, _TRAIN),
    workdir=run.workdir,
    mesh=run.mesh,
    name=directory.name,
    ckpt_every=section.ckpt_every,
    log_every=config.log_every,
  )
  state = jax.device_get(state)
  params = state.params['reader']
  exports.save(
    export,
    variables={'params': params, **state.stats},
    model=description,
    preprocess={
      'image_size': section.image_size,
      'channels': 'rgb',
      'value_range': [-1.0, 1.0],
      **palm_frames.view(),
    },
  )
  return {'params': int(sum(leaf.size for leaf in jax.tree.leaves(params)))}
