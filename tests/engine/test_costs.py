"""XLA's count of a step, and that counting compiles nothing."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.engine import costs, loop, mesh
from tests import compilations
from tests.engine import small_run

SIDE = 32


def product(value, frozen, batch, key):
  del frozen, batch, key
  return value @ value, {'loss': jnp.float32(0)}


def arguments(devices):
  return (
    mesh.copy_to_devices(jnp.ones((SIDE, SIDE)), devices),
    None,
    mesh.shard_batch({'x': np.zeros((2, 3))}, devices),
    mesh.replicate(jax.random.key(0), devices),
  )


def test_a_product_of_matrices_costs_what_it_should(tmp_path):
  devices = mesh.make(1)
  step = mesh.jit_step(product, devices)
  state, *others = arguments(devices)
  with compilations.counted() as programs:
    state, _ = step(state, *others)
    called = len(programs)
    counted = costs.Costs(tmp_path)
    counted.note(step, state, *others)
    counted.note(step, state, *others)
    assert len(programs) == called
  read = json.loads((tmp_path / 'costs.json').read_text())
  assert read.keys() == {'product'}
  assert read['product']['flops'] == 2 * SIDE**3
  # Reads and writes the matrix.
  assert read['product']['bytes'] >= 2 * 4 * SIDE**2


def test_steps_that_were_compiled_together_cost_the_same(tmp_path):
  devices = mesh.make(1)
  step = mesh.jit_step(product, devices)
  compiled, *_ = mesh.compile_together(
    [step], jnp.ones((SIDE, SIDE)), *arguments(devices)[1:], mesh=devices
  )
  costs.Costs(tmp_path).note(compiled)
  assert costs.read(tmp_path.parent)[tmp_path.name] == {
    'product': json.loads((tmp_path / 'costs.json').read_text())['product']
  }
  read = json.loads((tmp_path / 'costs.json').read_text())
  assert read['product']['flops'] == 2 * SIDE**3


def test_a_training_writes_the_costs_of_all_its_steps(tmp_path):
  devices = mesh.make(1)

  def shift(state, frozen, batch, key):
    del frozen, batch, key
    return state.replace(step=state.step + 1), {'shifted': jnp.float32(1)}

  first = mesh.jit_step(small_run.descend, devices)
  second = mesh.jit_step(shift, devices)

  def run(**changes):
    small_run.run(
      tmp_path,
      schedule=lambda i: (first, second) if i == 0 else (first,),
      **changes,
    )
    return costs.read(tmp_path)

  assert run(num_steps=4)['small'].keys() == {'descend', 'shift'}
  # The resumed run does not see the other step.
  assert run(num_steps=6)['small'].keys() == {'descend', 'shift'}
  assert run(num_steps=6)['small']['descend']['flops'] > 0


def test_counting_compiles_nothing_in_a_training(tmp_path, monkeypatch):
  def compiled(workdir):
    step = mesh.jit_step(small_run.descend, mesh.make(1))
    with compilations.counted() as programs:
      small_run.run(workdir, schedule=loop.always(step))
    return len(programs)

  compiled(tmp_path / 'warm')  # What any training compiles once.
  with_costs = compiled(tmp_path / 'with')
  monkeypatch.setattr(costs.Costs, 'note', lambda *arguments: None)
  assert compiled(tmp_path / 'without') == with_costs


def test_a_damaged_file_is_named(tmp_path):
  (tmp_path / 'small').mkdir()
  (tmp_path / 'small/costs.json').write_text('{')
  with pytest.raises(ValueError, match=r'costs.json is not JSON .* delete it'):
    small_run.run(tmp_path)
