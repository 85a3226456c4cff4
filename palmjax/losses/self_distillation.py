"""Self-distillation: the exits of one network teach each other.

  L      = L_cls + α L_sd1 + β L_sd2                                    claim 4b
  L_cls  = Σ_{l=1…L} mean_b CE(z_l, y)                                  claim 4c
  L_sd1  = Σ_{l=1…L} mean_b T² KL(sg(p_fuse) ‖ softmax(z_l / T))        claim 4d
           p_fuse = softmax(mean_l z_l / T)
  L_sd2  = Σ_{l=1…L−1} mean_b |e_l − sg(e_L)|²                          claim 4e

with logits z_l and embeddings e_l of exit l (`models.exits`), label y, and sg a
value that gets no gradient. L_sd1 is the "fused guidance", L_sd2 the
"one-to-many guidance" of CN114528937A. Its text gives the roles of the terms;
mean, KL, squared distance, T = 3, α = 0.3 and β = 0.03 are our choice.

Two differences from Be Your Own Teacher (arXiv:1905.08094), easy to get wrong:

* There the teacher of the logits is the deepest exit alone. Here it is the
  fusion of all exits.
* There the teacher guides the shallower exits. Here the fusion guides every
  exit, the last one, too.

Distances are means over samples. The authors' code takes the norm of the whole
batch, which changes with the number of images.

Embeddings are compared with their lengths, as the formula says, so L_sd2 grows
with the square of the length r of e_L. Embeddings of the shipped palm network
have r near 24. With fresh adaptors its L_sd2 was 1400, its L_cls 5. A β divided
by r² weighs the distance in units of the embedding.
"""

import chex
import jax
import jax.numpy as jnp

from palmjax.losses import distillation, metric, soft_label

# Weights of L_sd1 and L_sd2.
ALPHA, BETA = 0.3, 0.03


def loss(
  logits,
  embeddings,
  labels,
  *,
  label_logits=None,
  soft=None,
  has_soft=None,
  temperature=3.0,
  alpha=ALPHA,
  beta=BETA,
):
  """Self-distillation loss (claim 4b) and its terms.

  Args:
    logits: float [L, B, K] of the exits, without margin.
    embeddings: float [L, B, D] of the exits; the last one is the backbone's.
    labels, label_logits, soft, has_soft: see `classification`.
    temperature: T.
    alpha: α; 0: no fused guidance.
    beta: β; 0: no one-to-many guidance.

  Returns:
    (loss, {'classification', 'fused', 'one_to_many'}: terms, not weighted),
    float32 scalars.
  """
  terms = {
    'classification': classification(
      logits, labels, label_logits=label_logits, soft=soft, has_soft=has_soft
    ),
    'fused': fused_guidance(logits, temperature=temperature),
    'one_to_many': one_to_many_guidance(embeddings),
  }
  total = (
    terms['classification']
    + alpha * terms['fused']
    + beta * terms['one_to_many']
  )
  return total, terms


def classification(
  logits, labels, *, label_logits=None, soft=None, has_soft=None
):
  """L_cls: cross-entropy of every exit (claim 4c).

  A sample that the server's teacher labelled (claim 5c) has a distribution q
  and the term −Σ_k q_k log softmax(z_l)_k. Any other sample has an integer
  label, "determined" on the device (claim 5d).

  Args:
    logits: float [L, B, K], without margin.
    labels: int [B] in 0..K-1; they give no term where `has_soft`.
    label_logits: float [L, B, K] with the label's margin, for integer labels;
      None: `logits`.
    soft: float [B, K], or None; not read where not `has_soft`.
    has_soft: bool [B], or None together with `soft`.

  Returns:
    float32 scalar: the sum over exits of means over samples.
  """
  chex.assert_rank(logits, 3)
  if label_logits is None:
    label_logits = logits
  chex.assert_equal_shape([logits, label_logits])
  terms = jax.vmap(metric.cross_entropies, (0, None))(label_logits, labels)
  if soft is not None:
    chex.assert_shape(soft, logits.shape[1:])
    chex.assert_shape(has_soft, (logits.shape[1],))
    # What is not read may be anything: times zero, NaN would stay NaN.
    soft = jnp.where(has_soft[:, None], soft, 0.0)
    soft_terms = jax.vmap(soft_label.soft_cross_entropy, (0, None))(
      logits, soft
    )
    terms = jnp.where(has_soft, soft_terms, terms)
  return jnp.sum(jnp.mean(terms, axis=1))


def fused_guidance(logits, *, temperature=3.0):
  """L_sd1: the fusion of all exits guides each exit (claim 4d).

  Args:
    logits: float [L, B, K], without margin.
    temperature: T.

  Returns:
    float32 scalar.
  """
  chex.assert_rank(logits, 3)
  # Gets no gradient: `softened_divergence` stops it.
  fused = jnp.mean(logits, axis=0)
  divergences = jax.vmap(
    lambda mine: distillation.softened_divergence(
      fused, mine, temperature=temperature
    )
  )(logits)
  return jnp.sum(jnp.mean(divergences, axis=1))


def one_to_many_guidance(embeddings):
  """L_sd2: the last embedding guides those of all other exits (claim 4e).

  Args:
    embeddings: float [L, B, D].

  Returns:
    float32 scalar; 0 for one exit.
  """
  chex.assert_rank(embeddings, 3)
  last = jax.lax.stop_gradient(embeddings[-1])
  squares = jnp.sum(jnp.square(embeddings[:-1] - last), axis=-1)
  return jnp.sum(jnp.mean(squares, axis=1))
