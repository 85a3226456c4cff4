"""Metric learning: logits over identities, and their cross-entropy.

A head is a matrix [K, D] of class weights w_j, without bias. Every family of
logits has the signature `f(embeddings, head, labels)`, so that one can stand in
for another; `labels=None` asks for logits without margin, for prediction and
for soft labels.

  softmax      e · w_j
  normalised   s cos θ_j,  cos θ_j = e · w_j / (|e| |w_j|)
  ArcFace      s cos(θ_y + m) for the label, s cos θ_j for the others
               (arXiv:1801.07698, eq. 3)
  CosFace      s (cos θ_y - m) for the label (arXiv:1801.09414, eq. 4)
  AdaFace      s (cos(θ_y - m ẑ) - (m ẑ + m)) for the label, ẑ in [-1, 1] the
               quality of the image, seen in |e| (arXiv:2204.00964, eq. 10)

The loss fixes what embeddings are compared by: `comparison`.
"""

import math

import chex
import jax
import jax.numpy as jnp
import optax

from palmjax.ops import vectors

# Cosines stop short of ±1, where the angle has no derivative.
_LARGEST_COSINE = 1.0 - 1e-7

# Norms of embeddings before the first batch, as AdaFace's authors begin.
NORM_MEAN, NORM_STD = 20.0, 100.0
_NORM_RANGE = 1e-3, 100.0
# AdaFace's own distance from the ends of cosines and angles.
_ADAFACE_EPSILON = 1e-3

_COMPARISON = {
  'softmax': 'cosine',
  'normalised': 'cosine',
  'arcface': 'cosine',
  'cosface': 'cosine',
  'adaface': 'cosine',
  'triplet': 'euclidean',
  'cosine_triplet': 'cosine',
}


def softmax_logits(embeddings, head, labels=None):
  """Softmax logits: inner products e · w_j of embeddings and class weights.

  Args:
    embeddings: float [B, D].
    head: float [K, D].
    labels: not used, there is no margin.

  Returns:
    float [B, K].
  """
  del labels
  return vectors.products(embeddings, head)


def normalised_logits(embeddings, head, labels=None, *, scale=64.0):
  """Normalised softmax logits s cos θ_j; shapes as in `softmax_logits`."""
  del labels
  return scale * vectors.cosines(embeddings, head)


def arcface_logits(embeddings, head, labels, *, margin=0.5, scale=64.0):
  """ArcFace logits: s cos(θ + m) for the label, else s cos θ.

  Args:
    embeddings: float [B, D].
    head: float [K, D].
    labels: int [B] in 0..K-1, or None: no margin.
    margin: m in radians, in [0, π).
    scale: s.

  Returns:
    float [B, K].
  """
  cosine = vectors.cosines(embeddings, head)
  if labels is None:
    return scale * cosine
  target = add_angle(_of_labels(cosine, labels), margin)
  return scale * _replace(cosine, labels, target)


def add_angle(cosine, margin):
  """Adds a margin to an angle: cos(θ + m) of cos θ, of any shape.

  Past θ = π - m, where cos(θ + m) would rise again, it goes on as
  cos θ - m sin m, so that it falls with θ everywhere.
  """
  cosine = jnp.clip(cosine, -_LARGEST_COSINE, _LARGEST_COSINE)
  sine = jnp.sqrt((1.0 - cosine) * (1.0 + cosine))
  moved = cosine * math.cos(margin) - sine * math.sin(margin)
  beyond = cosine <= math.cos(math.pi - margin)
  return jnp.where(beyond, cosine - margin * math.sin(margin), moved)


def cosface_logits(embeddings, head, labels, *, margin=0.4, scale=64.0):
  """CosFace logits: s (cos θ - m) for the label, else s cos θ.

  Args:
    embeddings: float [B, D].
    head: float [K, D].
    labels: int [B] in 0..K-1, or None: no margin.
    margin: m, a difference of cosines.
    scale: s.

  Returns:
    float [B, K].
  """
  cosine = vectors.cosines(embeddings, head)
  if labels is None:
    return scale * cosine
  target = _of_labels(cosine, labels) - margin
  return scale * _replace(cosine, labels, target)


