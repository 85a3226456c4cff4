"""Where README.md and docs/architecture.md say that a file is."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
LAYOUT = README.partition('## Layout')[2].split('```')[1]
ARCHITECTURE = (ROOT / 'docs' / 'architecture.md').read_text()


def test_layout_tells_every_room():
  rooms = {path.parent.name for path in ROOT.glob('palmjax/*/__init__.py')}
  for room in rooms:
    assert f'{room}/' in LAYOUT, room
    assert f'| `{room}/` |' in ARCHITECTURE, room


def _layout():
  """Paths that the README's layout names, without endings, by its indents."""
  rooms = re.split(r'\n(?= *[a-z]+/)', LAYOUT.strip('\n'))
  folders = []
  for room in rooms:
    head, _, names = re.sub(r'\([^)]*\)', '', room).partition('/')
    depth = (len(head) - len(head.lstrip())) // 2
    folders[depth:] = [head.strip()]
    yield '/'.join(folders)
    if names.startswith(','):  # Folders side by side.
      yield from (name.strip(' /\n') for name in names.split(',')[1:])
      continue
    for name in names.split(','):
      yield '/'.join([*folders, name.strip().rstrip('/')])


def test_files_of_the_layout_exist():
  paths = [*_layout()]
  assert 'palmjax/losses/triplet' in paths
  assert 'palmjax/evals/recognition/error_rates' in paths
  for path in paths:
    place = ROOT / path
    assert place.is_dir() or place.with_suffix('.py').exists(), path


@pytest.mark.parametrize(
  'formula, path',
  [
    ('ArcFace', 'losses/metric'),
    ('R1', 'losses/gan'),
    ('path length', 'losses/gan'),
    ('rule for p', 'steps/gan/ada'),
    ('focal loss', 'losses/detection'),
    ('triplet', 'losses/triplet'),
    ('EER', 'evals/recognition/error_rates'),
    ('over identities', 'evals/bootstrap'),
    ('AP50', 'evals/detection/average_precision'),
    ('orientation code', 'ops/gabor'),
    ('local normalisation', 'ops/contrast'),
    ('CBAM', 'models/attention'),
    ('heatmaps', 'ops/maps/centers'),
    ('patience', 'engine/stop'),
    ('KID', 'evals/generative'),
  ],
)
def test_the_layout_leads_to_a_formula(formula, path):
  name = path.rpartition('/')[2]
  assert re.search(rf'\b{name}\s*(\([^)]*)?{re.escape(formula)}', LAYOUT) or (
    formula == name
  )
  assert f'palmjax/{path}' in [*_layout()]


def test_files_of_the_formulas_exist():
  table = ARCHITECTURE.partition('## Where a formula is')[2].partition('##')[0]
  rows = [line.split('|')[1:-1] for line in table.splitlines() if '`' in line]
  assert len(rows) > 30
  for formula, names, source in rows:
    paths = re.findall('`([^`]+)`', names)
    assert paths, formula
    assert source.strip(), formula
    for path in paths:
      module = ROOT / 'palmjax' / path
      assert module.exists(), path
      cited = re.findall(r'\d{4}\.\d{4,5}|CN\d+A', source)
      text = module.read_text()
      assert all(paper in text for paper in cited), path
