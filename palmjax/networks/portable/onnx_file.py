"""Palm networks as ONNX, from the program that JAX traces.

The program is read equation by equation. What depends on weights alone is
computed here, the rest becomes nodes (`onnx_operations`). Needs the library
onnx: `pip install .[onnx]` in the clone.
"""

import json

import jax
import numpy as np
from jax.extend import core

from palmjax.networks.portable import onnx_graph, onnx_operations, program


def to_bytes(network, *, size=None):
  """Serialises a network; equal networks give equal bytes.

  Args:
    network: `PalmNetwork`.
    size: see `program.images`.

  Returns:
    bytes of an ONNX model: input `images`, uint8 [batch, S, S, 3]; output
    `embeddings`, float32 [batch, D], unit norm.

  Raises:
    ValueError: the network computes in bfloat16, or has an operation that is
      not written here; the message names it.
  """
  dtype = network.description['dtype']
  if dtype != 'float32':
    raise ValueError(
      f'a network of {dtype} cannot be written as ONNX: few runtimes compute '
      'so; use --to=stablehlo'
    )
  return of_function(
    program.embedder(network),
    program.images(network, size),
    {
      'comparison': network.preprocess.metric,
      'digests': json.dumps(network.digests, sort_keys=True),
    },
  )


def of_function(function, images, metadata):
  """Serialises any function of images; see `to_bytes`.

  Args:
    function: array → array, pure.
    images: `ShapeDtypeStruct`, whose first size may be open.
    metadata: {text: text}, kept in the model.

  Raises:
    ValueError: it has an operation that is not written here.
  """
  traced = jax.make_jaxpr(function)(images)
  graph = onnx_graph.Graph(images)
  constants = [np.asarray(value) for value in traced.consts]
  (output,) = _run(graph, traced.jaxpr, constants, [graph.images])
  model = graph.model(graph.full(output, traced.out_avals[0].shape), metadata)
  return model.SerializeToString(deterministic=True)


def _run(graph, jaxpr, constants, inputs):
  """Values that come out of a program."""
  known = dict(zip(jaxpr.constvars, constants, strict=True))
  known.update(zip(jaxpr.invars, inputs, strict=True))

  def value(variable):
    if isinstance(variable, core.Literal):
      return np.asarray(variable.val, variable.aval.dtype)
    return known[variable]

  for equation in jaxpr.eqns:
    outputs = _equation(graph, equation, [*map(value, equation.invars)])
    known.update(zip(equation.outvars, outputs, strict=True))
  return [*map(value, jaxpr.outvars)]


def _equation(graph, equation, values):
  name = equation.primitive.name
  # 'jit' has 'jaxpr'; derivatives by hand, which are not needed, 'call_jaxpr'.
  for key in ('jaxpr', 'call_jaxpr'):
    if key in equation.params and name in _CALLS:
      inner = equation.params[key]
      constants = [np.asarray(value) for value in inner.consts]
      return _run(graph, inner.jaxpr, constants, values)
  if all(isinstance(value, np.ndarray) for value in values):
    computed = _computed(graph, equation, values)
    if computed is not None:
      return computed
  return [onnx_operations.apply(graph, equation, values)]


_CALLS = 'jit', 'custom_jvp_call', 'custom_vjp_call'


def _computed(graph, equation, values):
  """Outputs of an equation of constants; None: it needs the batch."""
  name = equation.primitive.name
  if name == 'broadcast_in_dim':
    return [onnx_operations.broadcast(graph, values, equation)]
  if name in onnx_operations.ELEMENTWISE:
    values = np.broadcast_arrays(*values)
  else:
    shapes = [variable.aval.shape for variable in equation.invars]
    if not all(isinstance(x, int) for shape in shapes for x in shape):
      return None
    values = [
      np.broadcast_to(value, shape)
      for value, shape in zip(values, shapes, strict=True)
    ]
  outputs = equation.primitive.bind(*values, **equation.params)
  several = equation.primitive.multiple_results
  return [*map(np.asarray, outputs if several else [outputs])]
