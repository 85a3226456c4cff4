"""Galleries, ranked."""

import pytest


def test_gallery_of_identities(ask, answer, save, tmp_path):
  probe = save('probe.png', seed=1)
  for who in range(1, 5):
    for image in range(2):
      save(
        f'gallery/p{who}/{image}.png',
        seed=who,
        change=lambda image, turn=image: image.rotate(2 * turn),
      )
  (tmp_path / 'gallery' / 'p1' / 'broken.png').write_bytes(b'')
  save('gallery/p1/.hidden.png')
  ranking = answer(probe, f'--gallery={tmp_path}/gallery', '--top=3')
  assert (ranking['identities'], ranking['images']) == (4, 8)
  assert len(ranking['left_out']) == 1
  assert 'broken.png' in ranking['left_out'][0]
  assert [row['rank'] for row in ranking['ranks']] == [1, 2, 3]
  # The better one of its two images.
  assert ranking['ranks'][0]['image'] == 'p1/0.png'
  assert ranking['ranks'][0]['score'] == pytest.approx(1.0, abs=1e-5)
  assert ranking['ranks'][0]['decision'] == 'same'
  falling = [row['score'] for row in ranking['ranks']]
  assert falling == sorted(falling, reverse=True)
  assert {row['identity'] for row in ranking['ranks']} <= {
    'p1',
    'p2',
    'p3',
    'p4',
  }

  code, text, _ = ask(probe, f'--gallery={tmp_path}/gallery', '--top=1')
  lines = text.splitlines()
  assert code == 0
  assert lines[1].split() == ['1', '1.0000', 'same', 'p1/0.png']
  assert 'broken.png' in lines[2]
  assert lines[-1].startswith(
    'gallery of 4 palms, 8 images: at most 0.8 % of strangers'
  )


def test_a_palm_of_the_gallery_that_cannot_be_read(black, ask, save, tmp_path):
  probe = save('probe.png', seed=1)
  save('gallery/p1/0.png', seed=1)
  save('gallery/p2/0.png', change=black((8, 8)))
  code, text, _ = ask(probe, f'--gallery={tmp_path}/gallery')
  # Nobody can be found to be p2: an answer, but not of the whole gallery.
  assert code == 3
  assert text.splitlines()[1].endswith('p1/0.png')
  assert 'left out: p2: no image of this palm can be read' in text


def test_equal_scores_are_ranked_by_name(answer, save, tmp_path):
  probe = save('probe.png')
  for name in ('b', 'c', 'a'):
    save(f'gallery/{name}.png')
  ranking = answer(probe, f'--gallery={tmp_path}/gallery')
  assert [row['image'] for row in ranking['ranks']] == [
    'a.png',
    'b.png',
    'c.png',
  ]
  # A palm and itself: no cosine is above 1.
  assert all(0.999 < row['score'] <= 1.0 for row in ranking['ranks'])


def test_gallery_scores_are_those_of_pairs(answer, save, tmp_path, options):
  probe = save('probe.png')
  paths = {f'{i}.png': save(f'flat/{i}.png', seed=i) for i in range(3)}
  ranking = answer(probe, f'--gallery={tmp_path}/flat', *options)
  assert len(ranking['ranks']) == 3
  for row in ranking['ranks']:
    pair = answer(probe, paths[row['image']], *options)
    assert row['identity'] == row['image']
    assert row['score'] == pytest.approx(pair['score'], abs=1e-5)


def test_galleries_without_an_answer(black, refusal, save, tmp_path):
  probe = save('a.png')
  (tmp_path / 'empty' / 'p1').mkdir(parents=True)
  (tmp_path / 'empty' / 'readme.txt').write_text('no image')
  save('dark/p1/1.png', change=black((8, 8)))
  for directory, message in (
    ('empty', 'no image in'),
    ('nowhere', 'nowhere: give a folder of palms, or a file of --save-gal'),
    ('dark', 'can be read as a palm'),
  ):
    assert message in refusal(probe, f'--gallery={tmp_path / directory}')
