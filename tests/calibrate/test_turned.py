"""Palms that lie on their side are told, and calibrated all the same.

Also the shortest run of `--known`. Palms are compared without the search for
the best shift, which is most of the time.
"""

import json
import re

import pytest
from PIL import Image

from tests.inference import drawn_palms


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
  drawn_palms.compare_cheaply(monkeypatch)


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
  assert errors.startswith("palmjax: warning: palms of 'flat': ")
  assert 'after a turn by 90° clockwise' in errors
  assert json.loads(text)['warnings'][0] in errors


@pytest.mark.slow
def test_nothing_is_told_of_upright_palms(ask, folders, tmp_path):
  code, text, errors = ask(
    folders / 'flat', f'--out={tmp_path}/c.npz', '--json'
  )
  assert (code, errors) == (0, '')
  assert json.loads(text)['warnings'] == []


def test_known_palms_are_a_table_of_fnmr(ask, folders, tmp_path):
  out = tmp_path / 'cohort.npz'
  code, text, errors = ask(folders / 'known', '--known', f'--out={out}')
  assert (code, errors) == (0, '')
  first, head, *lines = text.splitlines()
  assert first == (
    '41 palms, 820 pairs of different palms; 41 pairs of one palm, of 41 palms'
  )
  assert head.split()[-4:] == ['FNMR', '[95', '%', 'interval]']
  assert re.fullmatch(
    r' +1e-1 +[0-9.]+  measured +[0-9.]+ % \[[0-9.]+, [0-9.]+\], [0-9]+ of 41 '
    'pairs',
    lines[0],
  )
  page = out.with_suffix('.html').read_text()
  assert 'FNMR of these pairs' in page
  assert 'Network: FNMR of these pairs' in page
