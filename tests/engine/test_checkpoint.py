import collections
import gc
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.engine import checkpoint, mesh, state

HERE = pathlib.Path(__file__).parent


def example():
  tx = optax.adam(0.1)
  params = {'w': jnp.arange(6.0).reshape(2, 3), 'h': jnp.ones(2, jnp.bfloat16)}
  return {
    'net': state.create(params, {}, tx),
    'count': jnp.asarray(3, jnp.uint32),
    'flag': np.array(True),
    'nothing': None,
  }


def saved(directory, *steps):
  with checkpoint.Checkpoints(directory) as checkpoints:
    for step in steps:
      checkpoints.save(step, example())
  return checkpoint.Checkpoints(directory)


def test_round_trip_keeps_bits_types_and_none(tmp_path):
  checkpoints = saved(tmp_path, 5)
  like = jax.tree.map(jnp.zeros_like, example())
  restored = checkpoints.restore(like)
  chex.assert_trees_all_equal(restored, example())
  chex.assert_trees_all_equal_dtypes(restored, example())
  assert restored['nothing'] is None
  assert isinstance(restored['net'], state.TrainState)


def test_the_newest_two_are_kept(tmp_path):
  checkpoints = saved(tmp_path, 9, 10, 200)
  assert checkpoints.steps() == [10, 200]
  assert checkpoints.latest() == 200
  checkpoints.restore(example(), step=10)
  with pytest.raises(FileNotFoundError, match='no checkpoint 9 in'):
    checkpoints.restore(example(), step=9)
  assert checkpoint.Checkpoints(tmp_path / 'new').latest() is None


def without(tree, name):
  return {key: value for key, value in tree.items() if key != name}


@pytest.mark.parametrize(
  'change, message',
  [
    (
      lambda s: {**s, 'count': jnp.zeros((1,), jnp.uint32)},
      "'count' is uint32[] there and uint32[1] here",
    ),
    (
      lambda s: {**s, 'count': jnp.float32(3)},
      "'count' is uint32[] there and float32[] here",
    ),
    (
      lambda s: {**s, 'nothing': jnp.ones(2)},
      "'nothing' is missing there",
    ),
    (lambda s: without(s, 'flag'), "'flag' is there and not here"),
    (
      lambda s: {**s, 'net': s['net'].replace(params={'w': jnp.ones((2, 3))})},
      "'net/params/h' is there and not here",
    ),
  ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, change, message):
  checkpoints = saved(tmp_path, 5)
  with pytest.raises(ValueError, match='does not fit: ') as caught:
    checkpoints.restore(change(example()))
  assert message in str(caught.value)
  assert '\n' not in str(caught.value)


def refuse(checkpoints, path):
  with pytest.raises(ValueError, match='5 cannot be read') as caught:
    checkpoints.restore(example())
  assert str(caught.value).endswith(f': delete {path} and run again')
  assert '\n' not in str(caught.value)
  assert len(str(caught.value)) < 400


def test_an_unreadable_checkpoint_is_named(tmp_path):
  checkpoints = saved(tmp_path, 5)
  for path in (tmp_path / '5').rglob('*'):
    if path.is_file():
      path.write_bytes(b'')
  refuse(checkpoints, tmp_path / '5')


def test_damage_of_any_file_is_refused_or_harmless(tmp_path, capfd):
  checkpoints = saved(tmp_path, 5)
  refused = 0
  for path in (tmp_path / '5').rglob('*'):
    if not path.is_file():
      continue
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (b'', whole[:middle], flipped):
      path.write_bytes(content)
      try:
        restored = checkpoints.restore(example())
        chex.assert_trees_all_equal(restored, example())
      except ValueError:
        refused += 1
        refuse(checkpoints, tmp_path / '5')
    path.write_bytes(whole)
  assert refused >= 9
  chex.assert_trees_all_equal(checkpoints.restore(example()), example())
  gc.collect()
  # Orbax has nothing to add.
  assert capfd.readouterr().err == ''


def test_a_flipped_bit_of_a_large_array_is_seen(tmp_path):
  """Orbax itself restores other values without a word."""
  values = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8)
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(5, {'w': values})
  file = max(
    (path for path in tmp_path.rglob('*') if path.is_file()),
    key=lambda path: path.stat().st_size,
  )
  content = bytearray(file.read_bytes())
  content[50_000] ^= 1
  file.write_bytes(content)
  with pytest.raises(ValueError, match=r'read \(the values are not'):
    checkpoints.restore({'w': values})


def names(directory):
  return sorted(path.name for path in directory.iterdir())


def wait_for(condition):
  """Orbax removes debris in a thread."""
  end = time.monotonic() + 20
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.01)


def test_debris_of_a_killed_writer_goes(tmp_path):
  saved(tmp_path, 5)
  shutil.copytree(tmp_path / '5', tmp_path / '6.orbax-checkpoint-tmp')
  checkpoints = checkpoint.Checkpoints(tmp_path)
  assert checkpoints.latest() == 5
  wait_for(lambda: names(tmp_path) == ['5'])


