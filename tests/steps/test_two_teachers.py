"""The student's step: parts by hand, frozen teachers, no labels, K and L."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.engine import state as train_state
from palmjax.losses import detection
from palmjax.losses import two_teachers as losses
from palmjax.steps import detect, two_teachers
from tests.steps import tiny_teachers

# Compiled faster; runs are short.
quick_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': '0'}
)


def filled(shapes, seed):
  """Numbers for abstract variables; initialising them takes longer."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    # Positive: some are variances.
    lambda x: rng.uniform(0.1, 0.5, x.shape).astype(np.float32),
    shapes,
  )


def network(model, side, seed):
  images = jnp.zeros((1, side, side, 3))
  return filled(
    jax.eval_shape(
      lambda key: model.init(key, images, train=False), jax.random.key(0)
    ),
    seed,
  )


def make(
  tx=None, *, factor=2, level=1, augment=tiny_teachers.no_augment, **options
):
  tx, model = tx or optax.sgd(0.05), tiny_teachers.Tiny()
  teachers = {
    'teacher1': tiny_teachers.Tiny(features=9),
    'teacher2': tiny_teachers.Tiny(level=level, factor=factor),
  }
  frozen = {
    'teacher1': network(teachers['teacher1'], 16, 7),
    'teacher2': network(teachers['teacher2'], 16 * factor, 8),
  }
  step = two_teachers.make_step(
    model,
    tx,
    teachers=teachers,
    augment=augment,
    shrink=factor,
    level=level,
    **options,
  )
  student = network(model, 16, 9)
  kernels = {f'level{i}': jnp.zeros((1, 1, 6, 9)) for i in (1, 2)}
  alignments = {'teacher1': filled(kernels, 10), 'teacher2': {}}
  params = {'detector': student.pop('params'), 'alignments': alignments}
  state = train_state.create(params, student, tx)
  return teachers, frozen, step, state


def test_fresh_state():
  """Alignments where channels differ, a key for each; the student's own."""
  teachers = {
    'teacher1': tiny_teachers.Tiny(features=9),
    'teacher2': tiny_teachers.Tiny(features=9, factor=2),
  }
  state = two_teachers.create_state(
    tiny_teachers.Tiny(),
    optax.adam(0.1),
    jax.random.key(1),
    input_shape=(32, 32, 3),
    teachers=teachers,
    shrink=2,
  )
  assert state.step == 0
  assert state.stats.keys() == {'batch_stats'}
  assert state.params.keys() == {'detector', 'alignments'}
  kernels = jax.tree.leaves(state.params['alignments'])
  assert [kernel.shape for kernel in kernels] == 4 * [(1, 1, 6, 9)]
  assert len({np.asarray(kernel).tobytes() for kernel in kernels}) == 4
  chex.assert_trees_all_equal_shapes(state.opt_state[0].mu, state.params)


@pytest.mark.parametrize(
  'factor, level', [pytest.param(2, 1, marks=pytest.mark.slow), (3, 2)]
)
def test_parts_by_hand(factor, level):
  """Labels and both teachers, weighted; the second sees large images."""
  teachers, frozen, step, state = make(
    factor=factor,
    level=level,
    truth_weight=0.5,
    teacher_weights=(2.0, 3.0),
    form='plain',
  )
  data = tiny_teachers.batch(factor)
  after, metrics = quick_jit(step)(state, frozen, data, jax.random.key(0))

  large = (data['image'] / 127.5 - 1.0).astype(np.float32)
  small = large.reshape(2, 16, factor, 16, factor, 3).mean(axis=(2, 4))

  @quick_jit
  def by_hand(state, frozen, small, large):
    variables = {'params': state.params['detector'], **state.stats}
    outputs, stats = tiny_teachers.Tiny().apply(
      variables, small, train=True, mutable=['batch_stats']
    )
    targets = detect.targets(outputs[0], data, radius='published', cells=9)
    parts = {'truth': detection.detection_loss(outputs[0], targets)}
    for name, images in (('teacher1', small), ('teacher2', large)):
      parts[name] = losses.teacher_loss(
        outputs,
        teachers[name].apply(frozen[name], images, train=False),
        state.params['alignments'][name],
        form='plain',
        level=level,
        factor=factor if name == 'teacher2' else 1,
      )
    return parts, stats

  parts, stats = by_hand(state, frozen, small, large)
  expected = {}
  for name, (part, terms) in parts.items():
    expected[name] = part
    expected |= {f'{name}/{term}': value for term, value in terms.items()}
  expected['loss'] = (
    0.5 * parts['truth'][0]
    + 2 * parts['teacher1'][0]
    + 3 * parts['teacher2'][0]
  )
  assert metrics.keys() == {*expected, 'grad_norm', 'update_norm'}
  for name, value in expected.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)
  chex.assert_trees_all_close(after.stats, stats, atol=1e-5)


