"""Metric learning: logits over identities, and their cross-entropy.

A head is a matrix [K, D] of class weights w_j, without bias. Every family of
logits has the signature `f(embeddings, head, labels)`, so that one can stand in
for another; `labels=None` asks for logits without margin, for prediction and
for soft labels.

  softmax      e · w_j
  normalised   s cos θ_j,  cos θ_j = e · w_j / (|e| |w_j|)
  ArcFace      s cos(θ_y + m) for the label, s cos θ_j for the others
               (arXiv:1801.07698, eq. 3)
"""

import math

import chex
import jax
import jax.numpy as jnp
import optax

# Cosines stop short of ±1, where the angle has no derivative.
_LARGEST_COSINE = 1.0 - 1e-7
# Shorter vectors are divided by this length: a finite derivative at zero.
_SHORTEST = 1e-4


def unit(vectors):
  """Scales vectors [..., D] to unit L2 norm; zero stays zero."""
  square = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
  return vectors * jax.lax.rsqrt(jnp.maximum(square, _SHORTEST**2))


def cosines(embeddings, head):
  """Cosines of embeddings [B, D] and class weights [K, D]: [B, K]."""
  return softmax_logits(unit(embeddings), unit(head))


def softmax_logits(embeddings, head, labels=None):
  """Inner products e · w_j.

  Args:
    embeddings: float [B, D].
    head: float [K, D].
    labels: not used, there is no margin.

  Returns:
    float [B, K].
  """
  del labels
  chex.assert_rank([embeddings, head], 2)
  chex.assert_equal_shape_suffix([embeddings, head], 1)
  # Accelerators would round to bfloat16: too coarse for a cosine scaled by 64.
  return jnp.matmul(embeddings, head.T, precision=jax.lax.Precision.HIGHEST)


def normalised_logits(embeddings, head, labels=None, *, scale=64.0):
  """s cos θ_j, the normalised softmax; shapes as in `softmax_logits`."""
  del labels
  return scale * cosines(embeddings, head)


def arcface_logits(
  embeddings, head, labels, *, margin=0.5, scale=64.0, straight_through=False
):
  """s cos(θ + m) for the label, s cos θ for the others (arXiv:1801.07698).

  Args:
    embeddings: float [B, D].
    head: float [K, D].
    labels: int [B] in 0..K-1, or None: no margin.
    margin: m in radians, in [0, π).
    scale: s.
    straight_through: take d cos(θ + m) / d cos θ for 1, as some public trainers
      do, instead of sin(θ + m) / sin θ. The values are the same.

  Returns:
    float [B, K].
  """
  cosine = cosines(embeddings, head)
  if labels is None:
    return scale * cosine
  chex.assert_shape(labels, (embeddings.shape[0],))
  label_cosine = jnp.take_along_axis(cosine, labels[:, None], axis=-1)
  target = add_angle(label_cosine, margin)
  if straight_through:
    target = label_cosine + jax.lax.stop_gradient(target - label_cosine)
  is_label = jnp.arange(head.shape[0]) == labels[:, None]
  return scale * jnp.where(is_label, target, cosine)


def add_angle(cosine, margin):
  """cos(θ + m) of cos θ, of any shape.

  Past θ = π - m, where cos(θ + m) would rise again, it goes on as
  cos θ - m sin m, so that it falls with θ everywhere.
  """
  cosine = jnp.clip(cosine, -_LARGEST_COSINE, _LARGEST_COSINE)
  sine = jnp.sqrt((1.0 - cosine) * (1.0 + cosine))
  moved = cosine * math.cos(margin) - sine * math.sin(margin)
  beyond = cosine <= math.cos(math.pi - margin)
  return jnp.where(beyond, cosine - margin * math.sin(margin), moved)


def cross_entropy(logits, labels):
  """Mean cross-entropy of logits [B, K] and labels int [B]: scalar."""
  chex.assert_rank(logits, 2)
  chex.assert_shape(labels, (logits.shape[0],))
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
