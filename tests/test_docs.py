"""What README.md and docs/ say of commands, options, files and errors."""

import ast
import contextlib
import importlib.util
import io
import pathlib
import re
import shlex
import tomllib

import numpy as np
import pytest
from PIL import Image

from configs import distill, gesture, metric, robust, ssl
from palmjax.inference import decision, verifier
from palmjax.models import backbones
from palmjax.recipes.metric import losses as metric_losses

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
PAGES = {
  path.relative_to(ROOT).as_posix(): path.read_text()
  for path in [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
}
TEXT = '\n'.join(PAGES.values())
CONFIGS = {
  'ssl': ssl,
  'metric': metric,
  'gesture': gesture,
  'robust': robust,
  'distill': distill,
}
# Files of the project, named on a page.
NAMED = r'`((?:palmjax|tests|docs)/[\w./]+)`'
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']


def _is_known(value, key):
  """Whether a dotted key is one of a configuration."""
  name, _, rest = key.partition('.')
  return name in value and (not rest or _is_known(value[name], rest))


def _tables(text):
  """Tables of a page: lists of rows, which are lists of cells."""
  for block in re.findall(r'(?:^ *\|.*\n)+', text, re.MULTILINE):
    lines = [line.strip().strip('|') for line in block.splitlines()]
    rows = [[cell.strip() for cell in line.split('|')] for line in lines]
    yield [rows[0], *rows[2:]]


def test_the_readme_is_short():
  assert len(README.splitlines()) <= 150


@pytest.mark.parametrize(
  'key', sorted({*re.findall(r'--config\.([\w.]+)[=`]', TEXT)} - {'KEY'})
)
def test_keys_that_are_named(key):
  assert any(_is_known(config.get_config(), key) for config in CONFIGS.values())


def test_values_that_are_named():
  for name in re.findall(r'--config\.network\.name=(\w+)', TEXT):
    backbones.build(
      name, embedding_size=8, width=1.0, dtype='float32', attention=False
    )
  names = re.findall(r'--config\.loss\.name=([\w+]+)', TEXT)
  assert names
  for name in names:
    metric_losses.losses({**metric.get_config().loss.to_dict(), 'name': name})
  for pair in re.findall(r'--override (\S+)', TEXT):
    key = pair.partition('=')[0]
    assert any(
      _is_known(config.get_config(), key) for config in CONFIGS.values()
    )


def test_every_key_of_the_stop_section_is_told():
  keys = re.findall(r'\| `(stop\.\w+)` \|', PAGES['docs/architecture.md'])
  assert {*keys} == {f'stop.{key}' for key in metric.get_config().stop}


def test_variants_that_are_named():
  variants = {*re.findall(r'\b(\w+)\.py:(\w+)', TEXT)}
  assert len(variants) > 5
  for name, variant in variants:
    if name == 'NAME':
      for config in CONFIGS.values():
        config.get_config(variant)
    else:
      CONFIGS[name].get_config(variant)


def _commands():
  """Words of each command line that the pages show, with its module."""
  fence = re.compile(r'^```\w*\n(.*?)^```$', re.MULTILINE | re.DOTALL)
  code = fence.findall(TEXT) + re.findall('`([^`]+)`', fence.sub('', TEXT))
  commands = set()
  for text in code:
    for line in re.sub(r'\\\n|\n(?=--)', ' ', text).splitlines():
      _, found_one, rest = line.partition('python -m ')
      if found_one:
        name, *words = shlex.split(rest, comments=True)
        commands.add((name, tuple(words)))
  return sorted(commands)


COMMANDS = _commands()


@pytest.mark.parametrize('module', sorted({name for name, _ in COMMANDS}))
def test_commands_that_are_named(module):
  spec = importlib.util.find_spec(module)
  assert spec is not None
  known = _options_of(spec)
  for name, words in COMMANDS:
    options = {word.split('=')[0] for word in words if re.match(r'--\w', word)}
    if name == module:
      assert {x for x in options if not x.startswith('--config.')} <= known


def test_options_that_are_named():
  known = set().union(
    *(
      _options_of(importlib.util.find_spec(name))
      for name in {name for name, _ in COMMANDS}
    )
  )
  for path in ROOT.glob('launch/*.sh'):
    known |= {*re.findall(r'--[a-z][\w-]*', path.read_text())}
  named = {*re.findall(r'(?<![\w-])--[a-z][\w-]*', TEXT)}
  assert named <= known, named - known


def _options_of(spec):
  """Options of a command, as its --help tells them."""
  if spec.submodule_search_locations:  # A package runs its __main__.
    spec = importlib.util.find_spec(f'{spec.name}.__main__')
  source = pathlib.Path(spec.origin).read_text()
  if 'app.run(' in source:  # absl: its --help ends the process.
    return {f'--{x}' for x in re.findall(r"DEFINE_\w+\(\s*'(\w+)'", source)}
  out = io.StringIO()
  with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
    importlib.import_module(spec.name).main(['--help'])
  return {*re.findall(r'--[\w-]+', out.getvalue())}


def test_console_commands_are_the_project_s():
  scripts = PROJECT['scripts']
  commands = {*re.findall(r'`(palmjax(?:-\w+)*)[`\s]', README)}
  assert commands == {*scripts}
  for target in scripts.values():
    module, _, name = target.partition(':')
    assert hasattr(importlib.import_module(module), name)


def test_python_that_is_shown():
  blocks = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)
  assert blocks
  for block in blocks:
    tree, modules = ast.parse(block), {}
    for node in ast.walk(tree):
      if isinstance(node, ast.ImportFrom):
        for alias in node.names:
          modules[alias.name] = importlib.import_module(
            f'{node.module}.{alias.name}'
          )
    for node in ast.walk(tree):
      if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id in modules:
          assert hasattr(modules[node.value.id], node.attr), node.attr
        if node.value.id == 'v':
          assert hasattr(verifier.Verifier, node.attr), node.attr
        if node.value.id == 'answer':
          assert node.attr in decision.Decision._fields, node.attr


