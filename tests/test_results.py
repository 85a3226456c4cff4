"""Tables of README.md and docs/results.md are what the JSON files hold."""

import json
import pathlib
import re

import pytest

from configs import metric
from palmjax.networks import shipped
from palmjax.recipes.metric import losses as metric_losses

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
RESULTS = (ROOT / 'docs' / 'results.md').read_text()
RECIPES = 5
TABLES = sorted((ROOT / 'docs' / 'results').glob('*.json'))


def _tables(text):
  """Tables of a page: lists of rows, which are lists of cells."""
  for block in re.findall(r'(?:^ *\|.*\n)+', text, re.MULTILINE):
    lines = [line.strip().strip('|') for line in block.splitlines()]
    rows = [[cell.strip() for cell in line.split('|')] for line in lines]
    yield [rows[0], *rows[2:]]


def _agrees(cell, value):
  """Whether a cell shows a value, rounded as it is written.

  Args:
    cell: 'mean', 'mean ± std' or 'mean [low, high]'.
    value: {'mean'}, perhaps with 'std', or with 'low' and 'high'.
  """
  parts, names = [cell], ('mean',)
  if '±' in cell:
    parts, names = cell.split('±'), ('mean', 'std')
  elif '[' in cell:
    parts, names = re.split(r'\[|, ', cell.strip(']')), ('mean', 'low', 'high')
  elif value.get('std'):
    return False
  parts = [part.strip().replace(',', '') for part in parts]
  return all(
    name in value and f'{value[name]:.{len(part.partition(".")[2])}f}' == part
    for part, name in zip(parts, names, strict=True)
  )


def _differences(table, values):
  """Cells of a table that are not what the JSON holds."""
  head, *rows = table
  return [
    (name, column, cell)
    for name, *cells in rows
    for column, cell in zip(head[1:], cells, strict=True)
    if not (
      column not in values[name]
      if cell == '–'
      else _agrees(cell, values[name].get(column, {'mean': float('nan')}))
    )
  ]


@pytest.mark.parametrize('path', TABLES, ids=lambda path: path.stem)
def test_a_table_is_what_its_json_holds(path):
  record = json.loads(path.read_text())
  before, link, after = RESULTS.partition(f'(results/{path.name})')
  assert link
  table = [*_tables(before)][-1]
  assert {row[0] for row in table[1:]} == record['table'].keys()
  columns = {name for row in record['table'].values() for name in row}
  assert {*table[0][1:]} == columns
  assert not _differences(table, record['table'])
  if record['command'] is None:
    assert 'outside this project' in record['runs']
  else:
    command = after.split('```')[1].replace('\\\n', ' ')
    assert command.split() == record['command'].split()
    assert re.fullmatch('[0-9a-f]{7}', record['measured_at'])
  # The README's tables are parts of these.
  for part in _tables(README):
    if part[0][0] == 'model' and {row[0] for row in part[1:]} <= {
      *record['table']
    }:
      assert not _differences(part, record['table'])
      assert f'`{record["command"]}`' in README


def test_a_wrong_cell_is_found():
  values = {'a': {'eer': {'mean': 0.12344, 'std': 0.01}, 'n': {'mean': 1234}}}
  head = ['model', 'eer', 'n']
  assert not _differences([head, ['a', '0.1234 ± 0.01', '1,234']], values)
  for row in (
    ['a', '0.1235 ± 0.01', '1,234'],
    ['a', '0.1234 ± 0.02', '1,234'],
    ['a', '0.1234', '1,234'],
    ['a', '0.1234 ± 0.01', '–'],
  ):
    assert len(_differences([head, row], values)) == 1, row


def test_a_wrong_interval_is_found():
  values = {'a': {'eer': {'mean': 0.1234, 'low': -0.0512, 'high': 0.2}}}
  head = ['model', 'eer']
  assert not _differences([head, ['a', '0.123 [-0.051, 0.200]']], values)
  for cell in ('0.123 [-0.052, 0.200]', '0.123 [-0.051, 0.201]', '0.123 ± 0.1'):
    assert len(_differences([head, ['a', cell]], values)) == 1, cell


