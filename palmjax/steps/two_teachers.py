"""A student detector learns from labels and from two frozen detectors.

  L = λ_gt L_det + λ1 L_1(A, B) + λ2 L_2(A, C)

  A = student(img1),  B = teacher1(img1),  C = teacher2(img2)

where A, B, C are level maps and head maps, L_1 and L_2 those of
`losses.two_teachers`. The batch holds img2; img1 is its mean over L×L pixels,
so that crops, flips and lengths in cells are the same. A part with weight 0 is
not computed: its teacher need not be there, or with λ_gt = 0 the labels.

Parameters are {'detector': of the student, 'alignments': {teacher: 1×1
convolutions of `two_teachers.init_alignments`}}; only the detector is kept.
"""

import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.losses import detection, two_teachers
from palmjax.models import forward
from palmjax.ops import pixels, pool
from palmjax.steps import detect

# Every use folds its own constant into the key of the clock.
_AUGMENT, _DROPOUT = range(2)
# Of the key of a fresh student.
_STUDENT, _ALIGNMENTS = range(2)
TEACHERS = ('teacher1', 'teacher2')


def create_state(model, tx, key, *, input_shape, teachers, shrink):
  """Initial `TrainState` of a student and its alignments.

  Args:
    model: the student.
    tx: optax transformation.
    key: random key.
    input_shape: (h, w, c) of img2.
    teachers: {name: detector}, names of `TEACHERS`.
    shrink: L.

  Returns:
    `TrainState` at step 0.
  """
  height, width, channels = input_shape
  small = (height // shrink, width // shrink, channels)
  state = detect.create_state(
    model, tx, jax.random.fold_in(key, _STUDENT), input_shape=small
  )
  key = jax.random.fold_in(key, _ALIGNMENTS)
  mine = _level_channels(model, small)
  alignments = {
    name: two_teachers.init_alignments(
      jax.random.fold_in(key, TEACHERS.index(name)),
      mine,
      _level_channels(teacher, small if name == 'teacher1' else input_shape),
    )
    for name, teacher in teachers.items()
  }
  params = {**state.params, 'alignments': alignments}
  return train_state.create(params, state.stats, tx)


def make_step(
  model,
  tx,
  *,
  teachers,
  augment,
  shrink,
  level=1,
  truth_weight=1.0,
  teacher_weights=(1.0, 1.0),
  form='relative',
  below='pool',
  radius='published',
  cells=9,
  weights=detection.WEIGHTS,
):
  """One update of the student. Differentiates: student and alignments.

  Args:
    model: the student, images → (maps, levels).
    tx: optax transformation.
    teachers: {name: detector}, names of `TEACHERS`.
    augment: (key, batch) → batch of the same shapes.
    shrink: L; the second teacher sees images L times as large.
    level: K, whose stride the second teacher multiplies by L.
    truth_weight: λ_gt; 0: the batch needs no annotations.
    teacher_weights: λ1, λ2.
    form, below: see `two_teachers.feature_terms`.
    radius, cells: see `center_maps.encode`.
    weights: of the head's terms, of labels and teachers alike.

  Returns:
    step(state, frozen, batch, key) → (state, metrics); frozen {name: variables
    of that teacher}, batch as in `detect.make_step`, images are img2. Metrics
    are each part and its terms, not weighted, and 'loss'.

  Raises:
    ValueError: no weight is positive or one is negative, or a teacher with a
      weight is missing.
  """
  used = dict(zip(TEACHERS, teacher_weights, strict=True))
  if min(truth_weight, *used.values()) < 0 or not (
    truth_weight or any(used.values())
  ):
    raise ValueError(
      f'weights {truth_weight} of labels and {tuple(teacher_weights)} of '
      'teachers: give none below 0 and one above'
    )
  used = {name: weight for name, weight in used.items() if weight}
  missing = [name for name in used if name not in teachers]
  if missing:
    raise ValueError(
      f'{missing[0]} has weight {used[missing[0]]} but is not given: give the '
      'detector or weight 0'
    )

  def step(state, frozen, batch, key):
    key = jax.random.fold_in(key, state.step)
    batch = augment(jax.random.fold_in(key, _AUGMENT), batch)
    large = pixels.to_float(batch['image'])
    small = pool.block_mean(large, shrink)
    inputs = {'teacher1': small, 'teacher2': large}
    taught = {
      name: _apply_frozen(teachers[name], frozen[name], inputs[name])
      for name in used
    }

    def loss_fn(params):
      outputs, stats = forward.apply_train(
        model,
        params['detector'],
        state.stats,
        small,
        jax.random.fold_in(key, _DROPOUT),
      )
      loss, metrics = jnp.zeros(()), {}
      if truth_weight:
        maps, _ = outputs
        part, terms = detection.detection_loss(
          maps,
          detect.targets(maps, batch, radius=radius, cells=cells),
          weights=weights,
        )
        loss += truth_weight * part
        metrics |= {'truth': part} | detect.prefixed('truth', terms)
      for name, weight in used.items():
        part, terms = two_teachers.teacher_loss(
          outputs,
          taught[name],
          params['alignments'][name],
          form=form,
          level=level,
          factor=shrink if name == 'teacher2' else 1,
          below=below,
          weights=weights,
        )
        loss += weight * part
        metrics |= {name: part} | detect.prefixed(name, terms)
      return loss, (stats, {'loss': loss} | metrics)

    return train_state.descend(state, tx, loss_fn)

  return step


def _apply_frozen(teacher, variables, images):
  stats = dict(variables)
  return forward.apply_eval(teacher, stats.pop('params'), stats, images)


def _level_channels(model, input_shape):
  """Channels of a detector's levels; nothing is computed."""
  images = jnp.zeros((1, *input_shape))

  def levels(key):
    (_, levels), _ = model.init_with_output(key, images, train=False)
    return levels

  return [x.shape[-1] for x in jax.eval_shape(levels, jax.random.key(0))]
