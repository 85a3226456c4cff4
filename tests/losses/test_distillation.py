"""Server distillation: a NumPy twin, and who gets gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import distillation

T, BATCH, CLASSES, SIZE = 3.0, 5, 4, 6
LABELS = np.array([3, 0, 1, 1, 2])
# Compiled once; operation by operation takes longer.
_loss = jax.jit(distillation.loss)
_divergence = jax.jit(
  distillation.softened_divergence, static_argnames='temperature'
)


def random(*shape, seed):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def log_softmax(x):
  x = np.asarray(x, np.float64)
  x = x - x.max(axis=-1, keepdims=True)
  return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


@pytest.fixture
def outputs():
  """Logits and embeddings of the student, then of the teacher."""
  return (
    3 * random(BATCH, CLASSES, seed=0),
    random(BATCH, SIZE, seed=1),
    3 * random(BATCH, CLASSES, seed=2),
    random(BATCH, SIZE, seed=3),
  )


def loss(logits, embeddings, teacher_logits, teacher_embeddings, **options):
  labels = options.pop('labels', LABELS)
  return _loss(
    *(logits, embeddings, labels, teacher_logits, teacher_embeddings),
    **options,
  )


def reference(logits, embeddings, teacher_logits, teacher_embeddings):
  """The three terms, sample by sample in float64."""
  terms = {'classification': 0.0, 'logits': 0.0, 'embeddings': 0.0}
  for b in range(BATCH):
    terms['classification'] -= log_softmax(logits[b])[LABELS[b]]
    p, q = log_softmax(teacher_logits[b] / T), log_softmax(logits[b] / T)
    terms['logits'] += T**2 * np.sum(np.exp(p) * (p - q))
    f, t = (
      x[b].astype(np.float64) / np.linalg.norm(x[b])
      for x in (embeddings, teacher_embeddings)
    )
    terms['embeddings'] += 1 - f @ t
  return {name: value / BATCH for name, value in terms.items()}


def test_equals_numpy(outputs):
  got, terms = loss(*outputs, logits_weight=0.5, embeddings_weight=2.0)
  want = reference(*outputs)
  assert terms.keys() == want.keys()
  for name, value in want.items():
    np.testing.assert_allclose(terms[name], value, rtol=1e-5, err_msg=name)
  total = want['classification'] + 0.5 * want['logits'] + 2 * want['embeddings']
  np.testing.assert_allclose(got, total, rtol=1e-5)


def test_gradients_reach_the_student_alone(outputs):
  gradients = jax.jit(jax.grad(lambda *a: loss(*a)[0], argnums=(0, 1, 2, 3)))(
    *outputs
  )
  logits, _, teacher_logits, _ = outputs
  one_hot = np.eye(CLASSES)[LABELS]
  want = (
    np.exp(log_softmax(logits))
    - one_hot
    + T
    * (
      np.exp(log_softmax(logits / T)) - np.exp(log_softmax(teacher_logits / T))
    )
  ) / BATCH
  np.testing.assert_allclose(gradients[0], want, atol=1e-6)
  assert np.all(np.any(gradients[1], axis=1))
  assert not np.any(gradients[2])
  assert not np.any(gradients[3])


def test_margin_goes_to_the_label_alone(outputs):
  _, free = loss(*outputs)
  harder = outputs[0] - 2 * np.eye(CLASSES, dtype=np.float32)[LABELS]
  _, terms = loss(*outputs, label_logits=harder)
  assert terms['classification'] > free['classification'] + 0.1
  assert terms['logits'] == free['logits']


def test_agreement_costs_nothing(outputs):
  logits, embeddings, *_ = outputs
  # Logits are equal up to a constant, embeddings up to their length.
  _, terms = loss(logits, embeddings, logits + 7, 3 * embeddings)
  np.testing.assert_allclose(terms['logits'], 0, atol=1e-5)
  np.testing.assert_allclose(terms['embeddings'], 0, atol=1e-6)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('temperature', [0.5, 20.0])
def test_divergence_is_not_negative_and_finite(seed, temperature):
  a, b = 200 * random(2, 8, 5, seed=seed)
  got = _divergence(a, b, temperature=temperature)
  assert got.shape == (8,)
  assert np.all(np.isfinite(got))
  assert got.min() >= 0


def test_batch_size_does_not_matter(outputs):
  one, _ = loss(*outputs)
  many, _ = loss(
    *(np.tile(x, (3, 1)) for x in outputs), labels=np.tile(LABELS, 3)
  )
  np.testing.assert_allclose(one, many, rtol=1e-6)


def test_networks_that_do_not_fit_are_refused():
  a, b = jnp.zeros((2, 3)), jnp.zeros((2, 4))
  with pytest.raises(ValueError, match='teacher has 4 classes, the student 3'):
    distillation.softened_divergence(b, a)
  with pytest.raises(ValueError, match='4 values in an embedding, the stud'):
    distillation.cosine_distance(b, a)
  with pytest.raises(ValueError, match='temperature=0: give a number above 0'):
    distillation.softened_divergence(a, a, temperature=0)
