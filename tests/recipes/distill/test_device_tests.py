"""Who meets a device, and what its tests say."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from configs import distill as distill_config
from palmjax.data.sets.builders import layout
from palmjax.evals import bootstrap
from palmjax.recipes.distill import device_tests, replay
from tests.recipes.distill import pixel_palms

QUICK = bootstrap.Resampling(draws=200)


@pytest.fixture(scope='module')
def part():
  return pixel_palms.part()


@pytest.mark.parametrize('known', [True, False])
def test_no_image_has_two_parts(part, known):
  sessions = part.sessions if known else 0 * part.sessions + layout.NO_SESSION
  numbered = dataclasses.replace(
    part,
    images=np.arange(len(part.labels))[:, None, None, None],
    sessions=sessions,
  )
  everyone = device_tests.people(
    numbered, part.images, part.images[:3], fmr=0.1
  )
  of_users = [
    images.reshape(pixel_palms.USERS, -1)
    for images in (everyone.references, everyone.checks)
  ]
  of_users += [
    images.reshape(pixel_palms.USERS, -1)
    for images in (everyone.captures, everyone.tests)
  ]
  numbers = np.concatenate([images.ravel() for images in of_users])
  assert len({*numbers}) == len(numbers)
  people = [
    {*part.labels[images.ravel()]}
    for images in (everyone.captures, everyone.passers, everyone.strangers)
  ]
  assert [len(one) for one in people] == [8, 4, 4]
  assert len(set.union(*people)) == 16
  if known:
    places = [{*part.sessions[images.ravel()]} for images in of_users]
    assert places == [{0}, {0}, {1}, {2}]


@pytest.mark.parametrize(
  'change, message',
  [
    ({'sessions': np.zeros(192, int)}, r'0 has 12 images of 1 sessions; the'),
    ({'identities': ('0', '1', '2')}, 'takes 8 palms, not 3'),
  ],
)
def test_what_makes_no_life(part, change, message):
  with pytest.raises(ValueError, match=message):
    device_tests.people(
      dataclasses.replace(part, **change), part.images, part.images, fmr=0.1
    )


def test_few_palms_of_the_server_set_no_low_rate(part):
  with pytest.raises(ValueError, match=r'fmr=0\.001: the 8 palms .* 28 pairs'):
    device_tests.people(part, part.images[:8], part.images[:3], fmr=1e-3)


@pytest.fixture
def measured(part):
  """The moment of a network of pixels at a threshold, without drift."""
  config = replay.settings_of(distill_config.get_config())
  config.fmr = 0.1
  everyone = device_tests.people(part, part.images, part.images[:3], fmr=0.1)
  network = types.SimpleNamespace(embed=pixel_palms.embed)
  return device_tests.measure(
    network, everyone, config, jax.random.key(0), amount=0.0
  )


def test_tests_are_of_every_user_and_every_stranger(measured):
  np.testing.assert_array_equal(measured.missed, np.zeros(8))
  assert measured.passed.shape == (4, 8)
  assert measured.tests == 4


def test_rates_of_the_moments():
  passed = np.zeros((6, 8), int)
  passed[0, 0] = 4

  def moment(*missed):
    return device_tests.Moment(np.array(missed), passed, 4)

  rates = device_tests.rates(
    {
      device_tests.BEFORE: moment(0, 0, 0, 0, 0, 0, 0, 0),
      device_tests.DRIFTED: moment(2, 2, 2, 2, 2, 2, 4, 4),
      'device_statistics': moment(1, 1, 1, 1, 1, 1, 4, 4),
      'device_placebo': moment(1, 1, 1, 1, 1, 1, 2, 3),
      'device_both': moment(1, 1, 1, 1, 1, 1, 2, 2),
    },
    resampling=QUICK,
  )
  both = rates['device_both']
  assert both['fnmr']['value'] == 10 / 32
  assert both['fnmr']['low'] < 10 / 32 < both['fnmr']['high']
  assert both['recovered']['value'] == 0.5
  assert both['fnmr - drifted']['value'] == -10 / 32
  assert both['fnmr - statistics']['value'] == -4 / 32
  assert both['fnmr - statistics']['high'] <= 0
  assert both['fnmr - placebo']['value'] == -1 / 32
  assert both['fmr']['value'] == 1 / 48
  # Without an error the rule of 3 counts users alone.
  assert rates[device_tests.BEFORE]['fnmr']['high'] == pytest.approx(
    1 - 0.05 ** (1 / 8)
  )
  assert 'recovered' not in rates[device_tests.DRIFTED]