def test_a_checkpoint_that_was_being_deleted_is_none(tmp_path):
  saved(tmp_path, 5, 6)
  # What a kill in the middle of the deletion leaves.
  shutil.copytree(tmp_path / '5', tmp_path / '4')
  for path in (tmp_path / '4').rglob('*'):
    if path.is_file() and path.name != 'manifest.ocdbt':
      path.unlink()
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.steps() == [5, 6]
    with pytest.raises(FileNotFoundError, match='no checkpoint 4 in'):
      checkpoints.restore(example(), step=4)
    checkpoints.save(7, example())
  assert names(tmp_path) == ['6', '7']


def aligned(size):
  # JAX borrows the memory of a NumPy array that starts on 64 bytes.
  raw = np.zeros(4 * size + 64, np.uint8)
  offset = -raw.ctypes.data % 64
  return raw[offset : offset + 4 * size].view(np.float32)


def test_the_state_may_be_donated_while_it_is_written(tmp_path, monkeypatch):
  devices = mesh.make(1)

  def step(value, frozen, batch, key):
    del frozen, batch, key
    return jax.tree.map(lambda leaf: leaf + 1, value), {}

  jitted = mesh.jit_step(step, devices)
  batch = mesh.shard_batch(np.zeros(1), devices)
  size = 4096
  borrowed, numpy = aligned(size), aligned(size)
  value = {
    'borrowed': jnp.asarray(borrowed),
    'owned': mesh.copy_to_devices(jnp.zeros((size,)), devices),
    'fetched': jax.device_get(
      mesh.copy_to_devices(jnp.zeros((size,)), devices)
    ),
    'numpy': numpy,
  }
  go = threading.Event()
  mkdir = os.mkdir

  def late(path, *args, **kwargs):
    # Orbax makes its directories in a thread, before it writes into them.
    assert go.wait(30)
    mkdir(path, *args, **kwargs)

  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    monkeypatch.setattr(os, 'mkdir', late)
    checkpoints.save(1, value)
    numpy[:] = 7
    borrowed[:] = 7
    current = {'owned': value['owned']}
    for _ in range(3):
      current, _ = jitted(current, None, batch, jax.random.key(0))
    jax.block_until_ready(current)
    assert value['owned'].is_deleted()
    assert names(tmp_path) == []
    go.set()
  np.testing.assert_array_equal(current['owned'], np.full(size, 3))
  like = dict.fromkeys(value, np.ones(size, np.float32))
  restored = checkpoint.Checkpoints(tmp_path).restore(like)
  for leaf in restored.values():
    np.testing.assert_array_equal(leaf, np.zeros_like(leaf))


def test_a_full_disk_is_seen_before_it_is_filled(tmp_path, monkeypatch):
  usage = collections.namedtuple('usage', 'total used free')
  checkpoints = saved(tmp_path, 5)
  monkeypatch.setattr(
    checkpoint.shutil, 'disk_usage', lambda path: usage(2e9, 2e9, 1e6)
  )
  checkpoints.save(6, {'w': np.zeros(1_000_000, np.float32)})
  with pytest.raises(OSError, match='disk full') as caught:
    checkpoints.wait()
  assert str(caught.value) == (
    f'cannot write checkpoint 6 to {tmp_path}: needs 4.0 MB, 1.0 MB free '
    '(disk full); checkpoint 5 is intact: make room and run the same command '
    'again'
  )
  assert checkpoints.steps() == [5]


# The first file that is too large: of Orbax's metadata, of its index, of data.
@pytest.mark.parametrize('size', [100, 1000, 30_000])
def test_an_error_of_the_file_system_is_reported_once(tmp_path, size):
  # In a process of its own, all of whose files are limited.
  result = subprocess.run(
    [sys.executable, HERE / 'checkpoint_program.py', tmp_path, str(size)],
    env=os.environ | {'PYTHONPATH': str(HERE.parents[1])},
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr
  error, *rest = result.stdout.splitlines()
  # The next save reported it, and had itself not been started.
  assert 'File too large' in error
  assert 'checkpoint 9 is intact' in error
  assert rest == ['[9]', '[9, 12]', 'restored']
  # Some of its writers may have written after all others were told to stop.
  checkpoint.Checkpoints(tmp_path)
  wait_for(lambda: names(tmp_path) == ['12', '9'])


def test_the_error_in_a_context_is_not_hidden_by_a_failed_write(
  tmp_path, monkeypatch
):
  usage = collections.namedtuple('usage', 'total used free')
  monkeypatch.setattr(
    checkpoint.shutil, 'disk_usage', lambda path: usage(2e9, 2e9, 0)
  )
  checkpoints = checkpoint.Checkpoints(tmp_path)
  large = {'w': np.random.default_rng(0).random(9000)}

  def fail():
    with checkpoints:
      checkpoints.save(1, large)
      raise KeyError

  with pytest.raises(KeyError):
    fail()
  with pytest.raises(OSError, match='no earlier one'):
    saved(tmp_path, 2)
