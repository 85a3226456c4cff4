"""Server distillation: a student with exits learns from a teacher (claim 1a).

  L = L_cls + λ_kd T² KL(teacher ‖ student) + λ_f (1 − cos(F_s, F_t))

with L_cls the sum of the cross-entropies of all exits and the other terms, of
`losses.distillation`, for the last exit (CN114528937A, steps S1 to S3: the
server trains the teacher, distils it into the student and ships the student).
The exits before the last one learn from labels alone, so that the device begins
with exits that know something.

A teacher can embed palms that nobody labelled. With such palms in the batch the
last term is a mean over these, too.

Parameters are {'backbone': of the `models.exits.ExitNetwork`, 'head': W [L, K,
D]}. `classify.create_state` makes the state. The teacher is an argument: it is
in no optimiser and in no checkpoint of the student.
"""

import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.losses import distillation, self_distillation
from palmjax.models import forward
from palmjax.steps import classify, self_distill

# Every use folds its own constant into the key of the clock.
_AUGMENT, _DROPOUT = range(2)


def make_step(
  model,
  tx,
  *,
  teacher,
  teacher_logits_fn,
  teacher_preprocess,
  logits_fn,
  preprocess,
  augment,
  temperature=3.0,
  logits_weight=1.0,
  embeddings_weight=1.0,
):
  """One update of the student. Differentiates: its backbone and its head.

  Args:
    model: student, `models.exits.ExitNetwork`, all exits.
    tx: optax transformation.
    teacher: embedding network with the student's embedding size.
    teacher_logits_fn: as `logits_fn`, of the teacher; asked without labels.
    teacher_preprocess: as `preprocess`, of the teacher.
    logits_fn: (embeddings [B, D], head [K, D], labels [B] or None) → logits
      [B, K]; None asks for those without margin (`losses.metric`).
    preprocess: float [B, H, W, 3] in [-1, 1] → input of the student.
    augment: (key, float [B, H, W, 3]) → the same shape; teacher and student
      see the same images.
    temperature, logits_weight, embeddings_weight: see `losses.distillation`.

  Returns:
    step(state, frozen, batch, key) → (state, metrics); frozen {'teacher':
    {'params': {'backbone', 'head': [K, D]}, 'batch_stats', …}}, batch {'image':
    [B, H, W, 3], uint8 or float in [-1, 1], 'label': int32 [B]} and, without
    labels, 'unlabelled': [U, H, W, 3] like 'image'.
    'loss/classification' is L_cls, 'loss/logits' and 'loss/embeddings' the
    other terms without weights; 'accuracy/teacher' is that of the teacher.
  """

  def step(state, frozen, batch, key):
    key = jax.random.fold_in(key, state.step)
    images = self_distill.float_images(batch['image'])
    if 'unlabelled' in batch:
      more = self_distill.float_images(batch['unlabelled'])
      images = jnp.concatenate([images, more])
    images = augment(jax.random.fold_in(key, _AUGMENT), images)
    inputs, labels = preprocess(images), batch['label']
    labelled = slice(len(labels))
    stats = dict(frozen['teacher'])
    params = stats.pop('params')
    teacher_embeddings = forward.apply_eval(
      teacher, params['backbone'], stats, teacher_preprocess(images)
    )
    teacher_logits = teacher_logits_fn(
      teacher_embeddings[labelled], params['head'], None
    )

    def loss_fn(params):
      embeddings, stats = forward.apply_train(
        model,
        params['backbone'],
        state.stats,
        inputs,
        jax.random.fold_in(key, _DROPOUT),
      )
      head, of_labels = params['head'], embeddings[:, labelled]
      logits = self_distill.exit_logits(logits_fn, of_labels, head, None)
      label_logits = self_distill.exit_logits(
        logits_fn, of_labels, head, labels
      )
      # The cross-entropy of the last exit is a part of this loss.
      loss, terms = distillation.loss(
        logits[-1],
        embeddings[-1],
        labels,
        teacher_logits,
        teacher_embeddings,
        label_logits=label_logits[-1],
        temperature=temperature,
        logits_weight=logits_weight,
        embeddings_weight=embeddings_weight,
      )
      early = self_distillation.classification(label_logits[:-1], labels)
      loss += early
      terms['classification'] += early
      metrics = {
        'loss': loss,
        **{f'loss/{name}': value for name, value in terms.items()},
        **self_distill.accuracies(logits, labels),
        'accuracy/teacher': classify.agreement(teacher_logits, labels),
        'embedding_norm': classify.mean_norm(embeddings[-1]),
      }
      return loss, (stats, metrics)

    return train_state.descend(state, tx, loss_fn)

  return step
