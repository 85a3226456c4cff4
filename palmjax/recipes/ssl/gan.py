"""The stage `gan` of the recipe `ssl`, and its training images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data import streams
from palmjax.engine import loop, optim
from palmjax.engine import mesh as meshes
from palmjax.engine import stop as stops
from palmjax.evals import generative
from palmjax.images import preprocess
from palmjax.models import discriminator as discriminators
from palmjax.models import generator as generators
from palmjax.networks import export as exports
from palmjax.networks import generator as generator_networks
from palmjax.networks import palm as palm_networks
from palmjax.steps.gan import ada, updates
from palmjax.steps.gan import networks as gan_networks

# Streams of a stage's key.
_INIT, _BATCHES, _TRAIN, _JUDGE, _FINAL = range(5)
# Sections of a config that `train` reads.
SECTIONS = ('image_size', 'gan', 'log_every', 'optimise')


def build(config, key):
  """The generator, the state at the start and the four updates.

  Args:
    config: with `image_size` and `gan`.
    key: random key of the initial weights.

  Returns:
    (Generator, state of `steps.gan.networks`, `updates.Steps`, not jitted).
  """
  generator, discriminator = networks(config)
  size, config = config.image_size, config.gan
  adam = functools.partial(
    optim.lazy_adam, config.learning_rate, b1=0.0, b2=0.99
  )
  optimisers = (
    adam(interval=config.path_length_interval),
    adam(interval=config.r1_interval),
  )
  steps = updates.make_steps(
    generator,
    discriminator,
    *optimisers,
    augment=functools.partial(
      ada.augment,
      mirror=config.ada_mirror,
      quarter_turns=config.ada_mirror,
      rotation=np.deg2rad(config.ada_rotation),
      hue=np.deg2rad(config.ada_hue),
    ),
    r1_gamma=r1_gamma(size, config),
    **_intervals(config),
    path_length_weight=config.path_length_weight,
    style_mixing=config.style_mixing,
    ema_half_life_kimg=config.ema_kimg,
    ada_target=config.ada_target,
    ada_ramp_kimg=config.ada_kimg,
    ada_limit=config.ada_limit,
  )
  state = gan_networks.create_state(
    generator,
    discriminator,
    *optimisers,
    {'image': jnp.zeros((1, size, size, 3))},
    key,
  )
  return generator, state, steps


def r1_gamma(size, config):
  """γ as the section `gan` of a config gives it; 0: that of ADA's code."""
  return config.r1_gamma or 0.0002 * size**2 / config.batch_size


def networks(config):
  """The generator and the discriminator that a config describes."""
  size, config = config.image_size, config.gan
  sizes = {
    'fmap_base': config.fmap_base,
    'fmap_max': config.fmap_max,
    'dtype': jnp.dtype(config.dtype),
  }
  generator = generators.Generator(
    image_size=size,
    latent_size=config.latent_size,
    mapping_layers=config.mapping_layers,
    **sizes,
  )
  return generator, discriminators.Discriminator(image_size=size, **sizes)


def training_images(config, images):
  """Images that the discriminator takes for real.

  Args:
    config: with `gan`.
    images: uint8 [N, H, W, 3], labelled photographs.

  Returns:
    uint8 [N, H, W, 3]: the photographs, or pictures of their creases.
  """
  if config.gan.images == 'photos':
    return images
  return np.asarray(preprocess.crease_images(images))


