"""`palmjax.convert`: a file for other runtimes, or one line that says why."""

import sys

import onnx
import pytest
from jax import export

from palmjax import convert


def test_onnx_is_written_into_a_new_folder(tmp_path, capsys):
  path = tmp_path / 'new' / 'palm.onnx'
  assert convert.main(['--to=onnx', f'--out={path}']) == 0
  (output,) = onnx.load(path).graph.output
  assert output.name == 'embeddings'
  said = capsys.readouterr().out
  assert 'uint8 [batch, 64, 64, 3] to embeddings float32 [batch, 128]' in said


def test_stablehlo_takes_images_of_another_size(tmp_path, capsys):
  path = tmp_path / 'palm.jax'
  arguments = ['--to=stablehlo', f'--out={path}', '--size=80']
  assert convert.main(arguments) == 0
  exported = export.deserialize(bytearray(path.read_bytes()))
  assert str(exported.in_avals[0].shape) == '(batch, 80, 80, 3)'
  assert '[batch, 80, 80, 3]' in capsys.readouterr().out


def test_without_onnx_it_says_what_to_install(tmp_path, capsys, monkeypatch):
  package = sys.modules['palmjax.networks.portable']
  for name in ('onnx_file', 'onnx_graph', 'onnx_operations'):
    monkeypatch.delitem(sys.modules, f'{package.__name__}.{name}', False)
    monkeypatch.delattr(package, name, False)
  monkeypatch.setitem(sys.modules, 'onnx', None)
  path = tmp_path / 'palm.onnx'
  assert convert.main(['--to=onnx', f'--out={path}']) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.endswith('in the clone of palmjax, pip install .[onnx]')
  assert not path.exists()


@pytest.mark.parametrize(
  'arguments, code, message',
  [
    (['--to=onnx', '--out=x', '--size=0'], 2, '--size=0: give 1 or more'),
    (['--to=tflite', '--out=x'], 2, "choose from 'onnx', 'stablehlo'"),
    (['--to=onnx'], 2, '--out'),
    (['nowhere', '--to=stablehlo', '--out=x'], 1, 'nowhere: there is no such'),
  ],
)
def test_mistakes_are_one_line(
  arguments, code, message, tmp_path, capsys, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  try:
    ended = convert.main(arguments)
  except SystemExit as error:
    ended = error.code
  assert ended == code
  (line,) = capsys.readouterr().err.splitlines()
  assert message in line
  assert not [*tmp_path.iterdir()]
