"""An ONNX graph that grows by one operation at a time.

A value is a constant (NumPy array) or the output of a node (`Tensor`). Its
shape may be 1 along axes where the program that it comes from says more:
operations of ONNX broadcast, so constants are not written out for a batch.
"""

import dataclasses
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

# ReduceMax takes its axes as an input since 18; runtimes of 2023 read it.
OPSET, _IR_VERSION = 18, 8


@dataclasses.dataclass(frozen=True)
class Tensor:
  """Output of a node.

  Attributes:
    name: within the graph.
    shape: ints, and the open batch as JAX names it.
    dtype: of NumPy.
  """

  name: str
  shape: tuple[Any, ...]
  dtype: Any


def refused(equation, reason):
  """The error that an equation of a jaxpr cannot be written as ONNX."""
  return ValueError(
    f'{equation.primitive.name} cannot be written as ONNX ({reason}); use '
    '--to=stablehlo'
  )


class Graph:
  """Nodes and constants, in the order of their making."""

  def __init__(self, images):
    """Starts with the one input, a `ShapeDtypeStruct`."""
    self._nodes, self._constants, self._made = [], {}, {}
    self.images = Tensor('images', images.shape, np.dtype(images.dtype))

  def node(self, operation, inputs, shape, dtype, **attributes):
    """Adds a node and returns its output, a `Tensor`.

    Args:
      operation: name, of ONNX.
      inputs: values.
      shape, dtype: of the output.
      attributes: of the node.
    """
    name = f'v{len(self._nodes)}'
    self._nodes.append(
      helper.make_node(
        operation, [*map(self._name, inputs)], [name], name=name, **attributes
      )
    )
    self._made[name] = operation, tuple(inputs)
    return Tensor(name, tuple(shape), np.dtype(dtype))

  def inputs(self, value, operation):
    """Inputs of the node that gives a value; none: it is another operation."""
    if isinstance(value, np.ndarray):
      return ()
    made, inputs = self._made.get(value.name, ('', ()))
    return inputs if made == operation else ()

  def reshape(self, value, shape):
    """Reshapes a value; the open batch is inferred by the runtime.

    Raises:
      ValueError: more than one size is open.
    """
    shape = tuple(shape)
    if shape == value.shape:
      return value
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    if sizes.count(-1) > 1:
      raise ValueError(f'a shape with two open sizes, {shape}')
    if isinstance(value, np.ndarray):
      return value.reshape(sizes)
    # Runtimes move a transpose through these two, and through no Reshape.
    for name, axes in (
      ('Unsqueeze', _added(value.shape, shape)),
      ('Squeeze', _added(shape, value.shape)),
    ):
      if axes:
        axes = np.asarray(axes, np.int64)
        return self.node(name, [value, axes], shape, value.dtype)
    target = np.asarray(sizes, np.int64)
    return self.node('Reshape', [value, target], shape, value.dtype)

  def transpose(self, value, order):
    """A value with its axes in another order."""
    order = [int(axis) for axis in order]
    if order == sorted(order):
      return value
    if isinstance(value, np.ndarray):
      return value.transpose(order)
    shape = [value.shape[axis] for axis in order]
    return self.node('Transpose', [value], shape, value.dtype, perm=order)

  def full(self, value, shape):
    """A value in its whole shape, for operations that do not broadcast."""
    shape = tuple(shape)
    if value.shape == shape:
      return value
    if all(isinstance(size, int) for size in shape):
      if isinstance(value, np.ndarray):
        return np.broadcast_to(value, shape)
      target = np.asarray(shape, np.int64)
    else:
      batch = self.node('Shape', [self.images], (1,), np.int64, start=0, end=1)
      parts = [
        np.asarray([size], np.int64) if isinstance(size, int) else batch
        for size in shape
      ]
      target = self.node('Concat', parts, (len(shape),), np.int64, axis=0)
    return self.node('Expand', [value, target], shape, value.dtype)

  def model(self, output, metadata):
    """The finished, checked model, without nodes that nobody reads.

    Args:
      output: `Tensor` [batch, D].
      metadata: {text: text}.

    Returns:
      `onnx.ModelProto`.
    """
    nodes = [helper.make_node('Identity', [output.name], ['embeddings'])]
    read = {*nodes[0].input}
    for node in reversed(self._nodes):
      if node.output[0] in read:
        nodes.insert(0, node)
        read.update(node.input)
    graph = helper.make_graph(
      nodes,
      'palmjax',
      [_described('images', self.images)],
      [_described('embeddings', output)],
      [
        numpy_helper.from_array(value, name)
        for name, value in self._constants.values()
        if name in read
      ],
    )
    model = helper.make_model(
      graph,
      producer_name='palmjax',
      opset_imports=[helper.make_opsetid('', OPSET)],
      ir_version=_IR_VERSION,
    )
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model

  def _name(self, value):
    """Of a value; equal constants are stored once."""
    if isinstance(value, Tensor):
      return value.name
    value = np.ascontiguousarray(value).reshape(value.shape)
    key = value.dtype.str, value.shape, value.tobytes()
    return self._constants.setdefault(key, (f'c{len(self._constants)}', value))[
      0
    ]


def _added(few, many):
  """Axes of size 1 that `many` has beyond `few`; none: it differs otherwise."""
  axes, place = [], 0
  for axis, size in enumerate(many):
    if place < len(few) and few[place] == size:
      place += 1
    elif size == 1:
      axes.append(axis)
    else:
      return []
  return axes if place == len(few) else []


def _described(name, tensor):
  sizes = [size if isinstance(size, int) else 'batch' for size in tensor.shape]
  return helper.make_tensor_value_info(
    name, helper.np_dtype_to_tensor_dtype(tensor.dtype), sizes
  )
