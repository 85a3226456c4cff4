"""Photos of whole hands."""

import json

import numpy as np
import pytest
from PIL import Image

from palmjax.inference import finder, verifier
from palmjax.networks import shipped


class Photos:
  """Photos of hands, and what stands in for their detector."""

  def __init__(self, directory, pictures):
    self.directory, self.pictures, self.hands = directory, pictures, {}

  def save(self, name, *palms):
    """Palms: (seed, side, changes of the `Hand`); returns the path."""
    # Told apart by their widths.
    photo = np.full((100, 60 * len(palms) + 20 + len(self.hands), 3), 90, 'u1')
    hands = []
    for k, (seed, side, changes) in enumerate(palms):
      left = 10 + 60 * k
      photo[30:70, left : left + 40] = self.pictures(1, seed)[0][..., None]
      d = 40 / 1.8
      points = np.array([[-0.5, -0.1], [0.5, -0.1], [0.0, 2.2]]) * d
      points *= [1 if side == 'left' else -1, 1]
      hand = finder.Hand(
        np.array([left, 10, left + 40, 90], float),
        'five',
        0.9 - 0.1 * k,
        np.add(points, [left + 20, 30]),
        0.8,
      )
      hands.append(hand._replace(**changes))
    self.hands[photo.shape] = hands
    path = self.directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path)
    return str(path)

  def find(self, photo):
    return self.hands[photo.shape]


@pytest.fixture
def photos(tmp_path, monkeypatch, pictures):
  photos = Photos(tmp_path, pictures)
  monkeypatch.setattr(finder, 'load', lambda *_, **__: photos.find)
  return photos


def test_photos_are_compared_as_their_palms_are(
  pictures, answer, photos, tmp_path
):
  one = photos.save('a.png', (7, 'left', {}))
  again = photos.save('b.png', (7, 'left', {}))
  other = photos.save('c.png', (8, 'left', {}))
  flat = [tmp_path / f'{seed}.png' for seed in (7, 8)]
  for seed, path in zip((7, 8), flat, strict=True):
    Image.fromarray(pictures(1, seed)[0]).save(path)
  want = answer(*flat)['score']
  same = answer(one, again, '--photos')
  assert (same['decision'], same['same_side']) == ('same', True)
  assert same['score'] == pytest.approx(1.0, abs=1e-5)
  different = answer(one, other, '--photos')
  assert different['decision'] == 'different'
  # Shrunk in another way.
  assert different['score'] == pytest.approx(want, abs=0.05)
  assert different['photos'] == [
    {
      'image': path,
      'hand': 'left',
      'gesture': 'five',
      'hand_score': 0.9,
      'palms': 1,
    }
    for path in (one, other)
  ]


def test_hands_of_two_sides_and_several_palms_are_told(ask, answer, photos):
  left = photos.save('a.png', (7, 'left', {}))
  both = photos.save('b.png', (8, 'right', {}), (7, 'left', {}))
  verdict = answer(left, both, '--photos')
  assert verdict['same_side'] is False
  assert [row['hand'] for row in verdict['photos']] == ['left', 'right']
  assert [row['palms'] for row in verdict['photos']] == [1, 2]
  _, text, _ = ask(left, both, '--photos')
  lines = text.splitlines()
  assert lines[3] == f"{left}: left hand, 'five' with a score of 0.90"
  assert lines[4].endswith('of 0.90; the best of 2 palms')
  assert lines[5].startswith('the back of a hand can pass as a palm: look at')
  assert lines[6].startswith('a left and a right hand: two palms')
  assert 'one of them is mirrored' in lines[6]
  # Without photos nobody knows, and whole hands are warned of.
  code, text, errors = ask(left, both, '--json')
  assert (code, errors.count('\n')) == (0, 1)
  assert 'same_side' not in json.loads(text)
  (line,) = json.loads(text)['warnings']
  assert errors == f'palmjax: warning: {line}\n'
  assert line == (
    f'{both} is no square cut-out; if an image shows a whole hand add --photos'
  )


