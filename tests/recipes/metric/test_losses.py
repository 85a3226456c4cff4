"""Losses by name: golden values, and names that do not exist."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import metric as metric_config
from palmjax.losses import metric, triplet
from palmjax.ops import vectors
from palmjax.recipes.metric import losses as metric_losses
from palmjax.recipes.metric import report as metric_report
from palmjax.recipes.shared import palm_training

NAMES = (
  'softmax',
  'normalised',
  'arcface',
  'cosface',
  'adaface',
  'triplet',
  'semi_hard',
  'mixed',
)


def section(**changes):
  return {**metric_config.get_config().loss.to_dict(), **changes}


@pytest.fixture
def arguments():
  keys = jax.random.split(jax.random.key(0))
  embeddings = jax.random.normal(keys[0], (8, 6))
  head = jax.random.normal(keys[1], (4, 6))
  labels = jnp.array([0, 0, 1, 1, 2, 2, 3, 3])
  norms = {'mean': jnp.float32(2.0), 'std': jnp.float32(0.5)}
  return embeddings, head, labels, norms


def value(name, arguments, **changes):
  built = metric_losses.losses(section(name=name, **changes))
  return float(jax.jit(built['losses'][name])(*arguments))


def test_all_differ_and_have_gradients(arguments):
  @jax.jit
  def all_of_them(*arguments):
    return {
      name: jax.value_and_grad(
        metric_losses.losses(section(name=name))['losses'][name]
      )(*arguments)
      for name in NAMES
    }

  results = all_of_them(*arguments)
  values = {round(float(loss), 4) for loss, _ in results.values()}
  assert len(values) == len(NAMES)
  for _, gradient in results.values():
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_margins_and_scales_are_those_of_the_config(arguments):
  embeddings, head, labels, _ = arguments
  cosines = np.asarray(vectors.cosines(embeddings, head), np.float64)
  rows = np.arange(8)

  def by_hand(move, scale):
    logits = scale * cosines
    logits[rows, labels] = scale * move(cosines[rows, labels])
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(p[rows, labels]).mean()

  np.testing.assert_allclose(
    value('cosface', arguments, margin=0.25, scale=10.0),
    by_hand(lambda c: c - 0.25, 10.0),
    rtol=1e-4,
  )
  np.testing.assert_allclose(
    value('arcface', arguments, margin=0.2, scale=12.0),
    by_hand(lambda c: np.cos(np.arccos(c) + 0.2), 12.0),
    rtol=1e-4,
  )
  assert value('normalised', arguments, scale=9.0) == pytest.approx(
    by_hand(lambda c: c, 9.0), rel=1e-4
  )


def test_mixed_is_arcface_and_triplets_for_the_hard(arguments):
  embeddings, head, labels, _ = arguments
  arcface = value('arcface', arguments)
  assert value('mixed', arguments, hard_share=0.0) == pytest.approx(
    arcface, rel=1e-5
  )
  distances = triplet.squared_euclidean(embeddings)
  each = np.asarray(triplet.batch_hard(distances, labels, margin=0.2).losses)
  hardest = int(np.argmin(metric.label_cosines(embeddings, head, labels)))
  expected = arcface + 32.0 * each[hardest] / 8
  assert value('mixed', arguments, hard_share=0.125) == pytest.approx(
    expected, rel=1e-4
  )


def test_triplets_take_the_distance_of_the_config(arguments):
  embeddings, _, labels, _ = arguments
  unit = np.asarray(embeddings, np.float64)
  unit /= np.linalg.norm(unit, axis=1, keepdims=True)
  same = np.asarray(labels)[:, None] == np.asarray(labels)

  def by_hand(distances, margin):
    farthest = np.where(same, distances, -np.inf).max(axis=1)
    nearest = np.where(same, np.inf, distances).min(axis=1)
    return np.maximum(farthest - nearest + margin, 0.0).mean()

  cosine = value(
    'triplet', arguments, triplet_distance='cosine', triplet_margin=0.4
  )
  squared = value(
    'triplet', arguments, triplet_distance='squared', triplet_margin=0.4
  )
  assert cosine == pytest.approx(by_hand(1 - unit @ unit.T, 0.4), rel=1e-4)
  differences = unit[:, None] - unit
  assert squared == pytest.approx(
    by_hand((differences**2).sum(axis=-1), 0.4), rel=1e-4
  )


def test_stages():
  built = metric_losses.losses(section(name='softmax+arcface+semi_hard'))
  assert list(built['losses']) == ['softmax', 'arcface', 'semi_hard']
  assert built['boundaries'] == (200, 500)
  single = metric_losses.losses(section(name='arcface'))
  assert single['boundaries'] == ()


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'name': 'arkface'}, r'loss\.name=arkface: choose one of softmax'),
    ({'name': 'arcface+arcface'}, 'name every stage once'),
    ({'name': 'softmax+arcface'}, r'give 1 steps in --config\.loss\.bound'),
    (
      {'name': 'softmax+arcface', 'boundaries': (5,), 'blend_steps': 0},
      'blend_steps=0',
    ),
    (
      {'triplet_distance': 'euclidean'},
      r'triplet_distance=euclidean: choose one of squared, cosine$',
    ),
  ],
)
def test_wrong_names_and_stages(changes, message):
  with pytest.raises(ValueError, match=message):
    metric_losses.losses(section(**changes))


@pytest.mark.parametrize(
  'name, expected',
  [
    ('arcface', 'cosine'),
    ('mixed', 'cosine'),
    ('softmax+semi_hard', 'euclidean'),
    ('triplet+arcface', 'cosine'),
  ],
)
def test_the_last_stage_fixes_the_comparison(name, expected):
  assert metric_losses.comparison(section(name=name)) == expected


def test_cosine_triplets_are_compared_by_cosines():
  for name in ('triplet', 'arcface+semi_hard'):
    of_cosines = section(name=name, triplet_distance='cosine')
    assert metric_losses.comparison(of_cosines) == 'cosine'


def test_what_needs_several_images_of_an_identity():
  assert metric_losses.needs_triplets(section(name='softmax+semi_hard'))
  assert metric_losses.needs_triplets(section(name='mixed'))
  assert not metric_losses.needs_triplets(section(name='adaface'))


@pytest.mark.parametrize(
  'name, expected',
  [
    ('triplet', False),
    ('triplet+semi_hard', False),
    ('triplet+mixed', True),
    ('softmax', True),
  ],
)
def test_what_trains_the_head(name, expected):
  assert metric_losses.trains_head(section(name=name)) == expected


@pytest.mark.parametrize('name, figures', [('triplet', 1), ('mixed', 2)])
def test_the_report_shows_the_accuracy_of_trained_heads_only(name, figures):
  config = metric_config.get_config('smoke')
  config.loss.name = name
  run = palm_training.PalmRun(config, None, None)
  assert len(metric_report.training_curves([], run).figures) == figures
