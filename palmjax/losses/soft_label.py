"""Soft labels and the second loss of semi-supervised training.

  q = softmax(z₁ / T)                     the first network's label of an image
  L₂ = Σ_b w_b (-Σ_k q_bk log softmax(z₂)_bk) / Σ_b w_b

with q one-hot and w = 1 for labelled images, and w = λ times a confidence for
generated ones. Up to the entropy of q, which no parameter moves, a sample's
term is the Kullback-Leibler divergence KL(q ‖ softmax(z₂)).

Dividing by Σ w is our choice. CN111860424A gives no formula; its plain mean
would divide by the number B + G of all images, whatever λ. Both are equal
where all w are 1. Else ours is the plain mean times (B + G) / Σ w: λ sets the
share of the generated images and leaves the size of the loss, and thus the
step that a learning rate makes, alone; at λ = 0 it is exactly the first loss,
where the plain mean would be B / (B + G) of it. `plain_mean` takes the other.
"""

import chex
import jax
import jax.numpy as jnp
import optax


def soft_labels(logits, *, temperature=1.0):
  """Soft labels softmax(z / T) of logits; no gradient passes.

  Args:
    logits: float [B, K], without margin.
    temperature: T > 0; above 1 flatter.

  Returns:
    float [B, K], rows sum to 1.
  """
  chex.assert_rank(logits, 2)
  return jax.lax.stop_gradient(jax.nn.softmax(logits / temperature))


def confidence(soft):
  """1 - entropy / log K: 1 for one-hot, 0 for uniform: [B, K] → [B]."""
  chex.assert_rank(soft, 2)
  entropy = jnp.sum(jax.scipy.special.entr(soft), axis=-1)
  return 1.0 - entropy / jnp.log(soft.shape[-1])


def soft_cross_entropy(logits, soft):
  """Soft-label cross-entropy -Σ_k q_k log softmax(z)_k: [B, K] → [B]."""
  chex.assert_rank(logits, 2)
  chex.assert_equal_shape([logits, soft])
  return -jnp.sum(soft * jax.nn.log_softmax(logits), axis=-1)


def second_loss(
  logits,
  labels,
  generated_logits,
  soft,
  *,
  weight=1.0,
  confidences=None,
  plain_mean=False,
):
  """Loss of labelled images and softly labelled generated images.

  With `weight` 1 it is the mean over all B + G images; with 0 the mean over the
  B labelled ones, the first loss.

  Args:
    logits: float [B, K] of the labelled images.
    labels: int [B] in 0..K-1.
    generated_logits: float [G, K] of the generated images, without margin.
    soft: float [G, K], their soft labels.
    weight: λ of the generated images.
    confidences: float [G] ≥ 0, or None: 1 for every generated image.
    plain_mean: divide by B + G, not by the sum of weights (module docstring).

  Returns:
    The loss, the labelled images' part (their mean), the generated images' part
    (their mean, neither λ nor confidences applied): three scalars.
  """
  chex.assert_rank([logits, generated_logits], 2)
  chex.assert_shape(labels, (logits.shape[0],))
  chex.assert_equal_shape_suffix([logits, generated_logits], 1)
  hard_part = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  soft_part = soft_cross_entropy(generated_logits, soft)
  if confidences is None:
    confidences = jnp.ones_like(soft_part)
  chex.assert_equal_shape([confidences, soft_part])
  weights = weight * confidences
  total = jnp.sum(hard_part) + jnp.sum(weights * soft_part)
  count = soft_part.size if plain_mean else jnp.sum(weights)
  loss = total / (hard_part.size + count)
  return loss, jnp.mean(hard_part), jnp.mean(soft_part)
