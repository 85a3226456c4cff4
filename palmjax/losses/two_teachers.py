"""Distillation loss: moves a student's maps towards a teacher's maps.

A student and a teacher each give N level maps A_i, B_i and M kinds of map of
the head, s_j, t_j (patent application "Model training method and related
device", OPPO, 2024). The loss of one teacher is

  L = Σ_i p_i + Σ_j w_j q_j

  p_i   mean (φ_i(A_i) − B_i)², φ_i a 1×1 convolution where channels differ
  q_j   Σ_x W(x) d_j(x) / Σ_x W(x), W the teacher's largest class probability;
        d_j is |s − t| for size and offset, and for the palm's points in shares
        of the teacher's hand; KL(t ‖ s) for the logit of the facing palm
  q of the class: Σ_x KL(t ‖ s) / Σ_x W(x), not weighted: where the teacher sees
        nothing the student should see nothing. q of the points likewise, and
        that of their offsets ('place') like the one of the offset, with the
        probabilities of the points as W, kind by kind

Forms and weights are our choice; the text that gives them is not public. KL of
two Bernoulli distributions has the gradient of their cross-entropy and is 0
where student and teacher agree, so that its value can be read. W sums to about
the area of the teacher's blobs, which makes q of the class an average over
them, as the focal loss is one over centres.

Plain p_i depends on the scale of a teacher's features, which BatchNorm leaves
to chance; 'relative' divides by their variance (what a student of constants
would reach), 'attention' compares unit vectors of mean_c F² (arXiv:1612.03928).

No gradient reaches a teacher. The second teacher sees images L times as large
and multiplies the stride of level K by L: from K on sizes agree; below it the
teacher's maps are averaged over L×L blocks, or left out.
"""

import chex
import jax
import jax.numpy as jnp

from palmjax.losses import detection
from palmjax.ops import pool
from palmjax.ops.conv import dispatch as conv
from palmjax.ops.maps import centers as center_maps
from palmjax.ops.maps import points as point_maps

_EPSILON = 1e-6


def init_alignments(key, channels, teacher_channels):
  """Initialises the 1×1 convolutions φ_i that match teacher channels.

  Args:
    key: random key.
    channels, teacher_channels: of the N levels, ints.

  Returns:
    {'level3': float32 [1, 1, C, K], ...}, levels counted from 1.

  Raises:
    ValueError: not as many levels.
  """
  _check_count(channels, teacher_channels)
  init = jax.nn.initializers.lecun_normal()
  return {
    _name(level): init(jax.random.fold_in(key, level), (1, 1, mine, its))
    for level, (mine, its) in enumerate(
      zip(channels, teacher_channels, strict=True), start=1
    )
    if mine != its
  }


def feature_terms(
  levels,
  teacher_levels,
  alignments,
  *,
  form='relative',
  level=1,
  factor=1,
  below='pool',
):
  """Feature distillation terms p_i of student and teacher maps.

  Args:
    levels: N maps of the student, float [B, h_i, w_i, C_i].
    teacher_levels: N maps of the teacher, from `level` on of the same h_i and
      w_i, below it `factor` times as large.
    alignments: of `init_alignments`; 'attention' reads none.
    form: 'plain', 'relative' or 'attention'.
    level: K ≥ 1.
    factor: L ≥ 1.
    below: of the levels below K, 'pool' or 'skip'.

  Returns:
    {'level1': float32 scalar, ...}, without those skipped.

  Raises:
    ValueError: another form; sizes other than those.
  """
  _check_count(levels, teacher_levels)
  if not 1 <= level <= len(levels) or factor < 1:
    raise ValueError(
      f'level K={level}, factor L={factor}: use K from 1 to {len(levels)} and '
      'L from 1'
    )
  if below not in ('pool', 'skip'):
    raise ValueError(f"levels below K {below!r}: use 'pool' or 'skip'")
  terms = {}
  for index, (mine, its) in enumerate(
    zip(levels, teacher_levels, strict=True), start=1
  ):
    ratio = factor if index < level else 1
    expected = tuple(ratio * side for side in mine.shape[1:3])
    if its.shape[1:3] != expected:
      raise ValueError(
        f"level {index} of the teacher is {_size(its)}, the student's "
        f'{_size(mine)}: with K={level} and L={factor} it must be '
        f'{expected[0]}×{expected[1]}'
      )
    if index < level and below == 'skip':
      continue
    its = jax.lax.stop_gradient(pool.block_mean(its, ratio))
    terms[_name(index)] = _feature_term(
      mine, its, alignments.get(_name(index)), form
    )
  return terms


