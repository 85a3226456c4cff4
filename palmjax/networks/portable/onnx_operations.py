"""Operations of JAX as operations of ONNX: those that palm networks need.

Each function takes a graph, the values that go in, and the equation of the
program; it returns the value that comes out. What is in no table is refused by
its name: a wrong embedding is worse than none.
"""

import numpy as np
from onnx import helper

from palmjax.networks.portable import onnx_graph, onnx_products

# Broadcast as NumPy does; one node each.
_SAME_NAMES = {
  'abs': 'Abs',
  'add': 'Add',
  'and': 'And',
  'div': 'Div',
  'eq': 'Equal',
  'exp': 'Exp',
  'ge': 'GreaterOrEqual',
  'gt': 'Greater',
  'le': 'LessOrEqual',
  'logistic': 'Sigmoid',
  'lt': 'Less',
  'max': 'Max',
  'min': 'Min',
  'mul': 'Mul',
  'neg': 'Neg',
  'sqrt': 'Sqrt',
  'sub': 'Sub',
  'tanh': 'Tanh',
}


def apply(graph, equation, values):
  """Adds the operation of an equation to a graph.

  Args:
    graph: `onnx_graph.Graph`.
    equation: of a jaxpr, with one output, and no program of its own.
    values: that go in, at least one of them no constant.

  Returns:
    The value that comes out.

  Raises:
    ValueError: there is no such operation in ONNX, or none is written here.
  """
  name = equation.primitive.name
  if name in ELEMENTWISE:
    return ELEMENTWISE[name](graph, values, equation)
  if name == 'broadcast_in_dim':
    return broadcast(graph, values, equation)
  if name not in _WHOLE:
    raise onnx_graph.refused(equation, 'it has no counterpart here')
  shapes = [variable.aval.shape for variable in equation.invars]
  whole = [
    graph.full(value, shape)
    for value, shape in zip(values, shapes, strict=True)
  ]
  return _WHOLE[name](graph, whole, equation)


def broadcast(graph, values, equation):
  """Puts axes of size 1 in; larger ones come about where they are met."""
  (value,) = values
  shape = [1] * len(equation.params['shape'])
  for axis, size in zip(
    equation.params['broadcast_dimensions'], value.shape, strict=True
  ):
    shape[axis] = size
  return graph.reshape(value, shape)


def _output(equation):
  return equation.outvars[0].aval


def _shape(values):
  """Of an operation that broadcasts: a size beats 1."""
  rank = max(len(value.shape) for value in values)
  shapes = [(1,) * (rank - len(v.shape)) + tuple(v.shape) for v in values]
  return [
    next((size for size in sizes if size != 1), 1)
    for sizes in zip(*shapes, strict=True)
  ]


def _of_name(name):
  def add(graph, values, equation):
    dtype = _output(equation).dtype
    return graph.node(name, values, _shape(values), dtype)

  return add


def _square(graph, values, equation):
  return graph.node('Mul', [*values, *values], values[0].shape, np.float32)


def _power(graph, values, equation):
  exponent = np.asarray(equation.params['y'], values[0].dtype)
  if exponent == 2:
    return _square(graph, values, equation)
  inputs = [*values, exponent]
  return graph.node('Pow', inputs, values[0].shape, values[0].dtype)


def _inverse_root(graph, values, equation):
  (value,) = values
  root = graph.node('Sqrt', [value], value.shape, value.dtype)
  return graph.node('Reciprocal', [root], value.shape, value.dtype)


def _select(graph, values, equation):
  which, *cases = values
  if which.dtype != bool or len(cases) != 2:
    raise onnx_graph.refused(equation, 'it selects by a number')
  dtype = _output(equation).dtype
  slope = _slope(graph, which, cases)
  if slope is not None:
    if np.all(slope == 1):
      return cases[1]
    inputs = [cases[1], slope]
    return graph.node('PRelu', inputs, cases[1].shape, dtype)
  inputs = [which, cases[1], cases[0]]
  return graph.node('Where', inputs, _shape(inputs), dtype)


