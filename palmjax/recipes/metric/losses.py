"""Losses by name: what `--config.loss.name` may be.

Several names with '+' between are stages, each from its boundary on.
"""

import jax.numpy as jnp

from palmjax.losses import metric, staged, triplet

# Losses whose gradient needs several images of an identity in a batch.
_OF_TRIPLETS = ('triplet', 'semi_hard', 'mixed')
# Of these, the ones that know no head.
_WITHOUT_HEAD = ('triplet', 'semi_hard')
_STAGES = '+'
# Name → distances of triplets, and what embeddings are then compared by.
_DISTANCES = {
  'squared': (triplet.squared_euclidean, 'triplet'),
  'cosine': (triplet.cosine_distances, 'cosine_triplet'),
}


def losses(config):
  """Arguments of `steps.metric.make_step`, from the section `loss`.

  Args:
    config: {'name', 'margin', 'scale', 'triplet_distance', 'triplet_margin',
      'hard_share', 'boundaries', 'blend_steps'}.

  Returns:
    {'losses': {name: function}, 'boundaries': ints, 'blend_steps': int}.

  Raises:
    ValueError: an unknown name or distance, or boundaries that do not fit the
      stages.
  """
  names = config['name'].split(_STAGES)
  if config['triplet_distance'] not in _DISTANCES:
    raise ValueError(
      f'--config.loss.triplet_distance={config["triplet_distance"]}: choose '
      f'one of {", ".join(_DISTANCES)}'
    )
  if len(set(names)) < len(names):
    raise ValueError(
      f'--config.loss.name={config["name"]}: name every stage once'
    )
  boundaries = tuple(config['boundaries']) if len(names) > 1 else ()
  if len(boundaries) != len(names) - 1:
    raise ValueError(
      f'--config.loss.name={config["name"]} has {len(names)} stages: give '
      f'{len(names) - 1} steps in --config.loss.boundaries, not '
      f'{len(boundaries)}'
    )
  staged.stage_weights(
    jnp.int32(0), boundaries, blend_steps=config['blend_steps']
  )
  return {
    'losses': {name: _loss(name, config) for name in names},
    'boundaries': boundaries,
    'blend_steps': config['blend_steps'],
  }


def comparison(config):
  """'cosine' or 'euclidean': how the last stage compares two embeddings."""
  last = config['name'].split(_STAGES)[-1]
  if last in _WITHOUT_HEAD:
    _, last = _DISTANCES[config['triplet_distance']]
  return metric.comparison('arcface' if last == 'mixed' else last)


def needs_triplets(config):
  """Whether a stage compares images of one batch with each other."""
  return any(name in _OF_TRIPLETS for name in config['name'].split(_STAGES))


def trains_head(config):
  """Whether a stage compares images with the class weights."""
  return any(
    name not in _WITHOUT_HEAD for name in config['name'].split(_STAGES)
  )


def margin(config):
  """The margin of a loss that can do with some of the class weights.

  Args:
    config: as for `losses`.

  Returns:
    f: the cosine of the label → the one that is trained on, of any shape.

  Raises:
    ValueError: the loss has stages, or needs all class weights.
  """
  name, size = config['name'], config['margin']
  margins = {
    'normalised': lambda cosine: cosine,
    'arcface': lambda cosine: metric.add_angle(cosine, size),
    'cosface': lambda cosine: cosine - size,
  }
  if name not in margins:
    raise ValueError(
      f'--config.loss.name={name} needs all classes on each device: choose '
      f'{" or ".join(margins)}, or class_shards=1 and class_share=1'
    )
  return margins[name]


def _loss(name, config):
  """(embeddings [B, D], head [K, D], labels [B], norms) → scalar."""
  margin, scale = config['margin'], config['scale']

  def normalised(embeddings, head, labels, norms):
    del norms
    logits = metric.normalised_logits(embeddings, head, scale=scale)
    return metric.cross_entropy(logits, labels)

  def softmax(embeddings, head, labels, norms):
    del norms
    return metric.cross_entropy(metric.softmax_logits(embeddings, head), labels)

  def arcface_each(embeddings, head, labels):
    logits = metric.arcface_logits(
      embeddings, head, labels, margin=margin, scale=scale
    )
    return metric.cross_entropies(logits, labels)

  def arcface(embeddings, head, labels, norms):
    del norms
    return jnp.mean(arcface_each(embeddings, head, labels))

  def cosface(embeddings, head, labels, norms):
    del norms
    logits = metric.cosface_logits(
      embeddings, head, labels, margin=margin, scale=scale
    )
    return metric.cross_entropy(logits, labels)

  def adaface(embeddings, head, labels, norms):
    logits = metric.adaface_logits(
      embeddings,
      head,
      labels,
      norm_mean=norms['mean'],
      norm_std=norms['std'],
      margin=margin,
      scale=scale,
    )
    return metric.cross_entropy(logits, labels)

  def batch_hard(embeddings, head, labels, norms):
    del head, norms
    return triplet.mean(_triplets(triplet.batch_hard, embeddings, labels))

  def semi_hard(embeddings, head, labels, norms):
    del head, norms
    return triplet.mean(_triplets(triplet.semi_hard, embeddings, labels))

  def mixed(embeddings, head, labels, norms):
    del norms
    cosines = metric.label_cosines(embeddings, head, labels)
    losses = staged.mix(
      arcface_each(embeddings, head, labels),
      staged.hardest(cosines, config['hard_share']),
      _triplets(triplet.batch_hard, embeddings, labels).losses,
      # Both terms fall by about s times the change of a cosine.
      weight=scale,
    )
    return jnp.mean(losses)

  def _triplets(mine, embeddings, labels):
    distances, _ = _DISTANCES[config['triplet_distance']]
    return mine(distances(embeddings), labels, margin=config['triplet_margin'])

  known = {
    'softmax': softmax,
    'normalised': normalised,
    'arcface': arcface,
    'cosface': cosface,
    'adaface': adaface,
    'triplet': batch_hard,
    'semi_hard': semi_hard,
    'mixed': mixed,
  }
  if name not in known:
    raise ValueError(
      f'--config.loss.name={name}: choose one of {", ".join(known)}, or '
      "several with '+' between"
    )
  return known[name]