def test_every_table_of_the_readme_is_one_of_the_results():
  rows = {
    name for path in TABLES for name in json.loads(path.read_text())['table']
  }
  parts = [table for table in _tables(README) if table[0][0] == 'model']
  assert len(parts) == RECIPES
  assert all({row[0] for row in part[1:]} <= rows for part in parts)


def test_the_readme_tells_the_rates_of_real_palms():
  path = ROOT / 'docs' / 'results' / 'real_palms_fmr.json'
  for rates in json.loads(path.read_text())['table'].values():
    (rate,) = rates.values()
    assert f'{rate["mean"]:.3f}' in README


def test_every_loss_is_in_the_table():
  rows = {run['loss.name'] for run in metric.sweep('losses')}
  with pytest.raises(ValueError, match='choose one of') as refused:
    metric_losses.losses({**metric.get_config().loss.to_dict(), 'name': 'none'})
  names = re.search('choose one of (.*), or', str(refused.value))[1].split(', ')
  assert {name for row in rows for name in row.split('+')} == {*names}
  for run in metric.sweep('losses'):
    assert f'| {run["row"]} |' in RESULTS


def test_results_of_the_shipped_palm_weights():
  results = json.loads((shipped.PALM / 'results.json').read_text())
  rows = {
    'correlation, nothing learned': ('subset, listed', 'correlation'),
    'orientation code, nothing learned': ('subset, listed', 'orientation code'),
    'orientation code, across sessions': (
      'subset, listed',
      'orientation code, across sessions',
    ),
    'network, 8 turns': ('all, counted', 'cosine, 8 views'),
    'network': ('all, counted', 'cosine'),
    'correlation, across sessions': (
      'subset, listed',
      'correlation, across sessions',
    ),
    'network, across sessions': ('subset, listed', 'cosine, across sessions'),
    'network, 8 turns, with correlation': (
      'subset, listed',
      'cosine, 8 views, with correlation',
    ),
  }
  for name, (palms_of, key) in rows.items():
    measured = results[palms_of][key]
    rates = [
      f'{measured[rate]["value"]:.3f}'
      for rate in ('eer', 'fnmr@fmr=1e-2', 'fnmr@fmr=1e-3')
    ]
    number = {'all, counted': '1,000', 'subset, listed': '320'}[palms_of]
    assert f'| {" | ".join([name, number, *rates])} |' in RESULTS


def test_results_of_the_shipped_detector():
  results = json.loads((shipped.HAND / 'results.json').read_text())
  boxes, drawn = results['boxes'], results['drawn']
  palms = results['open palms']
  hard = results['open palms, difficulty 1']['looks=3']
  rows = {
    'photographs: AP50': boxes['ap50'],
    'photographs: AP50, any gesture': boxes['ap50@any'],
    '300 drawn images: AP50, any gesture': drawn['ap50@any'],
    'photographs: hands that `detect` misses': boxes['detect']['missed'],
    'photographs: found hands with the right gesture': boxes['detect'][
      'gesture'
    ],
    'drawn images: hands that `detect` misses': drawn['detect']['missed'],
    'drawn images: found hands with the right gesture': drawn['detect'][
      'gesture'
    ],
    'drawn images without a hand where `detect` sees one': (
      drawn['detect']['false@empty']
    ),
    '600 drawn open palms at any rotation: valleys within 5 % of the palm': (
      palms['looks=3']['palm_frame@5%']
    ),
    'the same within 10 %': palms['looks=3']['palm_frame@10%'],
    'the same within 5 %, without the frame reader': (
      palms['looks=2']['palm_frame@5%']
    ),
    'the same within 5 %, at full difficulty': hard['palm_frame@5%'],
    'drawn open palms: left taken for right, or right for left': (
      {'value': palms['looks=3']['other hand']}
    ),
    'the same at full difficulty': {'value': hard['other hand']},
  }
  for name, rate in rows.items():
    assert f'| {name} | {rate["value"]:.3f} |' in RESULTS, name
  times = results['ms per image']
  for name, time in (
    ('one image of 224 px, one pass', times['one pass, 224 px']),
    ('one image of 224 px, six passes', times['all passes, 224 px']),
    ('a photo of 320 px, all three looks of `detect`', times['looks=3']),
  ):
    assert f'| {name} | {time:.0f} |' in RESULTS, name
  assert f'AP50 of {boxes["ap50"]["value"]:.3f}' in README