def test_two_sides_are_two_palms_however_alike(
  answer, photos, monkeypatch, tmp_path
):
  monkeypatch.setattr(
    verifier.Verifier,
    'scores',
    lambda self, probes, gallery: np.full((1, len(gallery)), 0.999),
  )
  left = photos.save('a.png', (7, 'left', {}))
  right = photos.save('gallery/p1/b.png', (8, 'right', {}))
  verdict = answer(left, left, '--photos')
  assert (verdict['decision'], verdict['score']) == ('same', 0.999)
  verdict = answer(left, right, '--photos')
  assert (verdict['decision'], verdict['score']) == ('different', 0.999)
  arguments = left, f'--gallery={tmp_path}/gallery', '--photos'
  (row,) = answer(*arguments)['ranks']
  assert (row['decision'], row['score']) == ('different', 0.999)


def test_photos_without_a_palm(refusal, photos, save):
  good = photos.save('a.png', (7, 'left', {}))
  for bad, message in (
    (photos.save('b.png'), 'b.png: no hand found; show a whole hand'),
    (
      photos.save('c.png', (7, 'left', {'facing': 0.1})),
      "c.png: no palm found, but the back of 'five'; show an open hand",
    ),
    (
      photos.save('d.png', (7, 'left', {'gesture': 'fist'})),
      "d.png: no palm found, but 'fist'",
    ),
    ('none.png', 'none.png: there is no such file'),
  ):
    assert message in refusal(good, bad, '--photos')
    assert message in refusal(bad, good, '--photos')


def test_galleries_of_photos(answer, ask, photos, tmp_path):
  probe = photos.save('probe.png', (1, 'right', {}))
  for seed, side in ((1, 'right'), (2, 'left')):
    photos.save(f'gallery/p{seed}/a.png', (seed, side, {}))
  photos.save('gallery/p2/b.png', (2, 'left', {'facing': 0.0}))
  arguments = probe, f'--gallery={tmp_path}/gallery', '--photos'
  ranking = answer(*arguments)
  assert [row['image'] for row in ranking['ranks']] == ['p1/a.png', 'p2/a.png']
  assert [row['hand'] for row in ranking['ranks']] == ['right', 'left']
  assert ranking['ranks'][0]['score'] == pytest.approx(1.0, abs=1e-5)
  assert 'b.png: no palm found' in ranking['left_out'][0]
  assert ranking['photos'][0]['hand'] == 'right'
  _, text, _ = ask(*arguments)
  lines = text.splitlines()
  assert lines[1].endswith('p1/a.png (right hand)')
  assert lines[-2].startswith(f'{probe}: right hand')
  assert lines[-1].startswith('the back of a hand can pass as a palm')


def test_small_palms_are_told(ask_plainly, photos):
  small = photos.save('a.png', (7, 'left', {}))
  points = np.array([[25.0, 40.0], [65.0, 40.0], [45.0, 90.0]])
  large = photos.save('b.png', (8, 'left', {'points': points}))
  for arguments, count in (
    ((small, large), 1),
    ((large, large), 0),
    # The network alone sees no more than 32 pixels.
    ((small, large, '--score=network'), 0),
  ):
    code, text, errors = ask_plainly('--photos', '--json', *arguments)
    assert (code, errors.count('\n')) == (0, count)
    assert len(json.loads(text)['warnings']) == count
    assert not count or (
      f'warning: {small}: the palm is 40 px wide and was enlarged to 64'
      in errors
    )


def test_photos_need_a_detector(refusal, save, tmp_path, monkeypatch):
  monkeypatch.setattr(shipped, 'HAND', tmp_path / 'none')
  images = save('a.png'), save('b.png')
  error = refusal(*images, '--photos', f'--detector={tmp_path / "none"}')
  assert 'holds no weights: install palmjax again, or train networks' in error
  error = refusal(*images, '--photos', f'--detector={tmp_path}')
  assert 'model.json is missing' in error


def test_another_reader_of_palm_frames_is_asked_for_by_name(
  refusal, save, tmp_path
):
  none = tmp_path / 'none'
  images = save('a.png'), save('b.png')
  error = refusal(*images, '--photos', f'--palm-frame={none}')
  assert f'{none}: there is no such folder' in error
