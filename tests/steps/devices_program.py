"""Each step on one and on eight devices; prints the names of those that agree.

python devices_program.py PART…, of `PARTS`.

A process of its own: JAX counts devices when it starts. Set XLA_FLAGS to
--xla_force_host_platform_device_count=8.
"""

import functools
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from palmjax.images import preprocess
from palmjax.losses import metric as metric_losses
from palmjax.losses import transport, triplet
from palmjax.models import discriminator, generator, heads, mobilefacenet
from palmjax.steps import (
  classify,
  metric,
  perturb,
  perturbed_tasks,
  robust,
  soft_label,
)
from palmjax.steps.gan import ada, networks, updates
from tests.steps import devices_compare, devices_exits, devices_hands

CLASSES = 4
SPEC = preprocess.Preprocess(image_size=devices_compare.SIZE)
IMAGES = {'preprocess': SPEC.apply, 'augment': lambda key, images: images}
HEAD = heads.init_head(jax.random.key(2), CLASSES, 16)


class Embedder(nn.Module):
  """A small network: tracing a real one takes longer than all the steps."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, images, *, train):
    x = nn.Conv(8, (4, 4), 4)(images.astype(self.dtype))
    x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
    return nn.Dense(16)(nn.relu(x).reshape(len(x), -1))


def images_and_labels():
  return {
    'image': devices_compare.pictures(devices_compare.SIZE),
    'label': np.arange(devices_compare.BATCH, dtype=np.int32) % CLASSES,
  }


def compare_classify(name, model):
  """Compares the classification step; returns its state."""
  state = classify.create_state(
    model,
    devices_compare.MOMENTUM,
    jax.random.key(0),
    input_shape=SPEC.shape,
    head=HEAD,
  )
  step = classify.make_step(
    model,
    devices_compare.MOMENTUM,
    logits_fn=metric_losses.softmax_logits,
    **IMAGES,
  )
  devices_compare.compare(name, step, state, images_and_labels())
  return state


def mobilefacenet_step():
  model = mobilefacenet.MobileFaceNet(embedding_size=16, width=0.125)
  compare_classify('mobilefacenet', model)


def palm_steps():
  model, labelled = Embedder(), images_and_labels()
  state = compare_classify('classify', model)
  soft = devices_compare.RANDOM.random((devices_compare.BATCH, CLASSES)).astype(
    np.float32
  )
  generated = {
    'generated': devices_compare.pictures(devices_compare.SIZE),
    'soft': soft / soft.sum(1, keepdims=True),
  }
  step = soft_label.make_step(
    model,
    devices_compare.MOMENTUM,
    logits_fn=metric_losses.softmax_logits,
    weight=1.0,
    augment_generated=True,
    **IMAGES,
  )
  devices_compare.compare('soft_label', step, state, labelled | generated)

  def adaface(embeddings, head, labels, norms):
    logits = metric_losses.adaface_logits(
      embeddings, head, labels, norm_mean=norms['mean'], norm_std=norms['std']
    )
    return metric_losses.cross_entropy(logits, labels)

  def hardest(embeddings, head, labels, norms):
    # Over all pairs of the batch: rows of one device meet those of others.
    distances = triplet.squared_euclidean(embeddings)
    return triplet.mean(triplet.batch_hard(distances, labels))

  # In the middle of the change from one loss to the other.
  losses = {'adaface': adaface, 'hardest': hardest}
  step = metric.make_step(
    model,
    devices_compare.MOMENTUM,
    losses=losses,
    boundaries=(0,),
    blend_steps=4,
    **IMAGES,
  )
  state = metric.create_state(
    model,
    devices_compare.MOMENTUM,
    jax.random.key(0),
    input_shape=SPEC.shape,
    head=HEAD,
  )
  state = state.replace(step=jnp.int32(2))
  devices_compare.compare('metric', step, state, labelled)
  devices_exits.exit_steps(labelled)


def perturbed_palm_step():
  """Transport is between all embeddings of the batch."""
  perturbation = perturb.Perturbation(
    kind='ot',
    epsilon=2 / 255,
    step_size=2 / 255,
    solver=functools.partial(transport.sinkhorn, num_iterations=20),
  )
  model, labelled = Embedder(), images_and_labels()
  state = classify.create_state(
    model,
    devices_compare.PLAIN,
    jax.random.key(9),
    input_shape=SPEC.shape,
    head=HEAD,
  )
  task = perturbed_tasks.recogniser(
    model, logits_fn=metric_losses.arcface_logits, **IMAGES
  )
  step = robust.make_step(
    task, devices_compare.PLAIN, perturbation, statistics='joint'
  )
  devices_compare.compare('ot, palms', step, state, labelled)


def gan_steps():
  sizes = {'image_size': 8, 'fmap_base': 16, 'fmap_max': 8}
  pair = (
    generator.Generator(latent_size=8, mapping_layers=1, **sizes),
    discriminator.Discriminator(**sizes),
  )
  batch = {'image': devices_compare.pictures(8)}
  state = networks.create_state(
    *pair,
    devices_compare.PLAIN,
    devices_compare.PLAIN,
    batch,
    jax.random.key(3),
  )
  state['ada']['p'] = jnp.float32(0.5)
  steps = updates.make_steps(
    *pair,
    devices_compare.PLAIN,
    devices_compare.PLAIN,
    augment=ada.augment,
    r1_gamma=1.0,
  )
  for name, step in steps._asdict().items():
    devices_compare.compare(name, step, state, batch, tolerance=2e-4)


PARTS = {
  'palms': palm_steps,
  'hands': devices_hands.hand_steps,
  'perturbed': devices_hands.perturbed_steps,
  'perturbed_palms': perturbed_palm_step,
  'mobilefacenet': mobilefacenet_step,
  'gan': gan_steps,
}

if __name__ == '__main__':
  assert jax.device_count() == 8
  for name in sys.argv[1:]:
    PARTS[name]()
