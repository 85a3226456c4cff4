"""made_by.json, and the README.md that is made from it."""

import json
import shlex

import pytest

from palmjax.networks import shipped
from release import made_by

FOLDERS = [shipped.PALM, shipped.HAND, shipped.PALM_FRAME]


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda folder: folder.name)
def test_the_readme_is_the_one_of_made_by(folder):
  record = made_by.read(folder)
  assert record['name'] == folder.name
  assert (folder / 'README.md').read_text() == made_by.readme(record)


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda folder: folder.name)
def test_every_file_is_told(folder):
  record = made_by.read(folder)
  listed = {name for row in record['files'] for name in row['names']}
  unlisted = {'README.md', made_by.FILE}
  assert listed == {path.name for path in folder.iterdir()} - unlisted
  assert all((folder / name).exists() for name in record['figures'])


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda folder: folder.name)
def test_every_command_has_its_seed(folder):
  for command in made_by.read(folder)['commands']:
    assert isinstance(command['seed'], int)
    for word in command['argv']:
      if word.startswith(('--seed=', '--config.seed=')):
        assert word.endswith(f'={command["seed"]}')


def test_the_reader_is_made_by_the_commands_of_the_detector():
  reader, detector = map(made_by.read, (shipped.PALM_FRAME, shipped.HAND))
  assert reader['commands'] == detector['commands']


def test_placeholders_become_paths():
  words = ['--out={workdir}/a', '--data={set}', "--credit='{x}'"]
  assert made_by.placeholders([words]) == {'workdir', 'set'}
  assert made_by.fill(words, {'workdir': 'w', 'set': 's'}) == [
    '--out=w/a',
    '--data=s',
    "--credit='{x}'",
  ]
  (moved,) = made_by.inside([{'argv': words, 'seed': 1}], 'start')
  assert moved['argv'][0] == '--out={workdir}/start/a'


def test_a_shell_reads_the_words_of_the_readme():
  argv = ['python', '-m', 'a', "--b=('c', 'd')", '--e', '1', '2', '--f=$x "y"']
  text = made_by.readme(
    {
      'name': 'n',
      'about': ['A.'],
      'files': [],
      'commands': [{'argv': argv, 'seed': 0}],
    }
  )
  assert shlex.split(text.split('```')[1].replace('\\\n', ' ')) == argv


def test_it_is_json_on_lines(tmp_path):
  content = {'name': 'n', 'about': [], 'files': [], 'commands': []}
  made_by.write(tmp_path, content)
  assert json.loads((tmp_path / made_by.FILE).read_text()) == content
  assert made_by.read(tmp_path) == content


def test_the_readme_has_the_whole_command_that_makes_it_again():
  """Copied from the page, it needs folders and nothing else."""
  for folder in FOLDERS:
    text = (folder / 'README.md').read_text()
    command = f'release.rebuild --weights={folder.name} --workdir=DIR'
    boxes = ' --boxes=BOXES' if 'BOXES' in text.split('Made by')[1] else ''
    assert f'`python -m {command}{boxes}`' in text