def test_teachers_keep_their_bits_and_the_student_moves():
  _, frozen, step, state = make(optax.adam(1e-2))
  before = jax.tree.map(np.array, frozen)
  jitted = quick_jit(chex.assert_max_traces(step, n=1), donate_argnums=0)
  first = jax.tree.map(np.array, state.params)
  values = []
  for _ in range(4):
    state, metrics = jitted(
      state, frozen, tiny_teachers.batch(), jax.random.key(0)
    )
    values.append(float(metrics['loss']))
  assert int(state.step) == 4
  assert values[3] < values[0]
  chex.assert_trees_all_equal(frozen, before)
  moved = jax.tree.map(
    lambda a, b: np.abs(a - b).max() > 0, first, state.params
  )
  assert all(jax.tree.leaves(moved))
  # No teacher is in the optimiser: one moment for each parameter.
  moments = state.opt_state[0].mu
  chex.assert_trees_all_equal_shapes(moments, state.params)


def test_without_truth_no_label_is_read():
  _, frozen, step, state = make(truth_weight=0.0)
  data = tiny_teachers.batch()
  after, metrics = quick_jit(step)(
    state, frozen, {'image': data['image']}, jax.random.key(0)
  )
  assert not any(name.startswith('truth') for name in metrics)
  np.testing.assert_allclose(
    metrics['loss'], metrics['teacher1'] + metrics['teacher2'], rtol=1e-5
  )
  moved = jax.tree.map(
    lambda a, b: np.abs(a - b).max() > 0, state.params, after.params
  )
  assert all(jax.tree.leaves(moved['detector']['class']))


@pytest.mark.parametrize('used', [0, 1])
def test_a_teacher_without_weight_need_not_be_there(used):
  name, other = two_teachers.TEACHERS[used], two_teachers.TEACHERS[1 - used]
  teachers, frozen, _, state = make()
  weights = (1.0, 0.0) if used == 0 else (0.0, 1.0)
  step = two_teachers.make_step(
    tiny_teachers.Tiny(),
    optax.sgd(0.05),
    teachers={name: teachers[name]},
    augment=tiny_teachers.no_augment,
    shrink=2,
    teacher_weights=weights,
  )
  del state.params['alignments'][other]
  _, metrics = quick_jit(step)(
    state, {name: frozen[name]}, tiny_teachers.batch(), jax.random.key(0)
  )
  assert {'truth', name} <= metrics.keys()
  assert other not in metrics


def test_truth_alone_is_the_detection_step():
  """Without teachers the student is trained as `detect` trains it."""
  tx = optax.sgd(0.05)
  _, frozen, step, state = make(tx, teacher_weights=(0.0, 0.0))
  alone = detect.make_step(
    tiny_teachers.Tiny(), tx, augment=tiny_teachers.no_augment, shrink=2
  )
  student = train_state.create(
    {'detector': state.params['detector']}, state.stats, tx
  )
  data = tiny_teachers.batch()
  got, _ = quick_jit(step)(state, frozen, data, jax.random.key(0))
  want, _ = quick_jit(alone)(student, None, data, jax.random.key(0))
  chex.assert_trees_all_close(
    got.params['detector'], want.params['detector'], atol=1e-6
  )
  chex.assert_trees_all_equal(
    got.params['alignments'], state.params['alignments']
  )


def test_weights_are_checked():
  with pytest.raises(ValueError, match='give none below 0 and one above'):
    make(truth_weight=0.0, teacher_weights=(0.0, 0.0))
  with pytest.raises(ValueError, match='give none below 0 and one above'):
    make(teacher_weights=(-1.0, 1.0))
  with pytest.raises(ValueError, match='but is not given: give the detector'):
    two_teachers.make_step(
      tiny_teachers.Tiny(),
      optax.sgd(0.1),
      teachers={'teacher1': tiny_teachers.Tiny()},
      augment=tiny_teachers.no_augment,
      shrink=2,
    )


def test_a_teacher_with_another_stride_is_refused():
  """Built for K = 1, taught as K = 2."""
  teachers, frozen, _, state = make()
  step = two_teachers.make_step(
    tiny_teachers.Tiny(),
    optax.sgd(0.1),
    teachers=teachers,
    augment=tiny_teachers.no_augment,
    shrink=2,
    level=2,
  )
  with pytest.raises(ValueError, match='level 1 of the teacher is 8×8'):
    jax.eval_shape(
      step, state, frozen, tiny_teachers.batch(), jax.random.key(0)
    )


def test_each_step_augments_with_a_key_of_its_own():
  def augment(key, data):
    image = jax.random.bits(key, data['image'].shape, jnp.uint8)
    return data | {'image': image}

  # Nothing is learnt: what differs is the image.
  _, frozen, step, state = make(optax.sgd(0.0), augment=augment)
  step, root = quick_jit(step), jax.random.key(3)
  after, first = step(state, frozen, tiny_teachers.batch(), root)
  _, second = step(after, frozen, tiny_teachers.batch(), root)
  _, again = step(state, frozen, tiny_teachers.batch(), root)
  assert first['loss'] == again['loss'] != second['loss']
