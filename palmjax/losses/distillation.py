"""Distillation loss: a student learns from labels and from one teacher.

  L = CE(z_s, y) + λ_kd T² KL(softmax(z_t / T) ‖ softmax(z_s / T))
      + λ_f (1 − cos(F_s, F_t))

with logits z and embeddings F of student s and teacher t. Each term is a mean
over samples. CN114528937A says that the student comes from the distillation of
a pre-trained teacher on the server (claim 1a), and no formula. The second term
is that of arXiv:1503.02531; all three are our choice. The first term alone may
have the margin of a label in its logits.

No gradient reaches the teacher.
"""

import chex
import jax
import jax.numpy as jnp

from palmjax.losses import metric
from palmjax.ops import vectors


def loss(
  logits,
  embeddings,
  labels,
  teacher_logits,
  teacher_embeddings,
  *,
  label_logits=None,
  temperature=3.0,
  logits_weight=1.0,
  embeddings_weight=1.0,
):
  """Loss of one student network and its terms.

  Args:
    logits: float [B, K] of the student, without margin.
    embeddings: float [B, D] of the student, of any length.
    labels: int [B] in 0..K-1.
    teacher_logits: float [B, K], without margin.
    teacher_embeddings: float [B, D].
    label_logits: float [B, K] of the student with the label's margin, for the
      cross-entropy; None: `logits`.
    temperature: T.
    logits_weight: λ_kd.
    embeddings_weight: λ_f.

  Returns:
    (loss, {'classification', 'logits', 'embeddings'}: terms, not weighted),
    float32 scalars.

  Raises:
    ValueError: student and teacher differ in classes or embedding size.
  """
  terms = {
    'classification': metric.cross_entropy(
      logits if label_logits is None else label_logits, labels
    ),
    'logits': jnp.mean(
      softened_divergence(teacher_logits, logits, temperature=temperature)
    ),
    'embeddings': jnp.mean(cosine_distance(teacher_embeddings, embeddings)),
  }
  total = (
    terms['classification']
    + logits_weight * terms['logits']
    + embeddings_weight * terms['embeddings']
  )
  return total, terms


def softened_divergence(teacher_logits, logits, *, temperature=3.0):
  """T² KL(softmax(z_t / T) ‖ softmax(z / T)) of each sample.

  T² keeps the size of the gradient, which is T (softmax(z / T) − softmax(z_t /
  T)), near that of a cross-entropy.

  Args:
    teacher_logits: float [B, K]; they get no gradient.
    logits: float [B, K].
    temperature: T > 0.

  Returns:
    float32 [B].

  Raises:
    ValueError: the numbers of classes differ; T is not above 0.
  """
  chex.assert_rank([teacher_logits, logits], 2)
  _check_same(teacher_logits, logits, 'classes')
  check_temperature(temperature)
  target = jax.nn.log_softmax(
    jax.lax.stop_gradient(teacher_logits) / temperature
  )
  student = jax.nn.log_softmax(logits / temperature)
  divergence = jnp.sum(jnp.exp(target) * (target - student), axis=-1)
  return temperature**2 * divergence


def cosine_distance(teacher_embeddings, embeddings):
  """1 − cos(F, F_t) of each sample; the teacher gets no gradient.

  Args:
    teacher_embeddings, embeddings: float [B, D].

  Returns:
    float32 [B].

  Raises:
    ValueError: the embedding sizes differ.
  """
  chex.assert_rank([teacher_embeddings, embeddings], 2)
  _check_same(teacher_embeddings, embeddings, 'values in an embedding')
  target = vectors.unit(jax.lax.stop_gradient(teacher_embeddings))
  return 1.0 - jnp.sum(target * vectors.unit(embeddings), axis=-1)


def check_temperature(temperature):
  """Raises ValueError unless T > 0."""
  if not temperature > 0:
    raise ValueError(f'temperature={temperature}: give a number above 0')


def _check_same(teachers, mine, what):
  if teachers.shape[-1] != mine.shape[-1]:
    raise ValueError(
      f'the teacher has {teachers.shape[-1]} {what}, the student '
      f'{mine.shape[-1]}: train both with the same number'
    )
  chex.assert_equal_shape([teachers, mine])
