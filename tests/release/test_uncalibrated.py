"""What sets the thresholds without a cohort, against loops in NumPy."""

import itertools
import json

import numpy as np
import pytest

from palmjax.data.palms import as_read
from palmjax.inference import cohort, cohort_thresholds, parts
from palmjax.inference import uncalibrated as constants
from release import photographed_palms, uncalibrated
from tests.inference import drawn_palms

FMRS = (1e-1, 1e-2, 1e-3, 1e-4)
# Not so few that all thresholds are the strict ones.
PALMS = 45
DIFFICULTIES = (0.2, 0.4, 0.6, 0.8)


def random_images(seed, count, shared):
  """uint8 [N, 64, 64, 3] of large squares, with `shared` of one palm."""
  rng = np.random.default_rng(seed)
  squares = rng.normal(size=(count, 8, 8, 3)) + shared * rng.choice(
    [0.8, 1.0, 1.2], size=(count, 1, 1, 1)
  ) * np.random.default_rng(1000).normal(size=(8, 8, 3))
  large = (128 + 40 * squares).repeat(8, axis=1).repeat(8, axis=2)
  return np.clip(large, 0, 255).astype(np.uint8)


def cheap_templates(embed, images):
  """Pixels stand in for the codes of upright palms."""
  pixels = images[:, ::2, ::2].astype(np.int16) - 128
  codes = np.zeros((2, len(images), 5, 32, 32, 2), np.int8)
  codes[0, :, parts.UPRIGHT] = np.clip(pixels[..., :2], -127, 127)
  codes[1, :, parts.UPRIGHT] = np.clip(pixels[..., 1:], -127, 127)
  return parts.Templates(*codes, embed(images))


def code_scores(images):
  """([2, P] scores of pairs (i, j), i ≠ j, the pairs): each pair both ways."""
  pairs = list(itertools.permutations(range(len(images)), 2))
  templates = cheap_templates(parts.no_network, images)
  scores = np.empty((2, len(pairs)))
  for k, codes in enumerate(templates[:2]):
    flat = codes[:, parts.UPRIGHT].reshape(len(images), -1).astype(np.float64)
    for place, (i, j) in enumerate(pairs):
      norms = np.linalg.norm(flat[i]) * np.linalg.norm(flat[j])
      scores[k, place] = np.dot(flat[i], flat[j]) / norms
  return scores, pairs


def fused(scores, mean, std):
  """log of the mean of exp of the standardised scores: [P]."""
  fine, wide = ((scores[k] - mean[k]) / std[k] for k in range(2))
  return np.log((np.exp(fine) + np.exp(wide)) / 2)


@pytest.fixture
def photos(monkeypatch):
  """Sets how many palms photographs show; returns what was asked for."""
  drawn_palms.compare_cheaply(monkeypatch)
  monkeypatch.setattr(parts, 'templates', cheap_templates)
  monkeypatch.setattr(cohort_thresholds, 'DRAWS', 11)
  asked = {'read': [], 'draw': []}

  def draw(seed, **settings):
    asked['draw'].append({'seed': seed, **settings})
    images = random_images(7, 12, settings['difficulty'])
    return images, np.arange(12), np.zeros(12, int)

  monkeypatch.setattr(as_read, 'draw', draw)

  def show(count):
    def read(folder, *, size, pattern):
      asked['read'].append({'folder': folder, 'size': size, 'pattern': pattern})
      return random_images(0, count, 0.6)

    monkeypatch.setattr(photographed_palms, 'read', read)
    return asked

  return show


def test_the_printed_numbers(photos, capsys):
  asked = photos(PALMS)
  uncalibrated.main(['photos', '--glob=*/x.jpg'])
  content = json.loads(capsys.readouterr().out)

  scores, pairs = code_scores(random_images(0, PALMS, 0.6))
  mean, std = scores.mean(axis=1), scores.std(axis=1)
  rows, columns = np.array(pairs).T
  among = fused(scores, mean, std)
  thresholds = cohort_thresholds.strict(
    among, rows, columns, FMRS, np.random.default_rng(0)
  )

  def passing(scores):
    # The first threshold is itself a score, and was found in float32.
    return [np.mean([s >= t - 1e-5 for s in scores]) for t in want]

  assert content.pop('palms') == PALMS
  assert content.pop('mean') == pytest.approx(mean, rel=1e-5)
  assert content.pop('std') == pytest.approx(std, rel=1e-5)
  want = list(content['thresholds'].values())
  assert want == pytest.approx(thresholds, rel=1e-4)
  # The constants that users get are of these rates.
  rates = [float(rate) for rate in content.pop('thresholds')]
  assert rates == [rate for rate, _ in constants.THRESHOLDS] == list(FMRS)
  shares = content.pop('fmr on them')
  assert shares == pytest.approx(passing(among))
  assert 0 < shares[1] < shares[0]

  settings = {call['difficulty']: call for call in asked['draw']}
  assert list(settings) == list(DIFFICULTIES)
  for difficulty in DIFFICULTIES:
    others, _ = code_scores(random_images(7, 12, difficulty))
    shares = content.pop(f'fmr on drawn palms, difficulty {difficulty}')
    assert shares == pytest.approx(passing(fused(others, mean, std)))
  assert shares[0] > 0
  assert not content


def test_palms_are_cut_and_drawn_as_verify_reads_them(photos):
  asked = photos(cohort.LEAST)
  uncalibrated.main(['photos'])
  (read,) = asked['read']
  assert read == {
    'folder': 'photos',
    'size': 64,
    'pattern': photographed_palms.SIGN_5,
  }
  for call in asked['draw']:
    # Each palm once, of twice the side, as the tables of `verify` draw them.
    assert call['samples'] == 1
    assert (call['square'], call['size']) == (64, 128)


def test_too_few_palms(photos, capsys):
  asked = photos(cohort.LEAST - 1)
  with pytest.raises(
    SystemExit, match=r'^uncalibrated: photos: 29 palms found; 30 needed$'
  ):
    uncalibrated.main(['photos'])
  assert not capsys.readouterr().out
  assert not asked['draw']
