"""Galleries that are enrolled once, and nobody."""

import json

import numpy as np
import pytest

from palmjax.inference import verifier


@pytest.fixture
def folder(save, tmp_path):
  """A folder of four pictures, of seeds 1 to 4."""
  for who in range(1, 5):
    save(f'gallery/p{who}/0.png', seed=who)
  (tmp_path / 'gallery' / 'p1' / 'broken.png').write_bytes(b'')
  return tmp_path / 'gallery'


def parsed(result):
  """The answer of a run with --json."""
  code, output, errors = result
  assert (code, errors) == (0, '')
  return json.loads(output)


def test_a_saved_gallery_answers_as_its_folder(
  ask_plainly, save, folder, tmp_path
):
  probe, path = save('a.png', seed=2), tmp_path / 'new' / 'gallery.npz'
  first = parsed(
    ask_plainly(
      probe, f'--gallery={folder}', f'--save-gallery={path}', '--json'
    )
  )
  assert first['saved'] == str(path)
  again = parsed(ask_plainly(probe, f'--gallery={path}', '--json'))
  assert again['left_out'] == []
  for key in ('ranks', 'identity', 'identities', 'images', 'threshold'):
    assert again[key] == first[key]
  plain = parsed(ask_plainly(probe, f'--gallery={folder}', '--json'))
  assert 'saved' not in plain
  assert [row['image'] for row in plain['ranks']] == [
    row['image'] for row in first['ranks']
  ]
  assert first['identity'] == plain['identity'] == 'p2'
  _, text, _ = ask_plainly(probe, f'--gallery={path}')
  assert '\nfound: p2\n' in text
  # Of the options that it was made with, and of the usual score.
  for options, message in (
    (['--turns'], 'was made with other turns: make it again by python -m'),
    (['--score=network'], 'a gallery is of the fused score, not of '),
  ):
    code, output, error = ask_plainly(probe, f'--gallery={path}', *options)
    assert (code, output) == (1, '')
    assert message in error
    assert error.count('\n') == 1


def test_below_the_threshold_it_is_nobody(ask_plainly, save, folder):
  stranger = save('stranger.png', seed=9)
  ranking = parsed(
    ask_plainly(stranger, f'--gallery={folder}', '--json', '--top=1')
  )
  assert ranking['identity'] is None
  assert ranking['ranks'][0]['decision'] == 'different'
  assert ranking['ranks'][0]['score'] < ranking['threshold']
  code, text, _ = ask_plainly(stranger, f'--gallery={folder}', '--top=1')
  assert code == 0
  assert '\nnobody: every palm of the gallery is different\n' in text


@pytest.mark.parametrize(
  'options',
  [
    ['b.png', '--save-gallery=g.npz'],
    ['--gallery={file}', '--save-gallery=g.npz'],
    ['--gallery=DIR', '--save-gallery=g.npz', '--score=network'],
  ],
)
def test_what_cannot_be_saved(ask_plainly, capsys, save, options):
  probe = save('a.png')
  with pytest.raises(SystemExit) as ended:
    ask_plainly(probe, *(option.format(file=probe) for option in options))
  assert ended.value.code == 2
  assert 'palmjax: --save-gallery' in capsys.readouterr().err


def test_a_gallery_that_is_no_gallery(ask_plainly, save):
  probe = save('a.png')
  code, output, error = ask_plainly(probe, f'--gallery={probe}')
  assert (code, output) == (1, '')
  assert 'a.png is no gallery, or damaged: make it again by' in error
  # Not in place of the image.
  assert error.endswith('--gallery=DIR --save-gallery=gallery.npz\n')
  assert error.count('\n') == 1


def test_from_python(trained, pictures):
  judge = verifier.load(trained)
  palms, others = (list(pictures(3, seed, (64, 64))) for seed in (1, 2))
  gallery = judge.enrol(palms)
  assert (len(gallery), gallery.names) == (3, ('0', '1', '2'))
  assert gallery.sides == (None, None, None)
  want = judge.scores(others, palms)
  np.testing.assert_allclose(judge.scores(others, gallery), want, atol=1e-4)
  np.testing.assert_allclose(judge.scores(gallery, others), want.T, atol=1e-4)
  among = judge.scores(gallery, gallery)
  assert (among.argmax(axis=1) == np.arange(3)).all()
  named = judge.enrol({'me': palms[0]})
  assert named.names == ('me',)
  # The network's part is there for verifiers with a cohort.
  assert gallery.templates.network.shape == (3, 16)
  with pytest.raises(ValueError, match='enrolled with other turns'):
    verifier.load(trained, turns=True).scores(others, gallery)
  with pytest.raises(ValueError, match='a gallery is of the fused score'):
    verifier.load(trained, score='network').scores(others, gallery)
  with pytest.raises(ValueError, match='no palm to enrol'):
    judge.enrol([])
