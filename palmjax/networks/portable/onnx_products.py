"""Convolutions and matrix products as operations of ONNX.

Arguments are those of `onnx_operations`.
"""

import math

import numpy as np

from palmjax.networks.portable import onnx_graph


def convolution(graph, values, equation):
  """A convolution; ONNX wants channels before height and width."""
  params, output = equation.params, equation.outvars[0].aval
  layout = params['dimension_numbers']
  padding = params['padding']
  if params['batch_group_count'] != 1 or any(
    size != 1 for size in params['lhs_dilation']
  ):
    raise onnx_graph.refused(
      equation, 'it is transposed, or grouped by the batch'
    )
  if min(border for side in padding for border in side) < 0:
    raise onnx_graph.refused(equation, 'its border is negative')
  x, kernel = (
    graph.transpose(value, order)
    for value, order in zip(
      values, (layout.lhs_spec, layout.rhs_spec), strict=True
    )
  )
  y = graph.node(
    'Conv',
    [x, kernel],
    [output.shape[axis] for axis in layout.out_spec],
    output.dtype,
    strides=params['window_strides'],
    pads=[low for low, _ in padding] + [high for _, high in padding],
    dilations=params['rhs_dilation'],
    group=params['feature_group_count'],
  )
  return graph.transpose(y, np.argsort(layout.out_spec))


def product(graph, values, equation):
  """One matrix product: axes that are summed over lie inside."""
  (contracted, batches), output = (
    equation.params['dimension_numbers'],
    equation.outvars[0].aval,
  )
  if any(batches):
    raise onnx_graph.refused(equation, 'it has axes of a batch')
  matrices, sizes = [], []
  for side, (value, summed) in enumerate(zip(values, contracted, strict=True)):
    free = [axis for axis in range(len(value.shape)) if axis not in summed]
    order = [*free, *summed] if side == 0 else [*summed, *free]
    inner = math.prod(value.shape[axis] for axis in summed)
    outer = [value.shape[axis] for axis in free]
    sizes += [math.prod(outer)]
    shape = (sizes[-1], inner) if side == 0 else (inner, sizes[-1])
    matrices.append(graph.reshape(graph.transpose(value, order), shape))
  result = graph.node('MatMul', matrices, sizes, output.dtype)
  return graph.reshape(result, output.shape)