def test_the_readme_s_python_runs(capsys, monkeypatch, tmp_path):
  (block,) = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
  noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
  for name, image in zip(('A.jpg', 'B.jpg'), noise, strict=True):
    Image.fromarray(image).save(tmp_path / name)
  monkeypatch.chdir(tmp_path)
  exec(block, {})
  assert capsys.readouterr().out == 'different\n'


@pytest.mark.parametrize('page', PAGES)
def test_files_that_are_named(page):
  text, folder = PAGES[page], (ROOT / page).parent
  links = re.findall(r'\]\(([^)]+)\)', text)
  assert links or page == 'docs/troubleshooting.md'
  for link in links:
    if link.startswith('https://'):
      continue
    file, _, section = link.partition('#')
    assert (folder / file).exists(), link
    if section:
      heads = re.findall('^#+ (.*)', (folder / file).read_text(), re.MULTILINE)
      names = [re.sub('[^a-z0-9 -]', '', head.lower()) for head in heads]
      assert section in {name.replace(' ', '-') for name in names}, link
  for path in re.findall(NAMED, text):
    assert (ROOT / path).exists(), path


def test_files_and_commands_that_the_weights_name():
  pages = [*ROOT.glob('palmjax/weights/*/*README.md')]
  assert len(pages) >= 3
  for page in pages:
    for path in re.findall(NAMED, page.read_text()):
      assert (ROOT / path).exists(), path
    for name in re.findall(r'python -m ([\w.]+\w)', page.read_text()):
      assert importlib.util.find_spec(name) is not None, name


def test_the_picture_s_rooms_exist():
  picture = (ROOT / 'docs' / 'architecture.svg').read_text()
  names = re.findall(r'class="name"[^>]*>([^<]+)<', picture)
  for name in names:
    folder = ''
    for part in name.split(', '):
      folder = part.rpartition('/')[0] if '/' in part else folder
      path = ROOT / 'palmjax' / folder / part.rpartition('/')[2]
      assert (
        name == 'export/' or path.exists() or path.with_suffix('.py').exists()
      ), name


def test_errors_that_are_told_are_raised():
  messages = [
    piece
    for table in _tables(PAGES['docs/troubleshooting.md'])
    if table[0][0] == 'the line says'
    for row in table[1:]
    for piece in re.findall('`([^`]+)`', row[0])
  ]
  assert len(messages) > 20
  texts = '\n'.join(
    node.value
    for path in ROOT.glob('palmjax/**/*.py')
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
  )
  for piece in messages:
    assert piece in texts, piece


def test_the_ci_finds_the_test_command():
  command = re.compile('^pip install -r requirements-dev.txt && pytest', re.M)
  assert command.search(README)
  assert re.search(
    r'^pip install -r requirements.txt && python -m palmjax.main '
    r'--config configs/ssl.py --workdir runs/ssl$',
    README,
    re.M,
  )


def test_photographs_are_found_by_variables_alone():
  """No test looks for folders beside the checkout; .ci/run says where."""
  outside = '../' + 'shared'
  used = set()
  for path in (ROOT / 'tests').rglob('*.py'):
    source = path.read_text()
    assert outside not in source, path
    used |= set(re.findall(r"os\.environ\.get\('(PALMJAX_\w+)'", source))
  assert used == {'PALMJAX_GESTURES', 'PALMJAX_HANDS'}
  script = (ROOT / '.ci/run').read_text()
  assert set(re.findall(r'^export (PALMJAX_\w+)=', script, re.M)) == used
