"""What has no answer: one line that says why."""

import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from palmjax.inference import matcher, verifier
from palmjax.networks import shipped

ROOT = pathlib.Path(__file__).parents[2]


def test_networks_of_another_kind(refusal, save):
  images = save('a.png'), save('b.png')
  error = refusal(*images, f'--export={shipped.HAND}')
  assert 'holds a hand detector; give the export of a palm network' in error


def test_images_without_an_answer(black, refusal, save, tmp_path):
  good = save('a.png')
  text = tmp_path / 'text.jpg'
  text.write_text('not a palm')
  # 100.02 megapixels in 13 kB.
  huge = save('huge.png', change=lambda _: Image.new('1', (10_002, 10_000), 1))
  for bad, message in (
    (text, 'text.jpg: is no image that can be read'),
    (tmp_path / 'none.jpg', 'none.jpg: there is no such file'),
    (tmp_path, 'is a folder; give'),
    (huge, 'huge.png: 10002 × 10000 pixels are more than 100 megapixels'),
    (save('black.png', change=black((64, 64))), 'black.png: one colour'),
    (save('small.png', change=lambda x: x.resize((20, 20))), '20 × 20 pixels;'),
    (save('pixel.png', change=black((1, 1))), 'pixel.png: one colour'),
    (save('red.png', change=lambda _: Image.new('RGB', (9, 9), 'red')), 'one'),
  ):
    assert message in refusal(good, bad)
    assert message in refusal(bad, good)


def test_rate_that_no_pairs_support(refusal, save):
  error = refusal(save('a.png'), save('b.png'), '--fmr=1e-4')
  assert 'no threshold for an FMR of 1e-4' in error
  assert (
    '31,125 impostor pairs support (rule of 30) those for 1e-2, 1e-3' in error
  )


def test_score_without_threshold(refusal, save, trained, tmp_path):
  for name in ('weights.npz', 'model.json', 'preprocess.json'):
    content = (trained / name).read_bytes()
    (tmp_path / name).write_bytes(content)
  images = save('a.png'), save('b.png')
  assert 'calibration.json is missing' in refusal(
    *images, f'--export={tmp_path}'
  )
  matcher.save(tmp_path, [matcher.load(trained, 'cosine')])
  assert "no thresholds for 'cosine, 8 views'" in refusal(
    *images, f'--export={tmp_path}', '--turns'
  )


def test_package_without_weights(refusal, save, tmp_path, monkeypatch):
  monkeypatch.setattr(shipped, 'PALM', tmp_path / 'none')
  message = 'holds no weights: install palmjax again, or train'
  assert message in refusal(
    save('a.png'), save('b.png'), f'--export={tmp_path / "none"}'
  )
  with pytest.raises(FileNotFoundError, match=message):
    verifier.load()


def test_export_that_is_none(refusal, save, tmp_path):
  error = refusal(save('a.png'), save('b.png'), f'--export={tmp_path}')
  assert 'model.json is missing' in error


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['a.png'], 'give two images, or one and --gallery=DIR'),
    (['a.png', 'b.png', 'c.png'], 'give two images'),
    (['a.png', 'b.png', '--gallery=G'], 'give two images'),
    (['a.png', 'b.png', '--fmr=2'], '--fmr=2.0: give a rate'),
    (['a.png', 'b.png', '--fmr=nan'], '--fmr=nan: give a rate'),
    (['a.png', '--gallery=G', '--top=0'], '--top=0: give 1 or more'),
    (
      ['a.png', 'b.png', '--score=network', '--cohort=c.npz'],
      '--cohort is for --score=fused, not for network',
    ),
    (['a.png', 'b.png', '--score=code'], 'invalid choice'),
    (
      ['a.png', 'b.png', '--detector=D'],
      '--detector=D: only with --photos; add it',
    ),
    (['a.png', '--gallery=G', '--palm-frame=P'], '--palm-frame=P: only with'),
  ],
)
def test_wrong_command_line(ask, capsys, arguments, message):
  with pytest.raises(SystemExit) as stop:
    ask(*arguments)
  assert stop.value.code == 2
  assert message in capsys.readouterr().err


def test_as_a_program(trained, save):
  # Pillow warns of so many pixels: nothing of it may stand beside our line.
  huge = save('huge.png', change=lambda _: Image.new('1', (10_002, 10_000), 1))
  process = subprocess.run(
    [
      *(sys.executable, '-m', 'palmjax.verify'),
      *(save('a.png'), huge, f'--export={trained}'),
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert process.returncode == 1
  assert process.stdout == ''
  assert process.stderr.startswith('palmjax: ')
  assert process.stderr.count('\n') == 1
