"""A network that knows nothing, folders of drawn palms, and the command."""

import contextlib
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from palmjax import calibrate
from palmjax.inference import matcher
from palmjax.networks import palm as palm_networks
from tests import untrained_network
from tests.inference import drawn_palms

# Five folds of 8 or more are compared in blocks, smaller ones one by one.
PALMS, IMAGES = 41, 2


@pytest.fixture(scope='module')
def bare(tmp_path_factory):
  """The export of a network as it was drawn, without thresholds."""
  directory = tmp_path_factory.mktemp('export')
  untrained_network.save(directory)
  return directory


@pytest.fixture(scope='module')
def untrained(bare, tmp_path_factory):
  """The same network with thresholds that were set elsewhere."""
  directory = tmp_path_factory.mktemp('exports') / 'calibrated'
  shutil.copytree(bare, directory)
  matcher.save(
    directory,
    [
      matcher.Calibration(
        comparison='cosine',
        dataset='drawn palms of a test',
        impostor_pairs=31_125,
        thresholds=((1e-2, 0.97), (1e-3, 0.99)),
      )
    ],
  )
  return directory


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """Folders 'flat', one image a palm, and 'known', two."""
  identities = np.repeat(2 * np.arange(PALMS), IMAGES)
  samples = np.tile(np.arange(IMAGES), PALMS)
  images = drawn_palms.draw_all(0, identities, samples, 0.3)
  root = tmp_path_factory.mktemp('palms')
  (root / 'flat').mkdir()
  for i, image in enumerate(images):
    who, sample = divmod(i, IMAGES)
    folder = root / 'known' / f'p{who:02}'
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / f'{sample}.png')
    if not sample:
      shutil.copy(folder / '0.png', root / 'flat' / f'p{who:02}.png')
  return root


@pytest.fixture
def flat(folders, tmp_path):
  """A copy of 'flat' to spoil."""
  return shutil.copytree(folders / 'flat', tmp_path / 'flat')


@pytest.fixture(autouse=True, scope='module')
def _compile_once():
  """A network that is loaded anew would be compiled anew."""
  networks, of_export = {}, palm_networks.of_export

  def of_export_once(exported, directory):
    key = json.dumps(exported.digests, sort_keys=True)
    if key not in networks:
      networks[key] = of_export(exported, directory)
    return networks[key]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(palm_networks, 'of_export', of_export_once)
    yield


@pytest.fixture(scope='module')
def flat_cohort(untrained, folders):
  """(path of a cohort of 'flat', what the command printed)."""
  out = folders / 'door' / 'cohort.npz'  # A folder that is not there yet.
  text = io.StringIO()
  with contextlib.redirect_stdout(text):
    code = calibrate.main(
      [str(folders / 'flat'), f'--out={out}', f'--export={untrained}']
    )
  assert code == 0
  return out, text.getvalue()


@pytest.fixture
def ask(untrained, capsys):
  """Runs calibrate, or another command; (code, stdout, stderr)."""

  def ask(*arguments, command=calibrate):
    code = command.main([f'--export={untrained}', *map(str, arguments)])
    return code, *capsys.readouterr()

  return ask


@pytest.fixture
def refusal(ask, tmp_path):
  """The error of a run without a cohort: one line, and no file."""

  def refusal(folder, *options):
    out = tmp_path / 'none.npz'
    code, output, errors = ask(folder, f'--out={out}', *options)
    assert (code, output) == (1, '')
    assert errors.startswith('palmjax: ')
    assert errors.count('\n') == 1
    assert not out.exists()
    assert not out.with_suffix('.html').exists()
    return errors

  return refusal
