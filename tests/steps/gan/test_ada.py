"""ADA: each transform by its effect, how often it happens, and what moves p."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.steps.gan import ada

PAPER = {
  'mirror': True,
  'quarter_turns': True,
  'rotation': np.pi,
  'scale': 0.2,
  'shift': 0.125,
  'hue': np.pi,
}


apply = jax.jit(ada.apply)
augment = jax.jit(ada.augment)


def draw(key, batch, p, **options):
  """`ada.draw`, in NumPy."""
  compiled = jax.jit(lambda key, p: ada.draw(key, batch, p, **options))
  return jax.device_get(compiled(key, p))


def only(**values):
  """`Transforms` of one image with everything but `values` left out."""
  zero = np.zeros((1,), np.float32)
  fields = {f.name: zero for f in dataclasses.fields(ada.Transforms)}
  fields['pixel_shift'] = fields['shift'] = np.zeros((1, 2), np.float32)
  fields.update({k: np.asarray([v], np.float32) for k, v in values.items()})
  return ada.Transforms(**fields)


def picture(size=8, channels=3):
  rng = np.random.default_rng(0)
  return rng.uniform(-1, 1, (1, size, size, channels)).astype(np.float32)


def blob(size=64):
  """A soft spot right of and above the centre, x = .15, y = −.1."""
  c = (np.arange(size) + 0.5) / size - 0.5
  spot = np.exp(-((c - 0.15) ** 2 + (c[:, None] + 0.1) ** 2) / 0.004)
  return np.repeat(spot[None, ..., None], 3, axis=-1).astype(np.float32)


def spot_of(images):
  """Centre of mass (x, y) and the deviations along x and y."""
  weight = np.asarray(images)[0, ..., 0].astype(np.float64)
  weight = weight / weight.sum()
  c = (np.arange(len(weight)) + 0.5) / len(weight) - 0.5
  along_x, along_y = weight.sum(axis=0), weight.sum(axis=1)
  x, y = along_x @ c, along_y @ c
  deviation = along_x @ (c - x) ** 2, along_y @ (c - y) ** 2
  return np.array([x, y]), np.sqrt(deviation)


def test_nothing_is_the_identity():
  images = picture()
  np.testing.assert_allclose(apply(images, only()), images, atol=1e-5)


def test_mirror():
  images = picture()
  got = apply(images, only(mirror=1))
  np.testing.assert_allclose(got, images[:, :, ::-1], atol=1e-5)


@pytest.mark.parametrize('turns', [1, 2, 3])
def test_quarter_turns_are_clockwise(turns):
  images = picture()
  got = apply(images, only(quarter_turns=turns))
  want = np.rot90(images, k=-turns, axes=(1, 2))
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_pixel_shift_moves_right_and_down():
  images = picture()
  got = apply(images, only(pixel_shift=(2, 1)))
  got = np.asarray(got)
  np.testing.assert_allclose(got[:, 1:, 2:], images[:, :-1, :-2], atol=1e-5)


@pytest.mark.parametrize(
  'transform, centre, spread',
  [
    ({'shift': (-0.1, 0.2)}, (0.05, 0.1), (1, 1)),
    ({'scale': 0.5}, (0.15 * 2**0.5, -0.1 * 2**0.5), (2**0.5, 2**0.5)),
    ({'first_rotation': np.pi / 6}, (0.1799, -0.0116), (1, 1)),
    ({'second_rotation': np.pi / 6}, (0.1799, -0.0116), (1, 1)),
    ({'anisotropy': 0.3}, (0.1847, -0.0812), (2**0.3, 2**-0.3)),
  ],
)
def test_geometry_golden(transform, centre, spread):
  _, before = spot_of(blob())
  got_centre, got_spread = spot_of(apply(blob(), only(**transform)))
  np.testing.assert_allclose(got_centre, centre, atol=2e-3)
  np.testing.assert_allclose(got_spread / before, spread, rtol=0.02)


def test_geometry_is_applied_in_order():
  # Turned by 90°, then stretched along x: not the other way round.
  got, _ = spot_of(
    apply(blob(), only(quarter_turns=1, anisotropy=0.5, shift=(0.1, 0)))
  )
  want = np.array([0.1 * 2**0.5 + 0.1, 0.15 / 2**0.5])
  np.testing.assert_allclose(got, want, atol=2e-3)


def test_colour_golden():
  images = np.broadcast_to(np.array([0.5, -0.2, 0.1], np.float32), (1, 4, 4, 3))
  mean = 0.4 / 3
  chroma = np.array([0.5, -0.2, 0.1]) - mean
  for transform, want in (
    ({'brightness': 0.3}, mean + chroma + 0.3),
    ({'contrast': 1.0}, 2 * (mean + chroma)),
    ({'luma_flip': 1}, chroma - mean),
    ({'hue': 2 * np.pi / 3}, mean + chroma[[2, 0, 1]]),
    ({'saturation': 1.0}, mean + 2 * chroma),
    # Brightness first, then contrast, then the flip.
    (
      {'brightness': 0.3, 'contrast': 1.0, 'luma_flip': 1},
      2 * chroma - 2 * (mean + 0.3),
    ),
  ):
    got = np.asarray(apply(images, only(**transform)))[0, 2, 1]
    np.testing.assert_allclose(got, want, atol=1e-5, err_msg=str(transform))


def test_grey_images_have_no_hue_and_no_saturation():
  images = picture(channels=1)
  got = apply(images, only(hue=1.0, saturation=2.0))
  np.testing.assert_allclose(got, images, atol=1e-5)


def test_p_zero_leaves_images_alone():
  images = np.tile(picture(), (4, 1, 1, 1))
  got = augment(jax.random.key(0), images, 0.0)
  np.testing.assert_allclose(got, images, atol=1e-5)


def fields_of(transforms):
  for field in dataclasses.fields(transforms):
    yield field.name, np.asarray(getattr(transforms, field.name))


def test_each_transform_happens_with_probability_p():
  p, batch = 0.4, 4000
  drawn = draw(jax.random.key(1), batch, p, size=64, **PAPER)
  expected = dict.fromkeys((name for name, _ in fields_of(drawn)), p)
  # Half of the flips and a quarter of the turns are by nothing, and a shift
  # by less than half a pixel is none.
  expected.update(mirror=p / 2, luma_flip=p / 2, quarter_turns=p * 3 / 4)
  expected.update(pixel_shift=p * 15 / 16)
  either = 1 - np.sqrt(1 - p)
  expected.update(first_rotation=either, second_rotation=either)
  for name, values in fields_of(drawn):
    happened = (values.reshape(batch, -1)[:, 0] != 0).mean()
    np.testing.assert_allclose(
      happened, expected[name], atol=0.025, err_msg=name
    )
  both = (drawn.first_rotation != 0) | (drawn.second_rotation != 0)
  np.testing.assert_allclose(both.mean(), p, atol=0.025)


def test_transforms_are_drawn_independently():
  drawn = draw(jax.random.key(2), 4000, 0.5, size=64, **PAPER)
  happened = np.stack(
    [v.reshape(4000, -1)[:, 0] != 0 for _, v in fields_of(drawn)]
  )
  correlation = np.corrcoef(happened) - np.eye(len(happened))
  assert np.abs(correlation).max() < 0.07


def test_strengths_golden():
  drawn = draw(jax.random.key(3), 20000, 1.0, size=64, **PAPER)
  deviations = {
    'scale': 0.2,
    'anisotropy': 0.2,
    'shift': 0.125,
    'brightness': 0.2,
    'contrast': 0.5,
    'saturation': 1.0,
    'first_rotation': np.pi / np.sqrt(3),
    'hue': np.pi / np.sqrt(3),
  }
  for name, want in deviations.items():
    got = np.asarray(getattr(drawn, name)).std()
    np.testing.assert_allclose(got, want, rtol=0.03, err_msg=name)
  pixels = np.asarray(drawn.pixel_shift)
  np.testing.assert_array_equal(pixels, np.round(pixels))
  assert (pixels.min(), pixels.max()) == (-8, 8)  # 12.5 % of 64.
  assert set(np.unique(drawn.quarter_turns)) == {0, 1, 2, 3}


def test_options_restrict_the_geometry():
  drawn = draw(
    jax.random.key(4),
    1000,
    1.0,
    size=64,
    mirror=False,
    quarter_turns=False,
    rotation=0.1,
    scale=0.0,
    shift=0.0,
    hue=0.0,
  )
  for name in ('mirror', 'quarter_turns', 'scale', 'shift', 'hue'):
    np.testing.assert_array_equal(getattr(drawn, name), 0, err_msg=name)
  assert 0.09 < np.abs(drawn.first_rotation).max() <= 0.1


def test_p_is_traced_and_gradients_exist_twice():
  images = np.tile(picture(), (2, 1, 1, 1))

  @jax.jit
  def penalty(images, p):
    def score(x):
      return jnp.sum(ada.augment(jax.random.key(5), x, p) ** 2)

    return jnp.sum(jax.grad(score)(images) ** 2)

  slope = jax.jit(jax.grad(penalty))
  for p in (0.0, 0.7):
    # Quadratic in the images: the central difference is exact.
    numeric = (penalty(images + 1, p) - penalty(images - 1, p)) / 2
    np.testing.assert_allclose(np.sum(slope(images, p)), numeric, rtol=1e-3)
  assert penalty._cache_size() == 1


def test_not_square_is_refused():
  with pytest.raises(AssertionError):
    ada.augment(jax.random.key(0), np.zeros((1, 4, 6, 3)), 0.5)


@jax.jit
def adapt_probability(state, logits, count, limit):
  return ada.adapt_probability(
    state,
    logits,
    count=count,
    interval=4,
    target=0.6,
    ramp_kimg=500.0,
    limit=limit,
  )


def adapt(logits, *, p, count, sign_sum=0.0, limit=1.0):
  state = {'p': p, 'sign_sum': sign_sum, 'sign': 0.0}
  return adapt_probability(
    jax.tree.map(np.float32, state),
    np.asarray(logits, np.float32),
    np.int32(count),
    limit,
  )


def test_p_rises_when_real_scores_are_sure_and_falls_otherwise():
  # 2 images × 4 batches / 500,000 = 1.6e-5 per update of p.
  sure = adapt([3.0, 1.0], p=0.5, count=4, sign_sum=3.0)
  np.testing.assert_allclose(sure['p'], 0.5 + 1.6e-5, rtol=1e-7)
  np.testing.assert_allclose(sure['sign'], 1.0)
  unsure = adapt([3.0, -1.0], p=0.5, count=4, sign_sum=2.0)
  np.testing.assert_allclose(unsure['p'], 0.5 - 1.6e-5, rtol=1e-7)
  np.testing.assert_allclose(unsure['sign'], 0.5)
  assert sure['sign_sum'] == unsure['sign_sum'] == 0


def test_p_waits_for_four_batches():
  got = adapt([3.0, 1.0, -2.0, 5.0], p=0.25, count=3, sign_sum=1.5)
  assert got['p'] == 0.25
  assert got['sign_sum'] == 2.0
  assert got['sign'] == 0.0


def test_p_is_bounded():
  assert adapt([-1.0], p=0.0, count=4)['p'] == 0.0
  assert adapt([1.0], p=0.8, count=4, sign_sum=3.0, limit=0.8)['p'] == (
    np.float32(0.8)
  )
