"""bfloat16 in the steps: which numbers have it, and which stay float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.data.augment import palm_frame_crops
from palmjax.losses import metric as metric_losses
from palmjax.losses import transport, triplet
from palmjax.models import backbones, detector, exits, heads, palm_frame
from palmjax.ops.conv import dispatch
from palmjax.steps import (
  classify,
  detect,
  distill,
  metric,
  perturb,
  perturbed_tasks,
  robust,
  self_distill,
  soft_label,
  two_teachers,
)
from palmjax.steps import palm_frame as frame_steps
from tests.steps import rectangles
from tests.steps.gan import small_gan

TX = optax.sgd(0.1, momentum=0.9)
KEY = jax.random.key(0)
CLASSES, SIZE, BATCH, SIDE = 4, 16, 4, 32
HALF = jnp.bfloat16
LOGITS = metric_losses.normalised_logits
# Operations that multiply matrices, and those of losses: in bfloat16 a
# probability near 1 is 1, and its logarithm 0.
PRODUCTS = ('dot_general', 'conv_general_dilated')
OF_LOSSES = ('exp', 'log', 'log1p', 'expm1', 'logistic', 'tanh', 'acos')


def same(*arguments):
  return arguments[-1]


IMAGES = {'preprocess': same, 'augment': same}


def operations(jaxpr, names):
  """Types of the operands of some operations, also of inner programs.

  Returns:
    {name: set of the types of floating operands}.
  """
  types = {name: set() for name in names}

  def visit(jaxpr):
    for equation in jaxpr.eqns:
      if equation.primitive.name in types:
        types[equation.primitive.name] |= {
          variable.aval.dtype
          for variable in equation.invars
          if jnp.issubdtype(variable.aval.dtype, jnp.floating)
        }
      for value in jax.tree.leaves(
        list(equation.params.values()),
        is_leaf=lambda leaf: hasattr(leaf, 'eqns') or hasattr(leaf, 'jaxpr'),
      ):
        if hasattr(value, 'jaxpr'):
          visit(value.jaxpr)
        elif hasattr(value, 'eqns'):
          visit(value)

  visit(jaxpr.jaxpr)
  return types


def backbone():
  # The one that is traced soonest; its tail has a BatchNorm.
  return backbones.build(
    'vgg16_gdconv', embedding_size=SIZE, width=0.125, dtype=HALF, attention=True
  )


def palms(**more):
  image = np.zeros((BATCH, SIDE, SIDE, 3), np.uint8)
  return {'image': image, 'label': np.arange(BATCH, dtype=np.int32), **more}


def palm_state(model, head=None, create=classify.create_state):
  if head is None:
    head = heads.init_head(KEY, CLASSES, SIZE)
  return create(model, TX, KEY, input_shape=(SIDE, SIDE, 3), head=head)


def soft():
  return np.full((BATCH, CLASSES), 1 / CLASSES, np.float32)


def classify_case():
  model = backbone()
  step = classify.make_step(model, TX, logits_fn=LOGITS, **IMAGES)
  return step, palm_state(model), None, palms()


def soft_label_case():
  model = backbone()
  step = soft_label.make_step(
    model, TX, logits_fn=LOGITS, weight=1.0, augment_generated=True, **IMAGES
  )
  batch = palms(generated=palms()['image'], soft=soft())
  return step, palm_state(model), None, batch


def metric_case():
  def hardest(embeddings, head, labels, norms):
    del head, norms
    distances = triplet.squared_euclidean(embeddings)
    return triplet.mean(triplet.batch_hard(distances, labels))

  model = backbone()
  step = metric.make_step(
    model, TX, losses={'hardest': hardest}, boundaries=(), **IMAGES
  )
  return step, palm_state(model, create=metric.create_state), None, palms()


def exit_case(make_step, frozen=None, batch=None, **options):
  model = exits.ExitNetwork(backbone())
  head = exits.init_heads(KEY, CLASSES, model)
  step = make_step(model, TX, logits_fn=LOGITS, **IMAGES, **options)
  return step, palm_state(model, head), frozen, batch or palms()


def distill_case():
  teacher = backbone()
  state = palm_state(teacher)
  return exit_case(
    distill.make_step,
    {'teacher': {'params': state.params, **state.stats}},
    teacher=teacher,
    teacher_logits_fn=LOGITS,
    teacher_preprocess=same,
  )


def self_distill_case():
  batch = palms(soft=soft(), has_soft=np.arange(BATCH) < 2)
  return exit_case(self_distill.make_step, batch=batch)


def hand_state(create, model, side=64, **more):
  return create(model, TX, KEY, input_shape=(side, side, 3), **more)


def hand_detector(**changes):
  return detector.Detector(2, width=0.125, dtype=HALF, **changes)


def detect_case():
  model = hand_detector()
  step = detect.make_step(model, TX, augment=same)
  state = hand_state(detect.create_state, model)
  return step, state, None, rectangles.rectangles()


def palm_frame_case():
  model = palm_frame.PalmFrameRegressor(width=0.125, dtype=HALF)
  light = dict.fromkeys(
    ('saturation', 'hue', 'grey', 'brightness', 'contrast', 'blur'), 0.0
  ) | {'noise': 0.0, 'erase': 0.0}
  crops = palm_frame_crops.make_crops(
    size=32, angle=5.0, scale=0.05, shift=0.1, **light
  )
  step = frame_steps.make_step(model, TX, crops=crops)
  state = hand_state(frame_steps.create_state, model, 32)
  return step, state, None, rectangles.rectangles()


def two_teachers_case():
  model = hand_detector()
  teachers = {
    'teacher1': hand_detector(),
    'teacher2': hand_detector(resolution_factor=2),
  }
  frozen = {
    name: jax.eval_shape(
      functools.partial(teacher.init, train=False),
      KEY,
      jnp.zeros((1, 64, 64, 3)),
    )
    for name, teacher in teachers.items()
  }
  options = {'teachers': teachers, 'shrink': 2}
  step = two_teachers.make_step(model, TX, augment=same, **options)
  state = hand_state(two_teachers.create_state, model, **options)
  return step, state, frozen, rectangles.rectangles()


def perturb_case():
  model = backbone()
  perturbation = perturb.Perturbation(
    solver=functools.partial(transport.sinkhorn, num_iterations=3)
  )
  task = perturbed_tasks.recogniser(model, logits_fn=LOGITS, **IMAGES)
  step = robust.make_step(task, TX, perturbation, statistics='joint')
  return step, palm_state(model), None, palms()


def gan_case(name):
  half = {
    'generator': small_gan.GENERATOR.clone(dtype=HALF),
    'discriminator': small_gan.DISCRIMINATOR.clone(dtype=HALF),
  }
  steps, fresh = small_gan.make(**half)
  return getattr(steps, name), fresh(), None, small_gan.batch()


CASES = {
  'classify': classify_case,
  'soft_label': soft_label_case,
  'metric': metric_case,
  'distill': distill_case,
  'self_distill': self_distill_case,
  'detect': detect_case,
  'palm_frame': palm_frame_case,
  'two_teachers': two_teachers_case,
  'perturb': perturb_case,
  'gan discriminator': functools.partial(gan_case, 'discriminator'),
  'gan generator': functools.partial(gan_case, 'generator'),
}


# Tracing and initialising them takes longest.
SLOW = ('distill', 'self_distill', 'detect', 'palm_frame', 'two_teachers')


def traced(case):
  """(jaxpr, types of state before, types of (state, metrics) after)."""
  step, state, frozen, batch = case()
  jaxpr, after = jax.make_jaxpr(step, return_shape=True)(
    state, frozen, batch, KEY
  )
  return jaxpr, state, after


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
    for name in CASES
  ],
)
def test_a_step_multiplies_in_bfloat16_and_keeps_float32(name):
  with dispatch.plain():  # Convolutions are seen as such.
    convolved = operations(traced(CASES[name])[0], PRODUCTS)
  assert jnp.dtype(HALF) in convolved['conv_general_dilated']
  jaxpr, state, (new, metrics) = traced(CASES[name])
  types = operations(jaxpr, PRODUCTS + OF_LOSSES)
  assert jnp.dtype(HALF) in set().union(*(types[x] for x in PRODUCTS))
  assert jax.tree.map(lambda x: x.dtype, new) == jax.tree.map(
    lambda x: x.dtype, state
  )
  floats = {
    leaf.dtype
    for leaf in jax.tree.leaves((new, metrics))
    if jnp.issubdtype(leaf.dtype, jnp.floating)
  }
  assert floats == {jnp.dtype('float32')}
  assert jnp.dtype(HALF) not in set().union(*(types[x] for x in OF_LOSSES))


@pytest.mark.parametrize('name', ['r1', 'path_length'])
def test_a_regulariser_is_float32_throughout(name):
  jaxpr, *_ = traced(functools.partial(gan_case, name))
  assert operations(jaxpr, PRODUCTS)['conv_general_dilated'] == {
    jnp.dtype('float32')
  }
  assert 'bf16' not in str(jaxpr)


@pytest.mark.parametrize('solver', [transport.sinkhorn, transport.ipot])
def test_transport_of_bfloat16_features_is_float32_throughout(solver):
  features = jnp.zeros((5, 8), HALF)
  jaxpr = jax.make_jaxpr(
    functools.partial(transport.matching_distance, solver=solver)
  )(features, features)
  types = operations(jaxpr, PRODUCTS + OF_LOSSES)
  assert types['dot_general'] == types['exp'] == {jnp.dtype('float32')}
  # No product has the precision that an accelerator chooses.
  assert 'Precision.HIGHEST' in str(jaxpr)
  assert {x.dtype for x in jaxpr.out_avals} <= {
    *map(jnp.dtype, ('float32', 'int32', 'bool'))
  }
