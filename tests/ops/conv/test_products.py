"""What lets XLA's executor divide products among threads, in its programs."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops import memory
from palmjax.ops.conv import dispatch as conv
from palmjax.ops.conv import products

pytestmark = pytest.mark.skipif(
  jax.default_backend() != 'cpu', reason='programs of a CPU are tested'
)


def random(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('left', [1, 2])
@pytest.mark.parametrize('right', [1, 2])
def test_products_of_transposed_matrices(left, right):
  a, b = random(2, 3, 4, 5), random(2, 3, 5, 6, seed=1)
  got = products.multiply(
    list(a if left == 2 else a.swapaxes(2, 3)),
    list(b if right == 1 else b.swapaxes(2, 3)),
    (left, right),
  )
  np.testing.assert_allclose(got, a @ b, rtol=1e-5, atol=1e-5)


def test_transpose():
  a = [random(3, 4, 5), random(2, 1, 6)]
  for got, old in zip(
    products.transpose(a, memory.always_true()), a, strict=True
  ):
    np.testing.assert_array_equal(got, old.swapaxes(1, 2))


@pytest.mark.parametrize('value', [0, -1, 1, np.nan, np.inf])
def test_a_true_predicate_stays_true(value):
  arrays = {'a': jnp.full((2, 2), value)}, [jnp.full(3, -value)]
  assert products.keep_until_here(jnp.array(True), *arrays)


def instructions(text):
  """{name: (operation, operands)} of the computation with most products."""
  line = re.compile(r'%([\w.-]+) = .*? ([a-z-]+)\((%.*?)\)(.*)')
  computations = []
  for computation in text.split('\n\n'):
    computations.append(
      {
        name: (
          'product' if '/dot_general"' in rest else operation,
          re.findall(r'%([\w.-]+)', operands),
        )
        for name, operation, operands, rest in line.findall(computation)
      }
    )
  return max(
    computations,
    key=lambda made: sum(kind == 'product' for kind, _ in made.values()),
  )


@pytest.mark.parametrize(
  'wanted, count', [('y', 12), ('gradients', 24), ('gradient in x', 12)]
)
def test_products_are_ready_together_and_none_waits(wanted, count):
  """In the order of the program, twelve after twelve."""

  def convolve(x, kernel):
    return conv.dense(x, kernel, lowering='winograd')

  def pull(x, kernel, g):
    gradients = jax.vjp(convolve, x, kernel)[1](g)
    return gradients if wanted == 'gradients' else gradients[0]

  # Four blocks of two images: 2.4 MB of tiles each, of at most 5 MB.
  x, kernel = jnp.ones((8, 64, 64, 64)), jnp.ones((3, 3, 64, 64))
  function, arguments = (
    (convolve, (x, kernel)) if wanted == 'y' else (pull, (x, kernel, x))
  )
  text = jax.jit(function).lower(*arguments).compile().as_text()
  program = instructions(text)

  def written(name):
    """The array that a name stands for: XLA writes no bitcast."""
    kind, operands = program.get(name, ('', []))
    return written(operands[0]) if kind == 'bitcast' else name

  steps = list(program.items())
  places = [i for i, (_, (kind, _)) in enumerate(steps) if kind == 'product']
  assert len(places) == count
  for first in range(0, len(places), 12):
    dozen = places[first : first + 12]
    used_later = {
      written(operand)
      for _, (kind, operands) in steps[dozen[-1] + 1 :]
      for operand in operands
      if kind not in ('bitcast', 'tuple')
    }
    for place in dozen:
      name, (_, operands) = steps[place]
      assert name in used_later
      for operand in map(written, operands):
        kind, (source, *_) = program[operand]
        assert kind == 'get-tuple-element'
        # A parameter of the loop has no line of its own in `program`.
        assert program.get(source, ['parameter'])[0] in (
          'conditional',
          'parameter',
        )
        assert source not in program or operand in used_later
