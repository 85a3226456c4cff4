"""Palms of prepared sets and folders come upright, however they lie."""

import numpy as np
import pytest
from PIL import Image

from palmjax import prepare
from palmjax.data.sets import folder, prepared, stored_images, turns
from palmjax.data.sets.builders import iitd, polyu, real_sets

SIZE = 12


def _upright(palm, sample):
  """Noise of rows that grow darker from the fingers on."""
  noise = np.random.default_rng([palm, sample]).integers(0, 50, (SIZE, SIZE, 3))
  rows = np.linspace(200, 50, SIZE)[:, None, None]
  return (rows + noise).astype(np.uint8)


def _lying(palm, sample, turn):
  """The picture that a turn clockwise brings upright."""
  image = Image.fromarray(_upright(palm, sample))
  # Pillow turns the other way around.
  return image.rotate(turn, expand=True)


def _polyu(source, turn):
  source.mkdir()
  for palm in (1, 2, 3, 4):
    for session in 'FS':
      _lying(palm, ord(session), turn).save(
        source / f'PolyU_{palm:03}_{session}_01.bmp'
      )
  return source


def _assert_upright(data):
  for image, label, name in zip(
    data.images, data.labels, data.ids, strict=True
  ):
    np.testing.assert_array_equal(image, _upright(label + 1, ord(name[10])))


def test_the_builder_tells_the_turn(tmp_path):
  source = _polyu(tmp_path / 'polyu', 90)
  directory = real_sets.prepare('polyu', tmp_path / 'sets', source=source)
  opened = prepared.Source(directory, size=SIZE)
  assert opened.turn == 90
  _assert_upright(prepared.load(directory, size=SIZE))
  stored = stored_images.whole(opened)
  np.testing.assert_array_equal(stored.read()[1], stored[1])
  np.testing.assert_array_equal(stored[1], _upright(1, ord('S')))


@pytest.mark.parametrize('turn', [0, 180, 270])
def test_a_given_turn_counts_instead(tmp_path, capsys, turn):
  source = _polyu(tmp_path / 'polyu', turn)
  where = [f'--source={source}', f'--data_dir={tmp_path}/sets']
  assert prepare.main(['--dataset=polyu', f'--turn={turn}', *where]) == 0
  output = capsys.readouterr().out
  assert (f'after a turn by {turn}° clockwise' in output) == (turn > 0)
  directory = output.split(' palms in ')[1].split(', read')[0].split('\n')[0]
  _assert_upright(prepared.load(directory, size=SIZE))
  # Another turn is another prepared set.
  other = real_sets.prepare('polyu', tmp_path / 'sets', source=source)
  assert other != directory


@pytest.mark.parametrize(
  'options, message',
  [
    (['--dataset=polyu', '--source=x', '--turn=45'], 'invalid choice: 45'),
    (
      ['--dataset=polyu', '--source=x', '--turn=left'],
      'give a whole number, not',
    ),
  ],
)
def test_what_is_no_turn(tmp_path, capsys, options, message):
  with pytest.raises(SystemExit) as stop:
    prepare.main([*options, f'--data_dir={tmp_path}'])
  assert stop.value.code == 2
  errors = capsys.readouterr().err
  assert message in errors
  assert errors.count('\n') == 1


def test_drawn_palms_have_no_turn(tmp_path, capsys):
  arguments = ['--dataset=drawn_palms', '--turn=90', f'--data_dir={tmp_path}']
  assert prepare.main(arguments) == 1
  assert capsys.readouterr().err == (
    'palmjax: --turn is for real sets; drawn_palms lie upright\n'
  )


def test_cut_out_palms_of_iitd_lie_on_their_side_and_hands_do_not(tmp_path):
  def turn_of_files(*paths):
    for path in paths:
      (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
      (tmp_path / path).write_bytes(b'')
    return iitd.Iitd.turn(iitd.Iitd.find(tmp_path))

  assert turn_of_files('Left Hand/001_1.JPG', 'Right Hand/001_1.JPG') == 0
  assert (
    turn_of_files('Segmented/Left/001_1.bmp', 'Segmented/Right/001_1.bmp') == 90
  )


def test_only_two_sets_are_turned_unless_stated():
  turn_of = {name: build.turn(()) for name, build in real_sets.BUILDERS.items()}
  assert {name for name, turn in turn_of.items() if turn} == {'iitd', 'polyu'}
  assert polyu.Polyu.turn(()) == 90


def test_images_of_a_folder_are_turned(tmp_path):
  for palm in (1, 2):
    (tmp_path / f'p{palm}').mkdir()
    _lying(palm, 0, 270).save(tmp_path / f'p{palm}' / '0.png')
  data = folder.read(tmp_path, size=SIZE, turn=270)
  for image, label in zip(data.images, data.labels, strict=True):
    np.testing.assert_array_equal(image, _upright(label + 1, 0))


@pytest.mark.parametrize('turn', [45, -90, 360, True, '90', 1.5])
def test_other_values_are_no_turns(turn):
  with pytest.raises(ValueError, match='choose one of 0, 90, 180, 270'):
    turns.require(turn)
