"""Which lowering a dense convolution takes, by its shape."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops.conv import dispatch as conv

_ONE = ((1, 1), (1, 1))


@pytest.mark.skipif(
  jax.default_backend() != 'cpu', reason='rules of a CPU are tested'
)
@pytest.mark.parametrize(
  'batch, side, channels, features, stride, wanted',
  [
    # ResNet-18 with the small stem, 64 and 48 px: whole, half, quarter width.
    (32, 64, 1, 64, 1, 'blocked'),
    (32, 64, 64, 64, 1, 'winograd'),
    (32, 64, 64, 128, 2, 'blocked'),
    (32, 8, 512, 512, 1, 'winograd'),
    (32, 64, 32, 32, 1, 'winograd'),
    (32, 24, 64, 64, 1, 'winograd'),
    (32, 48, 16, 32, 2, 'lax'),
    (32, 6, 128, 128, 1, 'winograd'),
    # ResNet-50 of 64 px: its last maps are smaller than the window.
    (32, 16, 64, 64, 1, 'winograd'),
    (32, 4, 512, 512, 2, 'blocked'),
    (32, 2, 512, 512, 1, 'blocked'),
    (512, 2, 64, 64, 1, 'blocked'),
    # Of 112 px.
    (32, 4, 512, 512, 1, 'winograd'),
    # VGG16, between two stages; few channels on either side.
    (32, 32, 64, 128, 1, 'winograd'),
    (32, 64, 32, 64, 1, 'winograd'),
    (32, 64, 23, 128, 1, 'lax'),
    (32, 64, 128, 23, 1, 'lax'),
    (32, 32, 24, 48, 1, 'winograd'),
    # One image and sixteen: pixels must be as many as channels.
    (1, 8, 512, 512, 1, 'blocked'),
    (1, 16, 256, 256, 1, 'winograd'),
    (1, 16, 64, 257, 1, 'blocked'),
    (16, 6, 512, 512, 1, 'winograd'),
  ],
)
def test_dense_lowering_by_shape(
  batch, side, channels, features, stride, wanted
):
  x = np.zeros((batch, side, side, channels), np.float32)
  kernel = np.zeros((3, 3, channels, features), np.float32)
  assert conv.dense_lowering(x, kernel, stride, _ONE) == wanted


@pytest.mark.skipif(
  jax.default_backend() != 'cpu', reason='rules of a CPU are tested'
)
def test_dense_lowering_of_other_windows_borders_and_types():
  def lowering(window=3, padding=_ONE, dtype=np.float32, channels=64):
    x = jnp.zeros((8, 16, 16, channels), dtype)
    kernel = jnp.zeros((window, window, channels, 64), dtype)
    return conv.dense_lowering(x, kernel, 1, padding)

  assert lowering() == 'winograd'
  assert lowering(padding=((0, 0), (0, 0))) == 'winograd'
  assert lowering(padding=((-1, 1), (1, 1))) == 'lax'
  assert lowering(window=5) == 'lax'
  assert lowering(window=17) == 'blocked'
  assert lowering(dtype=jnp.bfloat16) == 'lax'
  assert lowering(channels=3) == 'blocked'
  with conv.plain():
    assert lowering() == 'lax'


def test_dense_takes_what_the_rule_says(monkeypatch):
  x, kernel = np.zeros((2, 5, 5, 3)), np.zeros((3, 3, 3, 2))

  def program(**options):
    dense = functools.partial(conv.dense, **options)
    return jax.jit(dense).lower(x, kernel).as_text().split('{', 1)[1]

  programs = set()
  for lowering in ('winograd', 'blocked', 'lax'):
    monkeypatch.setattr(
      conv, 'dense_lowering', lambda *_, lowering=lowering: lowering
    )
    assert program() == program(lowering=lowering)
    assert ('stablehlo.convolution' in program()) == (lowering == 'lax')
    programs.add(program())
  assert len(programs) == 3
