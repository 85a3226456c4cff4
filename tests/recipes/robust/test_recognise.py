"""The recipe with palms: its settings, its attacks, its table."""

import types

import jax
import numpy as np
import pytest

from configs import robust as robust_config
from palmjax.engine import mesh
from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, verification
from palmjax.networks import shipped
from palmjax.recipes.robust import (
  palm_arms,
  palm_battery,
  palm_checks,
  palm_measure,
  palm_recipe,
  palm_scores,
)
from palmjax.recipes.robust import recipe as robust_recipe
from palmjax.recipes.shared import palm_images, sections
from tests.steps import test_perturbed_tasks

SIDE = 16


def smoke():
  config = robust_config.get_config('smoke')
  config.task = 'recognise'
  return config


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('task', 'classify', 'task=classify: choose one of detect, recognise'),
    ('arms', ('ott',), r"arms=\('ott',\): choose from \('plain'"),
    ('recognise.perturb.epsilon', 1.5, r'recognise\.perturb\.epsilon=1\.5: '),
    ('attack.radii', (4, 2), r'attack\.radii=\(4, 2\): give rising'),
    ('stop.measure', 'loss', r'config\.stop\.measure=loss: choose'),
    ('start', str(shipped.HAND), 'hand_detector.*palm network'),
    ('start', 'shipped', r'reads palms of 64 px: .*recognise\.image_size=64'),
    ('recognise.image_size', 4, r'recognise\.image_size=4: give 8 or more'),
    ('recognise.data.name', 'hands', r'recognise\.data\.name=hands: choose'),
    ('recognise.data.name', 'folder', r'needs --config\.recognise\.data\.dir'),
    ('recognise.data.turn', 90, r'config\.recognise\.data\.turn=90 is for'),
    ('recognise.augment.erase', 2.0, r'recognise\.augment\.erase=2\.0: give'),
    ('recognise.network.name', 'vgg', r'config\.recognise\.network: no net'),
    ('recognise.cnn.statistics', 'no', r'recognise\.cnn\.statistics=no: choos'),
    (
      'recognise.cnn.statistics',
      'running',
      r'recognise\.cnn\..* for ever with',
    ),
    ('recognise.cnn.weight', -1.0, r'recognise\.cnn\.weight=-1\.0: give 0'),
    ('recognise.cnn.learning_rate', 0.0, r'recognise\.cnn\.learning_rate=0'),
    ('recognise.labelled.images', 1, r'recognise\.labelled\.identities=0 and'),
    ('recognise.fmr', 1.0, r'config\.recognise\.fmr=1\.0: give rates'),
  ],
)
def test_settings_that_cannot_work_are_refused_at_once(
  tmp_path, key, value, message
):
  config = smoke()
  config.update_from_flattened_dict({key: value})
  with pytest.raises(ValueError, match=message) as caught:
    robust_recipe.run(config, tmp_path)
  assert '\n' not in str(caught.value)
  assert {path.name for path in tmp_path.iterdir()} <= {'.lock'}


@pytest.mark.parametrize('variant', ['', 'smoke', 'table', 'palms'])
def test_the_variants_can_run(variant):
  config = sections.of(robust_config.get_config(variant), palm_recipe.SECTION)
  config.network.dtype = 'bfloat16'
  palm_checks.check(config, mesh.make(1))
  start = palm_arms.read_start(config)
  assert (start is None) == (variant == 'smoke')
  # Whatever precision the weights were trained in.
  assert config.network.dtype == 'bfloat16'


def part(images):
  """A test of palms with so many images each."""
  labels = np.repeat(np.arange(len(images)), images)
  rng = np.random.default_rng(0)
  shape = (len(labels), SIDE, SIDE, 3)
  return palm_images.Part(
    rng.integers(0, 256, shape, np.uint8), labels, (), np.zeros(len(labels))
  )


def test_one_image_of_each_palm_is_attacked():
  test = part([3, 1, 2, 2, 4])
  probes = palm_measure.choose(test, 3)
  np.testing.assert_array_equal(probes.identities, [0, 3, 4])
  np.testing.assert_array_equal(probes.enrolled, test.images[[0, 6, 8]])
  np.testing.assert_array_equal(probes.probes, test.images[[2, 7, 11]])
  with pytest.raises(ValueError, match='fewer than 2 palms of the test have'):
    palm_measure.choose(part([2, 1]), 3)


@pytest.fixture(scope='module')
def network():
  """Without any defence."""
  state = test_perturbed_tasks.create_state()

  class Input:
    """Compared by what it is, as that of a network."""

    def apply(self, images):
      return 4 * images[..., :1]

  return types.SimpleNamespace(
    model=test_perturbed_tasks.MODEL,
    preprocess=Input(),
    params=state.params,
    stats=state.stats,
  )


