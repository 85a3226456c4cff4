"""Commands of server and device: what they say of wrong words."""

import subprocess
import sys

import pytest

from palmjax.edge.device import __main__ as device_command
from palmjax.edge.server import __main__ as server_command
from tests import untrained_network

SERVER = ['--teacher=x', '--student=y']


def refused(main, argv, capsys):
  with pytest.raises(SystemExit) as ended:
    main(argv)
  assert ended.value.code == 2
  (line,) = capsys.readouterr().err.splitlines()
  return line


@pytest.mark.parametrize(
  'argv, message',
  [
    ([], '--teacher'),
    ([*SERVER, '--fmr=2'], 'between 0 and 1'),
    ([*SERVER, '--rate=0'], 'above 0'),
    ([*SERVER, '--scale=-1'], 'above 0'),
    ([*SERVER, '--tls-cert=a'], 'give both'),
    ([*SERVER, '--tls-cert=a', '--tls-key=b'], 'no such file'),
    ([*SERVER, '--port=80000'], 'from 1 to 65535'),
    ([*SERVER, '--port=0'], 'from 1 to 65535'),
    ([*SERVER, '--add-device='], 'give a label'),
    ([*SERVER, '--add-device= '], 'give a label'),
    ([*SERVER, f'--add-device={81 * "x"}'], 'give a label'),
    ([*SERVER, '--tecaher=a'], 'did you mean --teacher'),
  ],
)
def test_wrong_words_to_the_server(argv, message, capsys):
  assert message in refused(server_command.main, argv, capsys)


@pytest.mark.parametrize(
  'argv, message',
  [
    (['status'], '--store'),
    (['--store=s'], 'COMMAND'),
    (['--store=s', 'sing'], 'invalid choice'),
    (['--store=s', 'run'], 'a folder or --camera'),
    (['--store=s', 'run', 'f', '--camera=0'], 'a folder or --camera'),
    (['--store=s', '--ask=0', 'status'], '1 or more'),
    (['--store=s', 'identify', 'a', 'b'], 'for many: run FOLDER'),
    (['--store=s', '--server=ftp://a', 'sync'], 'give http://HOST:PORT'),
    (['--store=s', 'sync', '--server=a:1'], 'give http://HOST:PORT'),
    (['--store=s', 'update', '--enough=3'], '--enough is unknown after a'),
    (['--store=s', '--package=p', 'status'], 'needs --public-key'),
    (['--store=s', '--key-file=a', '--key-variable=B', 'status'], 'allowed'),
  ],
)
def test_wrong_words_to_the_device(argv, message, capsys):
  assert message in refused(device_command.main, argv, capsys)


def test_a_device_without_a_student_says_what_to_do(tmp_path, capsys):
  store = f'--store={tmp_path / "palm.db"}'
  for command in (['identify', 'x.png'], ['enrol', 'Ann', 'x.png'], ['update']):
    assert device_command.main([store, *command]) == 1
    assert 'run `sync`' in capsys.readouterr().err
  assert device_command.main([store, 'status']) == 0
  assert 'student: none yet' in capsys.readouterr().out
  assert device_command.main([store, 'rollback']) == 1
  assert device_command.main([store, 'forget', 'Ann']) == 1
  assert 'nobody is enrolled' in capsys.readouterr().err
  assert device_command.main([store, 'sync']) == 1
  assert 'join CODE' in capsys.readouterr().err


def test_a_teacher_without_a_scale_and_too_few_impostors(tmp_path, capsys):
  untrained_network.save(tmp_path / 'network')
  argv = [f'--teacher={tmp_path / "network"}', f'--data={tmp_path / "data"}']
  argv += [f'--student={tmp_path / "network"}', '--database=nonsense']
  argv += ['--add-device=door']  # No port is taken.
  (tmp_path / 'data').mkdir()
  assert server_command.main([*argv, f'--impostors={tmp_path}']) == 1
  assert 'palmjax: ' in capsys.readouterr().err


@pytest.mark.parametrize(
  'module, library', [('server', 'uvicorn'), ('device', 'sqlalchemy')]
)
def test_a_library_that_is_missing_is_one_line(module, library):
  program = (
    f"import sys, runpy; sys.modules['{library}'] = None; "
    f"runpy.run_module('palmjax.edge.{module}', run_name='__main__')"
  )
  done = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=False
  )
  assert done.returncode == 1
  assert done.stderr == (
    f'palmjax: {library} is not installed: in the clone of palmjax, pip '
    'install .[edge]\n'
  )
