"""The loss of one teacher: NumPy twins, sizes, and who gets gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import detection, two_teachers

SIDES = (8, 4, 2, 4)

feature_terms = jax.jit(
  two_teachers.feature_terms,
  static_argnames=('form', 'level', 'factor', 'below'),
)
init_alignments = jax.jit(two_teachers.init_alignments, static_argnums=(1, 2))


def random_levels(channels, seed, *, level=1, factor=1):
  rng = np.random.default_rng(seed)
  levels = []
  for index, (side, count) in enumerate(
    zip(SIDES, channels, strict=True), start=1
  ):
    side *= factor if index < level else 1
    levels.append(rng.normal(size=(2, side, side, count)).astype(np.float32))
  return levels


def random_maps(seed, side=4):
  rng = np.random.default_rng(seed)
  channels = {'class': 3, 'size': 2, 'offset': 2, 'palm_frame': 7, 'points': 9}
  maps = {
    name: rng.normal(size=(2, side, side, count)).astype(np.float32)
    for name, count in channels.items()
  }
  maps['size'] = 4 * maps['size'] + 4
  return maps


def sigmoid(z):
  return 1 / (1 + np.exp(-np.asarray(z, np.float64)))


def kl(t, s):
  """Of Bernoulli distributions with these probabilities."""
  return t * np.log(t / s) + (1 - t) * np.log((1 - t) / (1 - s))


def reference_heads(maps, teacher):
  weight = sigmoid(teacher['class']).max(axis=-1)
  seen = sigmoid(teacher['points'][..., :3])
  sums = dict.fromkeys(
    ('class', 'size', 'offset', 'palm_frame', 'facing', 'points', 'place'), 0.0
  )
  for place in np.ndindex(weight.shape):
    t, s = sigmoid(teacher['class'][place]), sigmoid(maps['class'][place])
    sums['class'] += kl(t, s).sum()
    for name in ('size', 'offset'):
      error = np.abs(maps[name][place] - teacher[name][place]).mean()
      sums[name] += weight[place] * error
    width, height = np.maximum(teacher['size'][place], 1)
    error = np.abs(maps['palm_frame'][place] - teacher['palm_frame'][place])[
      :6
    ].mean()
    sums['palm_frame'] += weight[place] * error / np.sqrt(width * height)
    t, s = (
      sigmoid(teacher['palm_frame'][place][6]),
      sigmoid(maps['palm_frame'][place][6]),
    )
    sums['facing'] += weight[place] * kl(t, s)
    mine, its = maps['points'][place], teacher['points'][place]
    sums['points'] += kl(sigmoid(its[:3]), sigmoid(mine[:3])).sum()
    moved = np.abs(mine[3:] - its[3:]).reshape(3, 2).mean(axis=1)
    sums['place'] += (seen[place] * moved).sum()
  totals = dict.fromkeys(sums, weight.sum())
  totals |= dict.fromkeys(('points', 'place'), seen.sum())
  return {name: value / totals[name] for name, value in sums.items()}


@pytest.fixture(scope='module')
def features():
  """Student and teacher levels; the second and third have other channels."""
  mine = random_levels((3, 4, 5, 2), 0)
  its = random_levels((3, 6, 2, 2), 1)
  alignments = init_alignments(jax.random.key(0), (3, 4, 5, 2), (3, 6, 2, 2))
  return mine, its, alignments


def test_alignments_where_channels_differ(features):
  _, _, alignments = features
  shapes = {name: kernel.shape for name, kernel in alignments.items()}
  assert shapes == {'level2': (1, 1, 4, 6), 'level3': (1, 1, 5, 2)}
  first, other = (
    init_alignments(jax.random.key(0), (4, 4), (6, 6))[name]
    for name in ('level1', 'level2')
  )
  assert np.abs(first - other).max() > 0.1


@pytest.mark.parametrize('form', ['plain', 'relative'])
def test_feature_terms_equal_numpy(features, form):
  mine, its, alignments = features
  got = feature_terms(mine, its, alignments, form=form)
  assert list(got) == ['level1', 'level2', 'level3', 'level4']
  for name, a, b in zip(got, mine, its, strict=True):
    if name in alignments:
      a = np.einsum('bhwc,ck->bhwk', a, alignments[name][0, 0])
    want = np.mean((a - b) ** 2)
    if form == 'relative':
      want /= np.mean([b[..., c].var() for c in range(b.shape[-1])])
    np.testing.assert_allclose(got[name], want, rtol=1e-4, err_msg=name)


def test_attention_terms_equal_numpy(features):
  mine, its, _ = features
  got = feature_terms(mine, its, {}, form='attention')
  for name, a, b in zip(got, mine, its, strict=True):
    vectors = []
    for x in (a, b):
      energy = (x**2).mean(axis=-1).reshape(2, -1)
      vectors.append(energy / np.linalg.norm(energy, axis=1, keepdims=True))
    want = np.mean(np.sum((vectors[0] - vectors[1]) ** 2, axis=1))
    np.testing.assert_allclose(got[name], want, rtol=1e-4, err_msg=name)


def test_relative_terms_do_not_depend_on_the_scale_of_features(features):
  mine, its, alignments = features

  def terms(scale, form):
    # Student and teacher alike: what differs is the unit of the features.
    return feature_terms(
      [scale * x for x in mine],
      [scale * x for x in its],
      alignments,
      form=form,
    )

  for form, ratio in (('plain', 100.0), ('relative', 1.0), ('attention', 1.0)):
    small, large = terms(1.0, form), terms(10.0, form)
    for name in small:
      np.testing.assert_allclose(large[name] / small[name], ratio, rtol=1e-3)


def test_relative_term_of_the_mean_is_one(features):
  _, its, _ = features
  mean = [np.broadcast_to(x.mean(axis=(0, 1, 2)), x.shape).copy() for x in its]
  for value in feature_terms(mean, its, {}).values():
    np.testing.assert_allclose(value, 1.0, rtol=1e-4)


@pytest.mark.parametrize('factor', [2, 3])
@pytest.mark.parametrize('level', [1, 2, 3])
def test_levels_below_k_are_pooled_or_skipped(level, factor):
  channels = (3, 4, 5, 2)
  mine = random_levels(channels, 0)
  its = random_levels(channels, 1, level=level, factor=factor)
  options = {'form': 'plain', 'level': level, 'factor': factor}
  pooled = feature_terms(mine, its, {}, **options)
  skipped = feature_terms(mine, its, {}, **options, below='skip')
  assert list(skipped) == [f'level{i}' for i in range(level, 5)]
  for index, (a, b) in enumerate(zip(mine, its, strict=True), start=1):
    if index < level:
      batch, side, _, count = a.shape
      b = b.reshape(batch, side, factor, side, factor, count).mean(axis=(2, 4))
    want = np.mean((a - b) ** 2)
    np.testing.assert_allclose(pooled[f'level{index}'], want, rtol=1e-4)
    if index >= level:
      assert skipped[f'level{index}'] == pooled[f'level{index}']


def test_sizes_are_checked():
  mine = random_levels((2, 2, 2, 2), 0)
  its = random_levels((2, 2, 2, 2), 1, level=3, factor=2)
  terms = two_teachers.feature_terms
  with pytest.raises(
    ValueError, match=r"level 2 of the teacher is 8×8, the student's 4×4: .*4×4"
  ):
    terms(mine, its, {}, level=2, factor=2)
  with pytest.raises(ValueError, match='level 1 of the teacher is 16×16'):
    terms(mine, its, {}, level=3, factor=3)
  with pytest.raises(ValueError, match='level K=5, factor L=2: use K from 1'):
    terms(mine, its, {}, level=5, factor=2)
  with pytest.raises(ValueError, match='3 levels of the student, 4 of the'):
    terms(mine[:3], its, {})
  with pytest.raises(ValueError, match="use 'pool' or 'skip'"):
    terms(mine, mine, {}, below='crop')
  with pytest.raises(ValueError, match="use 'plain', 'relative' or"):
    terms(mine, mine, {}, form='cosine')
  with pytest.raises(AssertionError):
    terms(mine, random_levels((2, 3, 2, 2), 1), {})
  with pytest.raises(ValueError, match='class map of the teacher has shape'):
    two_teachers.head_terms(random_maps(0), random_maps(1, side=8))


def test_head_terms_equal_numpy():
  maps, teacher = random_maps(0), random_maps(1)
  got = jax.jit(two_teachers.head_terms)(maps, teacher)
  want = reference_heads(maps, teacher)
  assert got.keys() == want.keys()
  for name, value in want.items():
    np.testing.assert_allclose(got[name], value, rtol=1e-4, err_msg=name)


def test_kl_is_zero_at_agreement_and_finite_far_away():
  logits = np.float32([-200.0, -1.0, 0.0, 3.0, 200.0])
  bernoulli_kl = jax.jit(two_teachers.bernoulli_kl)
  got = bernoulli_kl(logits, logits)
  np.testing.assert_allclose(got, np.zeros(5), atol=1e-6)
  far = np.asarray(bernoulli_kl(logits, -logits))
  np.testing.assert_allclose(far[[0, 4]], [200.0, 200.0])
  gradient = jax.jit(
    jax.grad(lambda s: jnp.sum(two_teachers.bernoulli_kl(logits, s)))
  )(np.zeros(5, np.float32))
  np.testing.assert_allclose(gradient, 0.5 - sigmoid(logits), atol=1e-6)


def test_background_has_no_regression_signal():
  """Only the cell where the teacher sees a hand moves the regression."""
  maps, teacher = random_maps(0), random_maps(1)
  teacher['class'] = np.full_like(teacher['class'], -40.0)
  teacher['class'][0, 1, 2, 1] = 40.0
  # One point, of the second kind, in another cell.
  teacher['points'][..., :3] = -40.0
  teacher['points'][1, 3, 0, 1] = 40.0

  @jax.jit
  @jax.grad
  def gradient_of(maps):
    terms = two_teachers.head_terms(maps, teacher)
    heatmaps = ('class', 'points')
    return sum(value for name, value in terms.items() if name not in heatmaps)

  gradient = jax.device_get(gradient_of(maps))
  size = np.abs(gradient['points'])
  assert size[1, 3, 0, 5:7].min() > 1e-3
  size[1, 3, 0, 5:7] = 0
  assert size.max() < 1e-12
  for name in ('size', 'offset', 'palm_frame'):
    size = np.abs(gradient[name]).max(axis=-1)
    assert size[0, 1, 2] > 1e-3, name
    size[0, 1, 2] = 0
    assert size.max() < 1e-12, name


def test_a_teacher_that_sees_nothing_teaches_quietly():
  maps, teacher = random_maps(0), random_maps(1)
  teacher['class'] = np.full_like(teacher['class'], -20.0)
  got = jax.jit(two_teachers.head_terms)(maps, teacher)
  # Not divided by the almost nothing that W sums to.
  for name in ('size', 'offset', 'palm_frame', 'facing'):
    assert got[name] < 1e-5, name


@pytest.mark.parametrize('form', ['plain', 'relative', 'attention'])
def test_loss_and_gradients(features, form):
  mine, its, alignments = features
  maps, teacher = random_maps(0), random_maps(1)

  def loss(outputs, alignments, teacher_outputs):
    return two_teachers.teacher_loss(
      outputs, teacher_outputs, alignments, form=form
    )

  gradients, terms = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(
    (maps, mine), alignments, (teacher, its)
  )
  value, _ = jax.jit(loss)((maps, mine), alignments, (teacher, its))
  weights = detection.WEIGHTS
  want = sum(weights.get(name, 1.0) * value for name, value in terms.items())
  np.testing.assert_allclose(value, want, rtol=1e-5)
  assert terms.keys() == {f'level{i}' for i in range(1, 5)} | weights.keys()

  to_student, to_alignments, to_teacher = gradients
  assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(to_student))
  aligned = form != 'attention'
  for leaf in jax.tree.leaves(to_alignments):
    assert (np.abs(leaf).max() > 0) == aligned
  for leaf in jax.tree.leaves(to_teacher):
    assert not np.any(leaf)