def _slope(graph, which, cases):
  """s where a selection is x ≥ 0 ? x : s · x, s constant; else None.

  As Where it takes more than half of the time of onnxruntime.
  """
  below, x = cases
  compared = graph.inputs(which, 'GreaterOrEqual')
  factors = graph.inputs(below, 'Mul')
  constants = [value for value in factors if isinstance(value, np.ndarray)]
  if not compared or not constants or not isinstance(compared[1], np.ndarray):
    return None
  same = compared[0] is x and any(value is x for value in factors)
  return constants[0] if same and not compared[1].any() else None


def _convert(graph, values, equation):
  dtype = np.dtype(equation.params['new_dtype'])
  (value,) = values
  if dtype == value.dtype:
    return value
  to = helper.np_dtype_to_tensor_dtype(dtype)
  return graph.node('Cast', values, value.shape, dtype, to=to)


def _reshape(graph, values, equation):
  return graph.reshape(values[0], _output(equation).shape)


def _permute(graph, values, equation):
  return graph.transpose(values[0], equation.params['permutation'])


def _reduce(name):
  def add(graph, values, equation):
    axes = np.asarray(equation.params['axes'], np.int64)
    output = _output(equation)
    return graph.node(
      name, [*values, axes], output.shape, output.dtype, keepdims=0
    )

  return add


def _slice(graph, values, equation):
  (value,), params = values, equation.params
  starts, ends = params['start_indices'], params['limit_indices']
  steps = params['strides'] or (1,) * len(starts)
  # The open batch is never cut.
  cut = [
    axis
    for axis, size in enumerate(value.shape)
    if (starts[axis], ends[axis], steps[axis]) != (0, size, 1)
  ]
  if not all(isinstance(value.shape[axis], int) for axis in cut):
    raise onnx_graph.refused(equation, 'it cuts the batch')
  inputs = [
    np.asarray([row[axis] for axis in cut], np.int64)
    for row in (starts, ends, range(len(starts)), steps)
  ]
  output = _output(equation)
  return graph.node('Slice', [value, *inputs], output.shape, output.dtype)


def _pad(graph, values, equation):
  config = equation.params['padding_config']
  if any(low < 0 or high < 0 or inner for low, high, inner in config):
    raise onnx_graph.refused(equation, 'it cuts, or pads between values')
  pads = [low for low, _, _ in config] + [high for _, high, _ in config]
  value, border = values
  output = _output(equation)
  inputs = [value, np.asarray(pads, np.int64), border]
  return graph.node('Pad', inputs, output.shape, output.dtype)


def _concatenate(graph, values, equation):
  output = _output(equation)
  return graph.node(
    'Concat',
    values,
    output.shape,
    output.dtype,
    axis=equation.params['dimension'],
  )


def _stack(graph, values, equation):
  output, axis = _output(equation), equation.params['axis']
  shape = [*output.shape]
  shape[axis] = 1
  parts = [graph.reshape(value, shape) for value in values]
  return graph.node('Concat', parts, output.shape, output.dtype, axis=axis)


ELEMENTWISE = {
  **{name: _of_name(other) for name, other in _SAME_NAMES.items()},
  'convert_element_type': _convert,
  'integer_pow': _power,
  'rsqrt': _inverse_root,
  'select_n': _select,
  'square': _square,
}
_WHOLE = {
  'concatenate': _concatenate,
  'conv_general_dilated': onnx_products.convolution,
  'dot_general': onnx_products.product,
  'expand_dims': _reshape,
  'pad': _pad,
  'reduce_max': _reduce('ReduceMax'),
  'reduce_sum': _reduce('ReduceSum'),
  'reshape': _reshape,
  'slice': _slice,
  'squeeze': _reshape,
  'stack': _stack,
  'transpose': _permute,
}