def test_attacks_dodge_and_impersonate_within_the_radius(network):
  config = smoke()
  config.attack.steps = 6
  config.attack.queries = 20
  # Two images of a palm differ a little.
  test = part([1] * 8)
  noise = np.random.default_rng(1).integers(0, 3, test.images.shape)
  changed = np.clip(test.images + noise, 0, 255).astype(np.uint8)
  probes = palm_measure.Probes(changed, test.images, test.labels)
  look = palm_measure.Look(network, probes, 4)
  clean = probes.probes / np.float32(127.5) - 1
  errors = {}
  for name, attack in palm_battery.battery(config.attack).items():
    for radius in (8, 64):
      both = {}
      for goal, sign in palm_battery.GOALS.items():
        before = look.cosines(clean, goal)
        images = palm_battery.attack_images(
          attack,
          network,
          probes.probes,
          look.targets[goal],
          goal=goal,
          radius=radius / 255,
          key=jax.random.key(0),
          batch_size=4,
        )
        assert np.abs(images - clean).max() <= 2 * radius / 255 + 1e-6
        assert np.abs(images).max() <= 1.0
        both[goal] = look.cosines(images, goal)
        assert (sign * (both[goal] - before) >= -1e-6).all()
        assert sign * (both[goal] - before).mean() > 1e-3
      errors[name, radius] = both
  for goal, sign in palm_battery.GOALS.items():
    mean = {key: sign * both[goal].mean() for key, both in errors.items()}
    for name in ('fgsm', 'pgd6', 'apgd6', 'square'):
      assert mean[name, 64] > mean[name, 8]
    # Steps find more than one step, and gradients more than guesses.
    guesses = max(mean['fgsm', 64], mean['square', 64])
    assert min(mean['pgd6', 64], mean['apgd6', 64]) > guesses
  strong = errors['apgd6', 64]
  assert error_rates.eer(strong['genuine'], strong['impostor']) > 0.5
  assert (look.cosines(clean, 'genuine') > 0.9).all()


def attacked(clean, **attacks):
  """Of (genuine, impostor) scores; names are NAME_RADIUS."""
  scores = {}
  for key, pair in {'clean_0': clean, **attacks}.items():
    name, radius = key.split('_')
    for goal, values in zip(palm_battery.GOALS, pair, strict=True):
      scores[name, goal, float(radius)] = np.float32(values)
  return palm_measure.AttackedPalms(scores, {})


def test_each_pair_is_attacked_in_the_worst_way():
  """And no pair is better within a larger radius."""
  clean = [0.9] * 6, [0.1] * 6
  one = attacked(
    clean,
    pgd_2=([0.3, 0.8] * 3, [0.1] * 6),
    square_2=([0.5, 0.5] * 3, [0.2, 0.1] * 3),
    pgd_4=([0.7] * 6, [0.6] * 6),
  )
  pairs = palm_scores.worst_pairs(one, 2)
  np.testing.assert_allclose(pairs.genuine, [0.3, 0.5] * 3)
  np.testing.assert_allclose(pairs.impostor, [0.2, 0.1] * 3)
  np.testing.assert_array_equal(pairs.impostor_identity[1], [3, 4, 5, 0, 1, 2])
  pairs = palm_scores.worst_pairs(one, 4)
  np.testing.assert_allclose(pairs.genuine, [0.3, 0.5] * 3)
  np.testing.assert_allclose(pairs.impostor, [0.6] * 6)
  table = palm_scores.table({'plain': one})
  assert table.values['plain', 'pgd', 2.0] == 1.0
  assert table.worst['plain'][4.0].attack == 'clean'
  config = smoke()
  config.attack.radii = (2, 4, 8)
  labels = np.repeat(np.arange(20), 3)
  matrix = np.where(labels[:, None] == labels, 0.9, 0.1)
  scores = verification.matrix_scores(matrix, labels)
  cells = palm_scores.models(
    {'plain': one, 'ot': attacked(clean)},
    {'plain': scores, 'ot': scores},
    sections.of(config, palm_recipe.SECTION),
    bootstrap.Resampling(draws=20),
  )
  plain, ot = cells['plain'], cells['ot']
  assert plain['eer']['value'] == plain['fnmr@fmr=1e-1']['value'] == 0.0
  # The threshold is just above 0.1.
  assert plain['fnmr@2/255']['value'] == 0.0
  assert plain['fmr@2/255']['value'] == 0.5
  assert plain['fmr@4/255']['value'] == plain['eer@4/255']['value'] == 1.0
  assert plain['eer@8/255'] == plain['eer@4/255']
  assert ot['eer@8/255 - plain']['value'] == -1.0
  assert not any(' - ' in name for name in plain)
