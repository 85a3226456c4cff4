"""Exits: an embedding after every stage of a backbone (arXiv:1905.08094).

  F_l        the map after stage l = 1 … L
  e_l        g_l(F_l), [B, D], for l < L; g_l is the adaptor of the exit
  e_L        the embedding of the backbone itself, which has no adaptor
  g_l(F)     linear(BN(depthwise window(means over G × G cells of F)))

CN114528937A classifies "the features of each layer" and gives no form. The
adaptor is our choice: the authors of the paper use a linear layer on the mean
of the map (their journal code). A palm is known by the places of its creases,
so the mean is taken over a coarse grid here.

A backbone has as many exits as it has stages (`num_exits`). Its argument
`exits=n` asks for the outputs after the first n stages, a list: maps [B, H, W,
C], and the embedding as the last one where n is L. Later stages are then not
computed and their parameters not read. No parameter of a backbone changes its
name, so shipped weights fit.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from palmjax.models import heads, layers
from palmjax.ops import pool


class ExitNetwork(nn.Module):
  """Images → embeddings of all exits, or of one; not normalised.

  Parameters are {'network': of the backbone, 'exit1': of an adaptor, …}.

  Attributes:
    network: backbone, of `backbones.build`.
    until: 1 to L: the embedding of this exit alone, so that the network can
      stand for a backbone; None: of all exits.
    cells: G.
  """

  network: Any
  until: int | None = None
  cells: int = 4

  @property
  def num_exits(self):
    """L."""
    return self.network.num_exits

  @property
  def embedding_size(self):
    """D."""
    return self.network.embedding_size

  @property
  def batch_norm_momentum(self):
    """That of the backbone, for the adaptors (see `batch_norm`)."""
    return self.network.batch_norm_momentum

  @nn.compact
  def __call__(self, images, *, train):
    """Embeds.

    Args:
      images: as the backbone takes them.
      train: normalise with the batch's statistics and update the running ones.

    Returns:
      float32 [L, B, D], or [B, D] if `until` is given.

    Raises:
      ValueError: the backbone has no such exit.
    """
    last = self.num_exits
    if self.until is not None:
      require(self.until, self.network)
    if self.until == last:
      return self.network(images, train=train)
    if self.until is not None:
      maps = self.network(images, train=train, exits=self.until)
      return self._adaptor(self.until, train)(maps[-1])
    *maps, embedding = self.network(images, train=train, exits=last)
    embeddings = [
      self._adaptor(number, train)(x) for number, x in enumerate(maps, start=1)
    ]
    return jnp.stack([*embeddings, embedding])

  def _adaptor(self, number, train):
    return Adaptor(self.embedding_size, self.cells, train, name=f'exit{number}')


def require(number, network):
  """Raises ValueError unless a backbone has an exit of this number."""
  if not 1 <= number <= network.num_exits:
    raise ValueError(
      f'exit {number}: the network has exits 1 to {network.num_exits}'
    )


class Adaptor(nn.Module):
  """g_l: a map [B, H, W, C] → float32 [B, `features`]."""

  features: int
  cells: int
  train: bool

  @nn.compact
  def __call__(self, x):
    x = pool.cell_means(x, self.cells)
    x = layers.Tail('gdconv', self.train)(x)
    return nn.Dense(self.features, dtype=x.dtype)(x).astype(jnp.float32)


def init_heads(key, num_classes, model):
  """Class weights of every exit: float32 [L, num_classes, D].

  Args:
    key: random key.
    num_classes: at least 2.
    model: `ExitNetwork`.
  """
  return jnp.stack(
    [
      heads.init_head(
        jax.random.fold_in(key, number), num_classes, model.embedding_size
      )
      for number in range(model.num_exits)
    ]
  )


def plain(variables):
  """Variables of the backbone alone.

  Args:
    variables: of an `ExitNetwork`: {'params', 'batch_stats', …}.

  Returns:
    {'params', 'batch_stats', …} without the adaptors, for the backbone.
  """
  return {
    name: collection['network']
    for name, collection in variables.items()
    if 'network' in collection
  }


def replace_plain(variables, backbone):
  """Puts the variables of a trained backbone below the exits.

  Args:
    variables: of an `ExitNetwork`: {'params', 'batch_stats', …}.
    backbone: of its backbone, e.g. of shipped weights.

  Returns:
    Like `variables`; the adaptors stay.

  Raises:
    ValueError: the backbone is another, or of another size.
  """
  mine = plain(variables)
  shapes = [
    {
      jax.tree_util.keystr(path): jnp.shape(leaf)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    for tree in (mine, backbone)
  ]
  if shapes[0] != shapes[1]:
    name = min(dict(shapes[0].items() ^ shapes[1].items()))
    raise ValueError(
      f'{name} is {shapes[1].get(name, "missing")} in the trained backbone and '
      f'{shapes[0].get(name, "missing")} here: give weights of this backbone'
    )
  return {
    name: {**collection, 'network': backbone[name]}
    if name in backbone
    else collection
    for name, collection in variables.items()
  }


def select(model, variables, until, *, input_shape):
  """The network that ends at one exit, and the variables that it reads.

  Args:
    model: `ExitNetwork`.
    variables: {'params', 'batch_stats', …} of the whole network.
    until: number of the exit, 1 to L.
    input_shape: (h, w, c) of a prepared image.

  Returns:
    (module with the contract of a backbone: images → float32 [B, D]; its
    variables, which lack the later stages and the other adaptors).

  Raises:
    ValueError: there is no such exit.
  """
  model = model.clone(until=until)
  images = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
  read = jax.eval_shape(
    lambda images: model.init(
      {'params': jax.random.key(0), 'dropout': jax.random.key(0)},
      images,
      train=False,
    ),
    images,
  )
  return model, _pruned(variables, read)


def _pruned(tree, wanted):
  if not isinstance(wanted, dict):
    return tree
  return {name: _pruned(tree[name], wanted[name]) for name in wanted}
