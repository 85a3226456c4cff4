"""A cohort of photos of whole hands, from photo to decision.

Hands are drawn, and the networks of the package find them.
"""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from palmjax import verify
from palmjax.data.hands import hands
from palmjax.inference import cohort_file, verifier

pytestmark = pytest.mark.slow

COUNT = 40  # Hands; 30 of them or more must be found.


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
  """A folder of photos, one open hand each, palm to the camera."""
  folder = tmp_path_factory.mktemp('photos')
  images = hands.draw_batch(
    *(jax.random.key(100), np.arange(COUNT)),
    size=192,
    difficulty=0.1,
    count=1,
    gesture=hands.GESTURES.index('five'),
    facing=True,
    angle=0.0,
    identity=2 * np.arange(COUNT),
  )['image']
  for i, image in enumerate(np.asarray(images)):
    Image.fromarray(image).save(folder / f'h{i:02}.png')
  return folder


def test_photos_make_a_cohort_that_decides(ask, photos, untrained, tmp_path):
  out = tmp_path / 'cohort.npz'
  code, text, _ = ask(photos, '--photos', f'--out={out}', '--json')
  answer = json.loads(text)
  # What shows no palm is named, and the others are used.
  assert code == (3 if answer['left_out'] else 0)
  assert answer['palms'] + len(answer['left_out']) == COUNT
  assert answer['palms'] >= 30
  assert answer['photos'] is True
  assert answer['next'].endswith('--photos')
  v = verifier.load(untrained)
  assert cohort_file.load(out, of=v.identity).photos is True
  assert (tmp_path / 'cohort.html').exists()

  left_out = ' '.join(answer['left_out'])
  one, other = [
    path for path in sorted(photos.iterdir()) if path.name not in left_out
  ][:2]
  options = '--photos', '--fmr=1e-2', f'--cohort={out}', '--json'
  for pair, decision in (((one, one), 'same'), ((one, other), 'different')):
    code, text, _ = ask(*pair, *options, command=verify)
    verdict = json.loads(text)
    assert (code, verdict['decision']) == (0, decision)
    assert verdict['set_on'].startswith(f'{answer["pairs"]:,} pairs of ')
    assert [row['hand'] for row in verdict['photos']] == ['left', 'left']
  code, _, error = ask(one, other, f'--cohort={out}', command=verify)
  assert code == 1
  assert 'of photos of whole hands: add --photos' in error