def head_terms(maps, teacher_maps):
  """Head distillation terms q_j of student and teacher detector maps.

  Returns:
    {'class', 'size', 'offset', 'palm_frame', 'facing', 'points', 'place'}:
    float32 scalars.

  Raises:
    ValueError: the maps differ in size or number of classes.
  """
  teacher_maps = jax.lax.stop_gradient(teacher_maps)
  for name, mine in maps.items():
    its = teacher_maps[name]
    if mine.shape != its.shape:
      raise ValueError(
        f'{name} map of the teacher has shape {its.shape}, of the student '
        f'{mine.shape}: images, strides and classes must fit'
      )
  logits, teacher_logits = maps['class'], teacher_maps['class']
  weight = jnp.max(jax.nn.sigmoid(teacher_logits), axis=-1)
  total = _total(weight)

  def difference(name):
    return jnp.abs(maps[name] - teacher_maps[name])

  def weighted(distance):
    """Σ_x W d / Σ_x W, over [B, h, w, D] the mean over D."""
    return jnp.sum(weight * jnp.mean(distance, axis=-1)) / total

  area = jnp.prod(jnp.maximum(teacher_maps['size'], 1.0), axis=-1)
  hand = jnp.sqrt(area)[..., None]
  facing = center_maps.PALM_FRAME_VALUES - 1
  points, teacher_points = (
    point_maps.logits_of(one['points']) for one in (maps, teacher_maps)
  )
  seen = jax.nn.sigmoid(teacher_points)
  moved = point_maps.offsets_of(difference('points'))
  return {
    'class': jnp.sum(bernoulli_kl(teacher_logits, logits)) / total,
    'size': weighted(difference('size')),
    'offset': weighted(difference('offset')),
    'palm_frame': weighted(difference('palm_frame')[..., :facing] / hand),
    'facing': weighted(
      bernoulli_kl(
        teacher_maps['palm_frame'][..., facing:],
        maps['palm_frame'][..., facing:],
      )
    ),
    'points': jnp.sum(bernoulli_kl(teacher_points, points)) / _total(seen),
    'place': jnp.sum(seen * jnp.mean(moved, axis=-1)) / _total(seen),
  }


def _total(weight):
  # At least one cell: a batch without hands is no reason to amplify noise.
  return jnp.maximum(jnp.sum(weight), 1.0)


def bernoulli_kl(teacher_logits, logits):
  """KL(t ‖ s) of the sigmoids t and s of logits, elementwise."""
  chex.assert_equal_shape([teacher_logits, logits])
  t = jax.nn.sigmoid(teacher_logits)
  yes = jax.nn.log_sigmoid(teacher_logits) - jax.nn.log_sigmoid(logits)
  no = jax.nn.log_sigmoid(-teacher_logits) - jax.nn.log_sigmoid(-logits)
  return t * yes + (1 - t) * no


def teacher_loss(
  outputs,
  teacher_outputs,
  alignments,
  *,
  form='relative',
  level=1,
  factor=1,
  below='pool',
  weights=detection.WEIGHTS,
):
  """Distillation loss L of one teacher: features and heads.

  Args:
    outputs, teacher_outputs: (maps, levels) of the two detectors.
    alignments, form, level, factor, below: see `feature_terms`.
    weights: w_j by name.

  Returns:
    L, and {name: p_i or q_j}, not weighted: float32 scalars.
  """
  (maps, levels), (teacher_maps, teacher_levels) = outputs, teacher_outputs
  features = feature_terms(
    levels,
    teacher_levels,
    alignments,
    form=form,
    level=level,
    factor=factor,
    below=below,
  )
  heads = head_terms(maps, teacher_maps)
  loss = sum(features.values()) + detection.weighted_sum(heads, weights)
  return loss, features | heads


def _feature_term(mine, its, alignment, form):
  if form == 'attention':
    return jnp.mean(jnp.sum((_attention(mine) - _attention(its)) ** 2, axis=-1))
  if alignment is not None:
    mine = conv.pointwise(mine, alignment)
  chex.assert_equal_shape([mine, its])
  term = jnp.mean((mine - its) ** 2)
  match form:
    case 'plain':
      return term
    case 'relative':
      variance = jnp.mean(jnp.var(its, axis=(0, 1, 2)))
      return term / (variance + _EPSILON)
    case other:
      raise ValueError(
        f"feature term {other!r}: use 'plain', 'relative' or 'attention'"
      )


def _attention(features):
  """vec(mean_c F²) of unit length: [B, h, w, C] → [B, h·w]."""
  energy = jnp.mean(features**2, axis=-1).reshape(features.shape[0], -1)
  # Under the root: a map of zeros has no direction.
  length = jnp.sqrt(jnp.sum(energy**2, axis=-1, keepdims=True) + _EPSILON)
  return energy / length


def _check_count(levels, teacher_levels):
  if len(levels) != len(teacher_levels):
    raise ValueError(
      f'{len(levels)} levels of the student, {len(teacher_levels)} of the '
      'teacher: use networks with as many'
    )


def _name(level):
  return f'level{level}'


def _size(x):
  return f'{x.shape[1]}×{x.shape[2]}'
