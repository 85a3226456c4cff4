"""Fusions that were compared, against their formula."""

import numpy as np
import pytest

from launch import verifier_choice, verifier_parts
from palmjax.evals.recognition import verification
from palmjax.inference import parts
from tests.inference import drawn_palms


@pytest.fixture
def scores():
  """[3, 6, 6], symmetric."""
  scores = np.random.default_rng(0).normal(size=(3, 6, 6))
  return scores + scores.transpose(0, 2, 1)


@pytest.fixture
def standard(scores):
  return verifier_parts.standard_of(scores)


def shares(scores, standard, weights):
  """p_k of each part: z_k = log(K w_k / Σ w) − log p_k."""
  z = parts.standardise(scores, standard)
  logs = np.log(np.array(weights) / np.mean(weights))
  return np.exp(logs[:, None, None] - z)


def test_other_weights_leave_the_shares(scores, standard):
  other = verifier_choice.weighted(standard, parts.WEIGHTS, (1.0, 5.0, 0.5))
  np.testing.assert_allclose(
    shares(scores, other, (1.0, 5.0, 0.5)),
    shares(scores, standard, parts.WEIGHTS),
  )


@pytest.mark.parametrize('subset', verifier_parts.SUBSETS)
def test_a_fusion_is_the_weighted_harmonic_mean_of_its_parts(
  subset, scores, standard
):
  kept = [parts.NAMES.index(name) for name in subset]
  weights = np.array(parts.WEIGHTS)[kept]
  share = shares(scores, standard, parts.WEIGHTS)[kept]
  mean = weights.sum() / np.tensordot(weights, 1 / share, 1)
  np.testing.assert_allclose(
    verifier_parts.fuse(scores, standard, subset), -np.log(mean)
  )
  if subset == parts.NAMES:
    np.testing.assert_allclose(parts.fuse(scores, standard), -np.log(mean))


def test_every_subset_is_there_once():
  assert len(set(verifier_parts.SUBSETS)) == 2 ** len(parts.NAMES) - 1


@pytest.fixture
def few(monkeypatch):
  """Random templates in place of drawn palms; a rate that they can measure."""
  drawn_palms.compare_cheaply(monkeypatch)
  monkeypatch.setattr(verifier_choice, 'FMR', 0.1)
  for module in (verifier_choice, verifier_parts):
    monkeypatch.setattr(module.verifier, 'COHORT', 30)
    monkeypatch.setattr(
      module.verifier,
      'draw',
      lambda seed, _, identities, samples: np.full(
        (identities * samples, 8, 8, 3), seed, np.uint8
      ),
    )

  class Judge:
    """Noise that depends on the first pixel.

    Images of a tested palm have the same codes and other embeddings.
    """

    @staticmethod
    def templates(images):
      rng = np.random.default_rng(images.ravel()[0])
      templates = drawn_palms.random_templates(rng, len(images))
      if len(images) == 30:
        return templates
      alike = templates.take(np.arange(len(images)) // 4 * 4)
      return alike._replace(network=templates.network)

  monkeypatch.setattr(verifier_choice.verifiers, 'load', Judge)


def test_every_choice_has_its_errors(few):
  table = verifier_choice.choose(20)
  assert len(table) == 1 + 4 * 3
  column = verification.fnmr_name(0.1)
  for name, row in table.items():
    assert row.keys() == {'eer', column}
    # The network tells nothing, and the codes tell all.
    alone = name == 'network alone'
    assert row['eer']['mean'] == pytest.approx(0.5 * alone, abs=0.15), name


def test_every_subset_has_its_errors_in_each_set(few):
  table = verifier_parts.measure(20)
  assert len(table) == 2 * len(verifier_parts.SUBSETS)
  for name, row in table.items():
    assert len(row) == 2 * 4
    alone = name.partition(',')[0] == 'network'
    for column, cell in row.items():
      if column.startswith('eer'):
        want = pytest.approx(0.5 * alone, abs=0.15 * alone)
        assert cell['mean'] == want, name


def test_errors_are_of_all_pairs(monkeypatch):
  """Images of two palms that are as alike as those of one."""
  monkeypatch.setattr(verifier_choice, 'FMR', 0.1)
  labels = np.repeat(np.arange(20), 2)
  matrix = np.random.default_rng(0).normal(size=(40, 40))
  matrix = matrix + matrix.T
  upper = np.triu_indices(40, 1)
  same = (labels[:, None] == labels)[upper]
  rates = verifier_choice.errors(matrix, labels)
  genuine, impostor = matrix[upper][same], matrix[upper][~same]
  assert rates['eer'] == pytest.approx(0.5, abs=0.15)
  least = np.sort(impostor)[-int(0.1 * len(impostor))]
  column = verification.fnmr_name(0.1)
  assert rates[column] == np.mean(genuine < least)
