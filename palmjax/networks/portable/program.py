"""A palm network as one program for other runtimes: images → embeddings.

The program holds the pre-processing and the weights. Its batch has any size.
Every image goes through it alone (`jax.vmap`): what a network decides by the
size of its batch cannot be decided while that size is open. Convolutions are
plain ones (`ops.conv.dispatch.plain`), so embeddings differ from those of
`PalmNetwork.embed` in the last digits.
"""

import jax
import jax.numpy as jnp
from jax import export

from palmjax.networks import palm
from palmjax.ops.conv import dispatch


def embedder(network):
  """The forward pass, to be traced: images → embeddings.

  Args:
    network: `PalmNetwork`.

  Returns:
    embed(images uint8 [B, S, S, 3]) → float32 [B, D], unit norm.
  """
  embed = palm.make_embedder(network.model, network.preprocess.apply)

  def each(image):
    return embed(network.params, network.stats, image[None])[0]

  def program(images):
    with dispatch.plain():
      return jax.vmap(each)(images)

  return program


def images(network, size=None):
  """Shape and type of the images that a program takes.

  Args:
    network: `PalmNetwork`.
    size: side S of the images; None: that of the network. Images of another
      size are resized within the program.

  Returns:
    `ShapeDtypeStruct` of uint8 [batch, S, S, 3], with an open batch.

  Raises:
    ValueError: size is below 1.
  """
  side = network.preprocess.image_size if size is None else size
  if side < 1:
    raise ValueError(f'size={size}: give 1 or more')
  (batch,) = export.symbolic_shape('batch')
  return jax.ShapeDtypeStruct((batch, side, side, 3), jnp.uint8)
