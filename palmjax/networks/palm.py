"""A trained palm network as a function: images → embeddings, or logits."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from palmjax import json_values
from palmjax.images import preprocess
from palmjax.models import backbones, batch_norm, exits, forward
from palmjax.networks import compiled, described, variables
from palmjax.networks import export as exports
from palmjax.ops import chunks, pixels, vectors

# What model.json may say of a palm network.
_MODEL = {
  'name': json_values.TEXT,
  'embedding_size': json_values.whole(1),
  'width': described.FACTOR,
  'dtype': described.DTYPE,
  'attention': json_values.FLAG,
  'loss': json_values.TEXT,
  'margin': json_values.optional(json_values.number()),
  'scale': json_values.optional(json_values.between(0, math.inf)),
  # Which exit is used, of a network that has several.
  'exit': json_values.optional(json_values.whole(1)),
  **described.OF_TRAINING,
}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PalmNetwork:
  """A trained network with the pre-processing that it was trained with.

  Attributes:
    model: the flax module; of a network with exits, up to the one that is used.
    params: {'backbone': …, 'head': [K, D], which shipped weights lack}, of that
      exit.
    stats: every other collection, by name.
    preprocess: `Preprocess`, the function that training used.
    description: `model` of the export: architecture, sizes, loss.
    digests: of the export's files (`networks.export`).
  """

  model: Any
  params: dict[str, Any]
  stats: dict[str, Any]
  preprocess: preprocess.Preprocess
  description: dict[str, Any]
  digests: dict[str, str]

  @property
  def embedding_size(self):
    """Length D of an embedding."""
    return self.description['embedding_size']

  @property
  def num_params(self):
    """Number of parameters of the backbone."""
    return sum(leaf.size for leaf in jax.tree.leaves(self.params['backbone']))

  def embed(self, images):
    """Embeds images uint8 [N, H, W, 3]: float32 [N, D], unit norm."""
    return chunks.apply(
      functools.partial(self._embed, self.params, self.stats), images
    )

  def classify(self, images):
    """Class logits of images, without margin: float32 [N, K].

    Raises:
      ValueError: the network was exported without class weights, or trained by
        a loss that has no logits.
    """
    return chunks.apply(
      functools.partial(self._classify, self.params, self.stats), images
    )

  @functools.cached_property
  def _embed(self):
    return compiled.network(
      make_embedder(self.model, self.preprocess.apply),
      'embed',
      self.model,
      self.preprocess,
    )

  @functools.cached_property
  def _classify(self):
    if 'head' not in self.params:
      raise ValueError(
        'the network has no class weights: its export holds the backbone alone'
      )
    return compiled.network(
      make_classifier(
        self.model,
        self.preprocess.apply,
        logits_fn=free_logits(self.description),
      ),
      'classify',
      self.model,
      self.preprocess,
      self.description,
    )


def build(description):
  """Builds the backbone that an export or a config section describes.

  Args:
    description: {'name', 'embedding_size', 'width', 'dtype', 'attention'}; with
      'exit', the network that ends there.

  Returns:
    A flax module, images → embeddings.

  Raises:
    ValueError: no such backbone, or no such exit of it.
  """
  network = backbones.build(
    description['name'],
    embedding_size=description['embedding_size'],
    width=description['width'],
    dtype=jnp.dtype(description['dtype']),
    attention=description['attention'],
    batch_norm_momentum=batch_norm.momentum_of(description),
  )
  if 'exit' not in description:
    return network
  exits.require(description['exit'], network)
  return exits.ExitNetwork(network, until=description['exit'])


def load(directory):
  """Reads the export of a palm network.

  Args:
    directory: export folder.

  Returns:
    `PalmNetwork`.

  Raises:
    ValueError, OSError: the export is damaged or incomplete, or of another
      kind of network.
  """
  return of_export(exports.load(directory), directory)


def of_export(export, directory, *, number=None):
  """`load` of an `Export` that was read already; raises as `load`.

  Args:
    export: `Export`.
    directory: where it came from, for the messages.
    number: of the exit to use, in place of that of the export.
  """
  network = whole(export, directory)
  if 'exit' not in export.model:
    return network
  return at_exit(network, export.model['exit'] if number is None else number)


def at_exit(network, number):
  """The network that ends at one exit.

  Args:
    network: of `whole`, with exits.
    number: of the exit, from 1 on.

  Returns:
    `PalmNetwork` without what comes later.

  Raises:
    ValueError: there is no such exit.
  """
  params = dict(network.params)
  model, read = exits.select(
    network.model,
    {**network.stats, 'params': params['backbone']},
    number,
    input_shape=network.preprocess.shape,
  )
  params['backbone'] = read.pop('params')
  if 'head' in params:
    params['head'] = params['head'][number - 1]
  return dataclasses.replace(
    network,
    model=model,
    params=params,
    stats=read,
    description={**network.description, 'exit': number},
  )


def whole(export, directory):
  """A network with all of its exits, to be trained on.

  Args:
    export: `Export`.
    directory: where it came from, for the messages.

  Returns:
    `PalmNetwork`, as `load` gives it where the export has no exits. Else its
    module gives [L, B, D], its 'head' is [L, K, D], and it cannot embed.

  Raises:
    ValueError: as `load`.
  """
  exports.require_kind(export, 'palm network', directory)
  model = described.build(export, _MODEL, build, directory)
  if 'exit' in export.model:
    model = model.clone(until=None)
  spec = described.read_input(export, preprocess.Preprocess, directory)
  stats = variables.load(
    export,
    variables.of_images(model, spec.shape),
    directory,
    backbone='backbone',
  )
  return PalmNetwork(
    model=model,
    params=stats.pop('params'),
    stats=stats,
    preprocess=spec,
    description=export.model,
    digests=export.digests,
  )


def free_logits(description):
  """Returns the logits function of a loss, without its margin.

  Args:
    description: of an export: {'loss', 'scale', …}.

  Returns:
    f(embeddings [B, D], head [K, D], None) → float [B, K].

  Raises:
    ValueError: the loss compares images with each other and has no logits.
  """
  loss = description['loss']
  if loss == 'softmax':
    return lambda embeddings, head, labels: vectors.products(embeddings, head)
  if loss in _SCALED:
    if 'scale' not in description:
      raise ValueError(
        f'the export of this {loss} network does not tell its scale, so its '
        'logits are not known: train it again with this version'
      )
    scale = description['scale']
    return lambda embeddings, head, labels: (
      scale * vectors.cosines(embeddings, head)
    )
  raise ValueError(
    f'a network trained by {loss} has no logits to classify with: train by '
    f'softmax or one of {", ".join(_SCALED)}'
  )


# Losses whose logits are s cos θ but for the margin of the label.
_SCALED = ('arcface', 'cosface', 'adaface', 'normalised')


def make_embedder(model, preprocess):
  """Builds embed(params, stats, images uint8 [B, H, W, 3]) → unit [B, D].

  Pure; for evaluation and for use: running statistics, params['backbone'] only.
  """

  def embed(params, stats, images):
    return vectors.unit(_embed(model, preprocess, params, stats, images))

  return embed


def make_classifier(model, preprocess, *, logits_fn):
  """Builds classify(params, stats, images uint8 [B, H, W, 3]) → logits [B, K].

  Pure, with running statistics. `logits_fn` must be that of the training; it is
  asked for logits without margin.
  """

  def classify(params, stats, images):
    embeddings = _embed(model, preprocess, params, stats, images)
    return logits_fn(embeddings, params['head'], None)

  return classify


def _embed(model, preprocess, params, stats, images):
  inputs = preprocess(pixels.to_float(images))
  return forward.apply_eval(model, params['backbone'], stats, inputs)
