"""The command of the timings, on few palms."""

import functools
import types

import pytest

from launch.bench import __main__ as bench
from launch.bench import codes, galleries
from palmjax.inference import verifier


def test_an_unknown_subject_is_refused(capsys):
  with pytest.raises(SystemExit) as ended:
    bench.main(['codes', 'planets'])
  assert ended.value.code == 2
  error = capsys.readouterr().err
  assert "no subject 'planets': choose of drawing, pairs, codes" in error


def test_codes_have_their_lines(monkeypatch, capsys):
  monkeypatch.setattr(codes, 'MANY', 3)
  bench.main(['codes', '--repeats=1'])
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].split() == ['template,', 'one', 'code', '2,048', 'bytes']
  assert [line[:36].strip() for line in lines[2:]] == [
    'codes of a palm and of its turns',
    'one pair, both directions, fine',
    '3 × 3 palms, fine',
    'one pair, both directions, wide6',
    '3 × 3 palms, wide6',
  ]


def test_a_gallery_is_enrolled_kept_and_searched(monkeypatch, capsys):
  monkeypatch.setattr(galleries, 'PALMS', 2)
  load = functools.partial(verifier.load, turns=False)
  monkeypatch.setattr(verifier, 'load', load)
  galleries.run(types.SimpleNamespace(repeats=1))
  lines = capsys.readouterr().out.splitlines()
  assert [line[:36].strip() for line in lines] == [
    'enrolling 2 palms',
    'their file',
    'reading the file',
    'one probe in the gallery',
  ]