def train(palms, mesh, stage, config, *, judge):
  """Trains the GAN on the labelled images, without augmenting them first.

  Every `gan.eval_every` iterations the moving average of the generator makes
  images. Their kernel distance to the labelled images, in the embedding of the
  network in `judge`, decides which average is kept and when to stop.

  Args:
    palms: `palm_images.PalmImages`.
    mesh: devices.
    stage: `engine.stage.Stage`.
    config: with `SECTIONS`.
    judge: export directory of CNN-1.

  Returns:
    Metrics: {'iterations', 'ended', 'kept', 'kid@palm', …}.
  """
  section, key = config.gan, stage.key
  generator, state, steps = build(config, jax.random.fold_in(key, _INIT))
  state['best'] = {
    'params': state['generator'].ema,
    'stats': state['generator'].stats,
    'kid': jnp.array(jnp.inf),
    'step': jnp.array(0),
  }

  embed = palm_networks.load(judge).embed
  generate = generator_networks.make_generate(generator)
  shown = training_images(config, palms.labelled.images)
  real = _features(embed, shown)
  judge_key = jax.random.fold_in(key, _JUDGE)

  def evaluate(state, step):
    now = state['generator']
    images = generate(now.ema, now.stats, judge_key, section.eval_images)
    features = _features(embed, images)
    kid = generative.kid(real, features, subsets=20)['value']
    best = state['best']
    # Nothing to beat yet: the first one is kept, whatever it is.
    if kid < best['kid']:
      best = {
        'params': now.ema,
        'stats': now.stats,
        'kid': jnp.array(kid, jnp.float32),
        'step': jnp.array(step),
      }
    metrics = {
      'kid@palm': kid,
      'diversity': generative.diversity(real, features)['value'],
    }
    return {**state, 'best': best}, metrics

  seed = streams.seed_of(jax.random.fold_in(key, _BATCHES))
  batches = streams.DeviceSet(
    {'image': shown}, sharding=meshes.batch_sharding(mesh)
  ).batches(section.batch_size, seed=seed)
  steps = [meshes.jit_step(step, mesh) for step in steps]
  if not config.optimise:
    # Most of such a run is compilation.
    steps = meshes.compile_together(
      steps, state, None, next(batches(0)), key, mesh=mesh
    )
  state, ended = loop.fit(
    updates.schedule(
      updates.Steps(*steps), **_intervals(section), order=section.order
    ),
    state,
    frozen=None,
    batches=batches,
    num_steps=section.steps,
    key=jax.random.fold_in(key, _TRAIN),
    workdir=stage.workdir,
    mesh=mesh,
    name=stage.name,
    profile=stage.profile,
    ckpt_every=section.ckpt_every,
    log_every=config.log_every,
    evals=evaluate,
    eval_every=section.eval_every,
    stop=(stops.Plateau('kid@palm', patience=section.patience),),
  )
  best = jax.device_get(state['best'])
  exports.save(
    stage.export,
    variables={'params': best['params'], **best['stats']},
    model={
      'name': 'generator',
      'image_size': config.image_size,
      'latent_size': section.latent_size,
      'mapping_layers': section.mapping_layers,
      'fmap_base': section.fmap_base,
      'fmap_max': section.fmap_max,
      'dtype': section.dtype,
      'ended': ended,
    },
    preprocess={},
  )
  # Other pictures than those that chose the best: these had luck.
  final_key = jax.random.fold_in(key, _FINAL)
  images = generate(
    best['params'], best['stats'], final_key, section.eval_images
  )
  return {
    'iterations': int(state['generator'].step),
    'ended': ended,
    'kept': int(best['step']),
    **_judge(config, palms, embed, shown, images),
  }


def _intervals(config):
  return {
    'r1_interval': config.r1_interval,
    'path_length_interval': config.path_length_interval,
  }


def _features(embed, images):
  """Embeddings of length √D: the cubic kernel of KID is made for unit scale."""
  embeddings = embed(images)
  return embeddings * np.sqrt(embeddings.shape[1])


def _judge(config, palms, embed, shown, images):
  """What the report says of the generator."""
  real = _features(embed, shown)
  fake = _features(embed, images)
  distance = generative.kid(real, fake)
  metrics = {
    'kid@palm': distance['value'],
    'kid@palm_std': distance['std'],
    'diversity': generative.diversity(real, fake)['value'],
  }
  if len(palms.unseen.labels):
    unseen = training_images(config, palms.unseen.images)
    unseen = _features(embed, unseen)
    memory = generative.memorisation(real, unseen, fake)
    metrics['memorisation'] = memory['value']
    metrics['copied'] = memory['copied']
  return metrics