def adaface_logits(
  embeddings,
  head,
  labels,
  *,
  norm_mean,
  norm_std,
  margin=0.4,
  scale=64.0,
  concentration=0.333,
):
  """AdaFace logits with a margin from the norms (arXiv:2204.00964).

  ẑ = clip(h (|e| - μ) / (σ + 1e-3), -1, 1), without gradient. An embedding of
  usual length gets CosFace's margin; a long one up to cos(θ - m) - 2m, which
  trains hard samples more; a short one down to cos(θ + m), which lets them go.
  The moved angle is held to [1e-3, π - 1e-3]; beyond, as in the authors' code,
  the label's logit does not change and gives no gradient.

  Args:
    embeddings: float [B, D].
    head: float [K, D].
    labels: int [B] in 0..K-1, or None: no margin.
    norm_mean: float scalar, μ of `update_norm_statistics`.
    norm_std: float scalar, σ of the same.
    margin: m.
    scale: s.
    concentration: h.

  Returns:
    float [B, K].
  """
  cosine = vectors.cosines(embeddings, head)
  if labels is None:
    return scale * cosine
  norms = _norms(embeddings)
  quality = concentration * (norms - norm_mean) / (norm_std + _ADAFACE_EPSILON)
  quality = jax.lax.stop_gradient(jnp.clip(quality, -1.0, 1.0))
  largest = 1.0 - _ADAFACE_EPSILON
  angle = jnp.arccos(jnp.clip(_of_labels(cosine, labels), -largest, largest))
  moved = jnp.clip(
    angle - margin * quality, _ADAFACE_EPSILON, math.pi - _ADAFACE_EPSILON
  )
  target = jnp.cos(moved) - (margin * quality + margin)
  return scale * _replace(cosine, labels, target)


def update_norm_statistics(embeddings, norm_mean, norm_std, *, t_alpha=0.01):
  """Running mean and deviation of embedding norms, for `adaface_logits`.

  They begin as `NORM_MEAN` and `NORM_STD`; a batch counts in the statistics
  that its own logits use. No gradient passes.

  Args:
    embeddings: float [B, D], not normalised.
    norm_mean: float scalar, so far.
    norm_std: float scalar, so far.
    t_alpha: share of the present batch in the new values.

  Returns:
    The new mean, the new standard deviation: two float32 scalars.
  """
  chex.assert_rank([embeddings, norm_mean, norm_std], [2, 0, 0])
  norms = _norms(embeddings)
  mean = jnp.mean(norms)
  # Of a sample, hence B - 1; a single image has no deviation.
  square = jnp.sum(jnp.square(norms - mean))
  std = jnp.sqrt(square / max(norms.size - 1, 1))
  return tuple(
    t_alpha * new + (1.0 - t_alpha) * jax.lax.stop_gradient(old)
    for new, old in ((mean, norm_mean), (std, norm_std))
  )


def label_cosines(embeddings, head, labels):
  """Cosine of each embedding and the weights of its class: [B, D] → [B]."""
  chex.assert_rank([embeddings, head], 2)
  chex.assert_shape(labels, (embeddings.shape[0],))
  return jnp.sum(vectors.unit(embeddings) * vectors.unit(head[labels]), axis=-1)


def cross_entropies(logits, labels):
  """Cross-entropy of each sample: logits [B, K], labels int [B] → [B]."""
  chex.assert_rank(logits, 2)
  chex.assert_shape(labels, (logits.shape[0],))
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def cross_entropy(logits, labels):
  """Mean cross-entropy of logits [B, K] and labels int [B]: scalar."""
  return cross_entropies(logits, labels).mean()


def comparison(loss):
  """Comparison ('cosine' or 'euclidean') that fits the training loss.

  Of staged losses ask for the last. On unit vectors both rank alike, and
  `ops.vectors.euclidean_of_cosine` converts thresholds.

  Args:
    loss: name of a family of logits, 'triplet' (squared Euclidean distances) or
      'cosine_triplet'.

  Returns:
    'cosine' or 'euclidean'.

  Raises:
    ValueError: no such loss.
  """
  if loss not in _COMPARISON:
    raise ValueError(
      f'no loss is called {loss!r}: choose one of {", ".join(_COMPARISON)}'
    )
  return _COMPARISON[loss]


def _norms(embeddings):
  # Stopped before the root, whose derivative at zero is not finite.
  square = jnp.sum(jnp.square(jax.lax.stop_gradient(embeddings)), axis=-1)
  return jnp.clip(jnp.sqrt(square), *_NORM_RANGE)


def _of_labels(cosine, labels):
  chex.assert_shape(labels, (cosine.shape[0],))
  return jnp.take_along_axis(cosine, labels[:, None], axis=-1)[:, 0]


def _replace(cosine, labels, target):
  is_label = jnp.arange(cosine.shape[1]) == labels[:, None]
  return jnp.where(is_label, target[:, None], cosine)
