"""Palms that lie on their side are told, and calibrated all the same."""

import json

import pytest
from PIL import Image

# Each calibrates a whole folder.
pytestmark = pytest.mark.slow


@pytest.fixture
def lying(flat):
  """A folder of palms with the fingers to the left."""
  for path in flat.iterdir():
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
  return flat


def test_the_turn_of_a_folder_is_told(ask, lying, tmp_path):
  out = tmp_path / 'cohort.npz'
  code, text, errors = ask(lying, f'--out={out}', '--json')
  assert code == 0
  assert out.exists()
  assert errors.count('\n') == 1
  assert errors.startswith('palmjax: warning: palms of flat: ')
  assert 'after a turn by 90° clockwise' in errors
  assert json.loads(text)['warnings'][0] in errors


def test_nothing_is_told_of_upright_palms(ask, folders, tmp_path):
  code, text, errors = ask(
    folders / 'flat', f'--out={tmp_path}/c.npz', '--json'
  )
  assert (code, errors) == (0, '')
  assert json.loads(text)['warnings'] == []
