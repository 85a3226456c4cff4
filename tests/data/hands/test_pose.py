"""Joints and gestures of the hand's model."""

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data.hands import pose

N = 40
INDEX = {name: i for i, name in enumerate(pose.GESTURES)}


def _poses(name):
  rng = np.random.default_rng(3)
  draws = (
    rng.uniform(size=(N, *pose.UNIFORMS['pose'])),
    np.clip(rng.normal(size=(N, *pose.NORMALS['pose'])), -2.5, 2.5),
    np.clip(rng.normal(size=(N, *pose.NORMALS['flex'])), -2.5, 2.5),
  )
  gesture = np.full(N, INDEX[name])
  return POSE(gesture, *(np.float32(x) for x in draws))


POSE = jax.jit(jax.vmap(pose.pose))


def _joints(name):
  """Wrist, then thumb to little finger from root to tip: [N, 21, 3]."""
  hands = jax.tree.map(np.asarray, _poses(name))
  thumb, fingers = (
    jax.tree.map(
      lambda x, part=part: x[:, part].reshape(N, -1, 3, *x.shape[2:]),
      hands.cones,
    )
    for part in (
      slice(pose.PALM, pose.PALM + pose.THUMB),
      slice(pose.PALM + pose.THUMB, pose.HAND),
    )
  )
  chains = [
    np.concatenate([bones.start, _tip(bones)[:, :, None]], axis=2)
    for bones in (thumb, fingers)
  ]
  joints = np.concatenate(chains, axis=1).reshape(N, 20, 3)
  return np.concatenate([hands.palm_frame[:, 2:], joints], axis=1)


def _tip(bones):
  """Where the last bone's round end is, nearly."""
  start, end = bones.start[:, :, -1], bones.end[:, :, -1]
  along = end - start
  along /= np.linalg.norm(along, axis=-1, keepdims=True)
  return end + 0.6 * bones.radius[:, :, -1, 1:] * along


def test_tips_are_where_the_gesture_says():
  # Joints 8, 12, 16, 20 are the tips of index to little finger; y is down.
  stretched = {
    'one': (1, 0, 0, 0),
    'two': (1, 1, 0, 0),
    'four': (1, 1, 1, 1),
    'five': (1, 1, 1, 1),
    'ok': (0, 1, 1, 1),
    'fist': (0, 0, 0, 0),
    'pinch': (0, 0, 0, 0),
  }
  for name, expected in stretched.items():
    tips = _joints(name)[:, [8, 12, 16, 20], 1]
    np.testing.assert_array_equal(tips < -0.4, np.tile(expected, (N, 1)) > 0)


def test_thumb_and_index_meet():
  for name in ('ok', 'pinch', 'zero'):
    points = _joints(name)
    gap = np.linalg.norm(points[:, 4] - points[:, 8], axis=-1)
    # Two radii of a tip are about .33.
    assert np.median(gap) < 0.45
  apart = _joints('five')
  assert np.linalg.norm(apart[:, 4] - apart[:, 8], axis=-1).min() > 0.8


def test_three_has_two_forms():
  tips = _joints('three')
  ring, thumb = tips[:, 16, 1] < -0.4, tips[:, 4, 0] < -0.8
  np.testing.assert_array_equal(ring, ~thumb)
  assert 0.3 < thumb.mean() < 0.9


def test_bones_keep_their_length():
  # The middle finger's bones, whatever the gesture: same draws, same lengths.
  def bones(name):
    joints = _joints(name)[:, 9:12]
    return np.linalg.norm(np.diff(joints, axis=1), axis=-1)

  np.testing.assert_allclose(bones('five'), bones('fist'), rtol=1e-5)
  thumb = _joints('fist')[:, 1:4]
  length = np.linalg.norm(np.diff(thumb, axis=1), axis=-1)
  np.testing.assert_allclose(length, np.tile([1.02, 0.74], (N, 1)), rtol=1e-5)


def test_backs_of_parts_are_unit_and_square_to_them():
  cones = jax.tree.map(np.asarray, _poses('ok')).cones
  np.testing.assert_allclose(
    np.linalg.norm(cones.dorsal, axis=-1), 1.0, atol=1e-5
  )
  axis = (cones.end - cones.start)[:, pose.PALM :]
  across = np.sum(axis * cones.dorsal[:, pose.PALM :], axis=-1)
  np.testing.assert_allclose(across, 0.0, atol=1e-5)


def test_only_open_hands_show_both_valleys():
  shown = {name: np.asarray(_poses(name).open) for name in pose.GESTURES}
  for name in ('four', 'five', 'ok'):
    assert shown[name].mean() > 0.9
  for name in ('one', 'two', 'fist', 'thumb_up', 'pinch', 'zero'):
    assert not shown[name].any()


def test_palm_frame_is_the_contract_of_the_palm():
  palm_frame = jnp.asarray(_poses('five').palm_frame)[0]
  np.testing.assert_allclose(
    palm_frame[1] - palm_frame[0], [1, 0, 0], atol=1e-6
  )
  np.testing.assert_allclose(palm_frame[:2].sum(axis=0), 0, atol=1e-6)
  assert 2.2 < palm_frame[2, 1] < 2.4
