"""Single operations of ONNX beside those of JAX, for batches of two sizes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from jax import export, lax

from palmjax.models import layers
from palmjax.networks.portable import onnx_file
from palmjax.ops.conv import dispatch

RANDOM = np.random.default_rng(0)
SHAPE = 6, 5, 4
WEIGHTS = RANDOM.normal(size=(5, 4)).astype(np.float32)
KERNEL = RANDOM.normal(size=(3, 2, 4, 8)).astype(np.float32)
GROUPED = RANDOM.normal(size=(3, 3, 2, 8)).astype(np.float32)

FUNCTIONS = {
  'arithmetic': lambda x: (1 - x) * WEIGHTS[0] / (2 + x**2) - (-x) ** 3,
  'compared': lambda x: jnp.where(x > WEIGHTS, x, -2.0),
  # Looks like an activation and is none.
  'other slope': lambda x: jnp.where(x >= 0.5, x, 0.5 * x),
  'other operand': lambda x: jnp.where(x >= 0, 2 * x, 0.5 * x),
  'slope': lambda x: jnp.where(x >= 0, x, WEIGHTS * x),
  'no slope': lambda x: jnp.where(x >= 0, x, 1.0 * x),
  'roots': lambda x: jnp.sqrt(x**2) + lax.rsqrt(x**2 + 1),
  'curves': lambda x: jax.nn.sigmoid(x) + jnp.tanh(x) * jnp.exp(x),
  'limits': lambda x: jnp.clip(x, -0.5, 0.25) + jnp.abs(x),
  'joined': lambda x: jnp.concatenate(
    [x, jnp.broadcast_to(WEIGHTS, x.shape)], axis=2
  ),
  'stacked': lambda x: jnp.stack([x, 2 * x], axis=2),
  'cut': lambda x: lax.slice(
    x, (0, 1, 0, 1), (x.shape[0], 6, 5, 4), (1, 2, 1, 2)
  ),
  'padded': lambda x: jnp.pad(
    x, ((0, 0), (1, 2), (0, 1), (0, 0)), constant_values=-jnp.inf
  ),
  'moved': lambda x: jnp.moveaxis(x, 3, 1),
  'flat': lambda x: x.reshape(x.shape[0], -1),
  'sums': lambda x: (
    jnp.sum(x, axis=(1, 3)) + jnp.mean(x, axis=(1, 2, 3))[:, None]
  ),
  'largest': lambda x: jnp.max(x, axis=-1),
  'pooled': functools.partial(layers.max_pool, window=3, border=1),
  'products': lambda x: jnp.einsum('jk,bijc->bikc', WEIGHTS, x),
  'products of the batch': lambda x: x @ WEIGHTS.T,
  'convolved': lambda x: dispatch.convolve(
    x, KERNEL, stride=2, padding=((1, 0), (2, 1))
  ),
  'convolved in groups': lambda x: dispatch.convolve(x, GROUPED, groups=2),
}


@pytest.mark.parametrize('name', FUNCTIONS)
def test_as_of_jax(name):
  function = FUNCTIONS[name]
  (batch,) = export.symbolic_shape('batch')
  images = jax.ShapeDtypeStruct((batch, *SHAPE), jnp.float32)
  session = onnxruntime.InferenceSession(
    onnx_file.of_function(function, images, {}),
    providers=['CPUExecutionProvider'],
  )
  for count in (1, 3):
    x = RANDOM.normal(size=(count, *SHAPE)).astype(np.float32)
    (got,) = session.run(None, {'images': x})
    want = np.asarray(function(jnp.asarray(x)))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  'function, message',
  [
    (lambda x: lax.pad(x, 0.0, [(0, 0, 0), (0, 0, 1)]), 'pad .* between'),
    (lambda x: lax.pad(x, 0.0, [(0, 0, 0), (-1, 0, 0)]), 'pad .* cuts'),
    (lambda x: jnp.cumsum(x, axis=1), 'cumsum'),
    (
      lambda x: jnp.einsum('bi,bj->bij', x, x),
      'dot_general .* axes of a batch',
    ),
  ],
)
def test_what_would_be_wrong_is_refused(function, message):
  images = jax.ShapeDtypeStruct((2, 3), jnp.float32)
  with pytest.raises(ValueError, match=message):
    onnx_file.of_function(function, images, {})
