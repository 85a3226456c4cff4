"""A run refuses a folder of whole hands before anything is trained."""

import ml_collections
import numpy as np
import pytest
from PIL import Image

from palmjax import main
from palmjax.data.sets import folder
from palmjax.inference import decision
from palmjax.recipes.shared import whole_hands


def _folder(path, hands, palms=0):
  """Identities of two images: skin before a grey wall, or skin alone."""
  for k in range(hands + palms):
    noise = np.random.default_rng(k).integers(-20, 20, (2, 64, 64, 3))
    for i in range(2):
      image = np.empty((64, 64, 3), np.uint8)
      image[:] = (180, 182, 184) if k < hands else (200, 150, 120)
      image[16:, 12:52] = (200, 150, 120)
      image = np.clip(image + noise[i], 0, 255).astype(np.uint8)
      (path / f'p{k:02}').mkdir(parents=True, exist_ok=True)
      Image.fromarray(image).save(path / f'p{k:02}' / f'{i}.png')
  return path


def _check(path):
  data = ml_collections.ConfigDict({'name': 'folder', 'dir': str(path)})
  whole_hands.check(data, folder.read(path, size=32))


def test_most_images_are_whole_hands(tmp_path):
  with pytest.raises(ValueError, match=r'^6 of 10 images .* as p00/0.png: cut'):
    _check(_folder(tmp_path, 3, 2))


def test_few_whole_hands_are_named(tmp_path, caplog):
  _check(_folder(tmp_path, 1, 2))
  (record,) = caplog.records
  line = record.getMessage()
  assert line.startswith('p00/0.png, p00/1.png: may show a whole hand; if so, ')
  assert f'python -m palmjax.detect {tmp_path} --out=PALMS' in line


def test_palms_are_not_named(tmp_path, caplog):
  _check(_folder(tmp_path, 0, 3))
  assert caplog.records == []


def test_a_run_does_not_begin(tmp_path, capsys, recwarn):
  _folder(tmp_path / 'in', 40)
  code = main.main(
    [
      *('--config=metric:smoke', f'--workdir={tmp_path}/run'),
      *('--config.data.name=folder', f'--config.data.dir={tmp_path}/in'),
    ]
  )
  error = capsys.readouterr().err.splitlines()[-1]
  assert code == 1
  assert error.startswith('palmjax: 80 of 80 images seem to show whole hands')
  assert not (tmp_path / 'run' / 'network').exists()
  # Nor does the calibration of a run say it again, without the files' names.
  decision.squares([np.asarray(Image.open(tmp_path / 'in/p00/0.png'))], size=64)
  assert not [x for x in recwarn if 'whole hand' in str(x.message)]
