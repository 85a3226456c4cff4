"""Self-distillation: a NumPy twin, who guides whom, who gets gradients."""

import jax
import numpy as np
import pytest

from palmjax.losses import self_distillation

T, EXITS, BATCH, CLASSES, SIZE = 3.0, 3, 4, 5, 6
LABELS = np.array([3, 0, 4, 1])
HAS_SOFT = np.array([False, True, False, True])
# Compiled once; operation by operation takes longer.
_loss = jax.jit(self_distillation.loss)
_classification = jax.jit(self_distillation.classification)
_fused = jax.jit(self_distillation.fused_guidance)


def random(*shape, seed):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def logits():
  return 3 * random(EXITS, BATCH, CLASSES, seed=0)


@pytest.fixture
def embeddings():
  return random(EXITS, BATCH, SIZE, seed=1)


@pytest.fixture
def soft():
  """Distributions; the rows of samples without one are never read."""
  rows = np.random.default_rng(2).dirichlet(np.ones(CLASSES), size=BATCH)
  return np.where(HAS_SOFT[:, None], rows, np.nan).astype(np.float32)


def log_softmax(x):
  x = np.asarray(x, np.float64)
  x = x - x.max(axis=-1, keepdims=True)
  return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def fused_probabilities(logits, b):
  """p_fuse of one sample: the mean over exits, then T, then softmax."""
  return np.exp(log_softmax(logits[:, b].astype(np.float64).mean(axis=0) / T))


def reference(logits, embeddings, soft):
  """The three terms, exit by exit and sample by sample in float64."""
  terms = {'classification': 0.0, 'fused': 0.0, 'one_to_many': 0.0}
  for b in range(BATCH):
    target = soft[b] if HAS_SOFT[b] else np.eye(CLASSES)[LABELS[b]]
    p = fused_probabilities(logits, b)
    for number in range(EXITS):
      terms['classification'] -= target @ log_softmax(logits[number, b])
      q = log_softmax(logits[number, b] / T)
      terms['fused'] += T**2 * p @ (np.log(p) - q)
      difference = embeddings[number, b] - embeddings[-1, b]
      terms['one_to_many'] += np.sum(difference.astype(np.float64) ** 2)
  return {name: value / BATCH for name, value in terms.items()}


def test_equals_numpy_with_the_defaults(logits, embeddings, soft):
  got, terms = _loss(logits, embeddings, LABELS, soft=soft, has_soft=HAS_SOFT)
  want = reference(logits, embeddings, soft)
  assert terms.keys() == want.keys()
  for name, value in want.items():
    np.testing.assert_allclose(terms[name], value, rtol=1e-5, err_msg=name)
  total = (
    want['classification'] + 0.3 * want['fused'] + 0.03 * want['one_to_many']
  )
  np.testing.assert_allclose(got, total, rtol=1e-5)


def test_fusion_guides_every_exit_and_gets_no_gradient(logits):
  """Claim 4d. Through the fusion all exits would get another gradient."""
  got = jax.jit(jax.grad(_fused))(logits)
  for b in range(BATCH):
    p = fused_probabilities(logits, b)
    for number in range(EXITS):
      q = np.exp(log_softmax(logits[number, b] / T))
      np.testing.assert_allclose(got[number, b], T * (q - p) / BATCH, atol=1e-6)
  # Unlike Be Your Own Teacher: the last exit is a pupil, too.
  assert np.all(np.abs(got[-1]).max(axis=-1) > 1e-2)


def test_teacher_is_the_fusion_and_not_the_last_exit(logits):
  """Unlike Be Your Own Teacher: what a shallow exit says guides the others."""
  gradient = jax.jit(jax.grad(_fused))
  before = gradient(logits)
  other = logits.copy()
  other[0] = -other[0]
  after = gradient(other)
  for number in (1, EXITS - 1):
    assert np.abs(before[number] - after[number]).max() > 1e-2
  # The order of the exits says nothing: none is the teacher.
  np.testing.assert_allclose(
    _fused(logits[::-1]),
    _fused(logits),
    rtol=1e-6,
  )


def test_last_embedding_guides_the_others_and_gets_no_gradient(embeddings):
  """Claim 4e."""
  got = jax.jit(jax.grad(self_distillation.one_to_many_guidance))(embeddings)
  want = 2 * (embeddings - embeddings[-1]) / BATCH
  np.testing.assert_allclose(got, want, atol=1e-6)
  assert not np.any(got[-1])
  assert np.all(np.any(got[:-1], axis=-1))


def test_every_exit_is_classified(logits, soft):
  """Claim 4c; integer labels and distributions, each where it is given."""
  got = jax.jit(jax.grad(_classification))(
    logits, LABELS, soft=soft, has_soft=HAS_SOFT
  )
  target = np.where(HAS_SOFT[:, None], soft, np.eye(CLASSES)[LABELS])
  want = (np.exp(log_softmax(logits)) - target) / BATCH
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_margin_is_for_integer_labels(logits, soft):
  options = {'soft': soft, 'has_soft': HAS_SOFT}
  harder = logits - 2 * np.eye(CLASSES, dtype=np.float32)[LABELS]

  def margined(label_logits):
    return _classification(logits, LABELS, label_logits=label_logits, **options)

  read = np.any(jax.jit(jax.grad(margined))(harder), axis=(0, 2))
  np.testing.assert_array_equal(read, ~HAS_SOFT)
  assert margined(harder) > margined(logits) + 0.1


@pytest.mark.parametrize('seed', range(3))
def test_exits_that_agree_teach_nothing(seed):
  same = np.broadcast_to(
    random(BATCH, CLASSES, seed=seed), (EXITS, BATCH, CLASSES)
  )
  np.testing.assert_allclose(_fused(same), 0, atol=1e-5)
  assert self_distillation.one_to_many_guidance(same) == 0
  # A constant more in one exit's logits says the same.
  shifted = same + np.arange(EXITS, dtype=np.float32)[:, None, None]
  np.testing.assert_allclose(_fused(shifted), 0, atol=1e-5)


def test_batch_size_does_not_matter(logits, embeddings, soft):
  one, _ = _loss(logits, embeddings, LABELS, soft=soft, has_soft=HAS_SOFT)
  many, _ = _loss(
    np.tile(logits, (1, 3, 1)),
    np.tile(embeddings, (1, 3, 1)),
    np.tile(LABELS, 3),
    soft=np.tile(soft, (3, 1)),
    has_soft=np.tile(HAS_SOFT, 3),
  )
  np.testing.assert_allclose(one, many, rtol=1e-6)


def test_arms_leave_out_their_term(logits, embeddings):
  @jax.jit
  def gradients(alpha, beta):
    return jax.grad(
      lambda z, e: _loss(z, e, LABELS, alpha=alpha, beta=beta)[0],
      argnums=(0, 1),
    )(logits, embeddings)

  to_logits, to_embeddings = gradients(0.0, 0.0)
  one_hot = np.eye(CLASSES)[LABELS]
  want = (np.exp(log_softmax(logits)) - one_hot) / BATCH
  np.testing.assert_allclose(to_logits, want, atol=1e-6)
  assert not np.any(to_embeddings)
  assert np.any(gradients(0.0, 0.03)[1])
  assert np.abs(gradients(0.3, 0.0)[0] - want).max() > 1e-3
