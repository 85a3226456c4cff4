"""When a palm network is lost, and what the report says first."""

import re
import types

import jax
import numpy as np
import pytest

from configs import robust as robust_config
from palmjax.networks import palm as palm_networks
from palmjax.recipes.robust import (
  palm_battery,
  palm_measure,
  palm_recipe,
  palm_report,
)
from palmjax.recipes.shared import sections

COUNT = 6


def scores(**attacks):
  """Of (genuine, impostor); clean 0.8 to 0.9 and −0.1 to 0.1."""
  clean = np.linspace(0.8, 0.9, COUNT), np.linspace(-0.1, 0.1, COUNT)
  return {
    (name, goal, 0.0 if name == 'clean' else 2.0): np.asarray(values)
    for name, both in {'clean': clean, **attacks}.items()
    for goal, values in zip(palm_battery.GOALS, both, strict=True)
  }


def test_a_network_is_lost_when_both_kinds_of_pairs_are():
  dodged, joined = np.full(COUNT, -0.2), np.full(COUNT, 0.95)
  same, strange = np.full(COUNT, 0.85), np.zeros(COUNT)
  assert not palm_measure.both_lost(scores())
  assert not palm_measure.both_lost(scores(a=(dodged, strange)))
  # 1 − EER of this attack is 0.
  assert not palm_measure.both_lost(scores(a=(same, joined)))
  assert palm_measure.both_lost(scores(a=(dodged, joined)))
  assert palm_measure.both_lost(scores(a=(dodged, strange), b=(same, joined)))
  dodged[3] = 0.0
  assert not palm_measure.both_lost(scores(a=(dodged, joined)))


@pytest.fixture
def attacked(monkeypatch, tmp_path):
  """Attacks a network of one arm whose attacks reach all, or nothing."""
  calls = []

  def attack_images(attack, network, probes, targets, **options):
    del attack, network, targets
    calls.append(options)
    return np.zeros(probes.shape, np.float32)

  def cosines(look, images, goal):
    del look, images
    if not calls:
      return scores()['clean', goal, 0.0]
    reached = -0.5 if goal == 'genuine' else 0.95
    return np.full(COUNT, reached if lost[0] else 0.4)

  lost = [False]

  def run(arm, is_lost):
    calls.clear()
    lost[0] = is_lost
    monkeypatch.setattr(palm_networks, 'load', lambda directory: None)
    monkeypatch.setattr(palm_battery, 'attack_images', attack_images)
    monkeypatch.setattr(
      palm_battery, 'embed', lambda *_, **__: np.zeros((COUNT, 4))
    )
    monkeypatch.setattr(palm_measure.Look, 'cosines', cosines)
    images = np.zeros((COUNT, 8, 8, 3), np.uint8)
    palm_measure.attack(
      palm_measure.Probes(images, images, np.arange(COUNT)),
      jax.random.key(7),
      types.SimpleNamespace(export=tmp_path, key=jax.random.key(len(arm))),
      sections.of(robust_config.get_config(), palm_recipe.SECTION),
      **{arm: tmp_path},
    )
    return palm_measure.read(tmp_path), list(calls)

  return run


def test_where_all_is_lost_only_the_images_for_others_are_made(attacked):
  seen, many = attacked('plain', False)
  lost, few = attacked('plain', True)
  assert seen.images.keys() == lost.images.keys()
  assert len(lost.images) == 2 * 4
  # Of four attacks within four radii, one within the last three.
  assert (len(many), len(few)) == (2 * 4 * 4, 2 * (4 + 3))


def test_all_arms_are_attacked_from_the_same_starts(attacked):
  first, second = (attacked(arm, False)[1] for arm in ('plain', 'ot'))
  for one, other in zip(first, second, strict=True):
    assert (one['key'] == other['key']).all()


def test_the_headline_is_of_each_side_at_the_clean_threshold():
  """Not an EER, of which either side alone can make 100 %."""

  def cell(value):
    return {'value': value, 'low': value - 0.1, 'high': value + 0.1}

  models = {
    'plain': {'fnmr@4/255': cell(0.9), 'fmr@4/255': cell(0.8)},
    'ot': {'fnmr@4/255': cell(0.5), 'fmr@4/255': cell(0.2)},
  }
  text = palm_report.headline(models, ['plain', 'ot'], 4)
  numbers = re.findall(r'(\d+\.\d)\s%', text)
  assert numbers == ['50.0', '90.0', '20.0', '80.0']
  assert 'dodging' in text
  assert 'impersonation' in text
  assert 'EER' not in text
  assert text.startswith('Optimal transport: FNMR 50.0')
