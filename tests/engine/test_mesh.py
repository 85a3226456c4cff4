import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.engine import mesh
from tests.engine import device_program


def test_eight_devices_give_the_result_of_one():
  program = pathlib.Path(__file__).with_name('mesh_program.py')
  *_, refusal, buffers = device_program.run(program, timeout=120)
  assert refusal == (
    "12 rows of batch entry 'image' do not divide over 8 devices: use a "
    'multiple of 8'
  )
  # Two leaves on eight devices; none is the source's.
  assert buffers == '16 set()'


def test_make_takes_what_there_is():
  assert mesh.make().size == len(jax.devices())
  assert mesh.make(1).axis_names == ('data',)
  for count in (0, len(jax.devices()) + 1):
    with pytest.raises(ValueError, match=f'^{count} devices asked for'):
      mesh.make(count)


@pytest.mark.parametrize('parts', [0, 2, 3])
def test_parts_that_do_not_divide_the_devices_are_refused(parts):
  message = f'^1 devices cannot be split into {parts} equal parts: give 1$'
  with pytest.raises(ValueError, match=message):
    mesh.split(mesh.make(1), parts)


def test_own_copies_and_strips_weak_types():
  devices = mesh.make(1)
  source = mesh.replicate(jnp.arange(4.0), devices)
  tree = {'a': source, 'b': source, 'n': None, 'weak': jnp.asarray(2.0)}
  owned = mesh.copy_to_devices(tree, devices)
  pointers = {
    leaf.unsafe_buffer_pointer() for leaf in (source, owned['a'], owned['b'])
  }
  assert len(pointers) == 3
  assert tree['weak'].weak_type
  assert not owned['weak'].weak_type
  np.testing.assert_array_equal(owned['a'], [0, 1, 2, 3])
  assert owned['n'] is None


@pytest.mark.parametrize('donate', [True, False])
def test_jit_step_donates_the_state_only(donate):
  devices = mesh.make(1)

  def step(value, frozen, batch, key):
    return value + frozen + batch.sum(), {'bits': jax.random.uniform(key)}

  value = mesh.copy_to_devices(jnp.ones((3,)), devices)
  frozen = mesh.replicate(jnp.ones((3,)), devices)
  batch = mesh.shard_batch(np.ones((2,), np.float32), devices)
  new, _ = mesh.jit_step(step, devices, donate=donate)(
    value, frozen, batch, jax.random.key(0)
  )
  assert value.is_deleted() == donate
  assert not frozen.is_deleted()
  assert not batch.is_deleted()
  np.testing.assert_array_equal(new, [4, 4, 4])


def test_steps_compiled_together_do_what_they_do_one_by_one():
  devices = mesh.make(1)

  def scale(factor):
    def step(state, frozen, batch, key):
      noise = jax.random.normal(key, state.shape)
      state = factor * state + frozen + jnp.sum(batch['x']) + noise
      return state, {'sum': jnp.sum(state)}

    return mesh.jit_step(step, devices)

  steps = [scale(2.0), scale(3.0)]
  state, frozen = np.arange(3, dtype=np.float32), np.float32(1)
  batch, key = {'x': np.ones(4, np.float32)}, jax.random.key(0)
  together = mesh.compile_together(
    steps, state, frozen, batch, key, mesh=devices
  )
  for one, compiled in zip(steps, together, strict=True):
    want = one(mesh.copy_to_devices(state, devices), frozen, batch, key)
    got = compiled(
      mesh.copy_to_devices(state, devices),
      mesh.replicate(frozen, devices),
      mesh.shard_batch(batch, devices),
      mesh.replicate(key, devices),
    )
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1]['sum'], want[1]['sum'])
    assert one._cache_size() == 1  # Compiled for the call here, not before.
