"""What the README says of options and of results."""

import json
import pathlib
import re

import pytest

from configs import gesture, metric, ssl
from palmjax.models import backbones
from palmjax.networks import shipped
from palmjax.recipes.metric import losses as metric_losses

TEXT = (pathlib.Path(__file__).parents[1] / 'README.md').read_text()
CONFIGS = {'ssl': ssl, 'metric': metric, 'gesture': gesture}


def _is_known(value, key):
  """Whether a dotted key is one of a configuration."""
  name, _, rest = key.partition('.')
  return name in value and (not rest or _is_known(value[name], rest))


@pytest.mark.parametrize(
  'key', sorted({*re.findall(r'--config\.([\w.]+)=', TEXT)})
)
def test_options_that_it_names(key):
  assert any(_is_known(config.get_config(), key) for config in CONFIGS.values())


def test_values_of_options_that_it_names():
  for name in re.findall(r'--config\.network\.name=(\w+)', TEXT):
    backbones.build(
      name, embedding_size=8, width=1.0, dtype='float32', attention=False
    )
  names = re.findall(r'--config\.loss\.name=([\w+]+)', TEXT)
  assert names
  for name in names:
    metric_losses.losses({**metric.get_config().loss.to_dict(), 'name': name})


def test_variants_that_it_names():
  for name, variant in re.findall(r'configs/(\w+)\.py:(\w+)', TEXT):
    if variant != 'NAME':
      CONFIGS[name].get_config(variant)


def test_every_loss_is_in_the_ablation():
  rows = {run['loss.name'] for run in metric.sweep('losses')}
  with pytest.raises(ValueError, match='choose one of') as refused:
    metric_losses.losses({**metric.get_config().loss.to_dict(), 'name': 'none'})
  names = re.search('choose one of (.*), or', str(refused.value))[1].split(', ')
  assert {name for row in rows for name in row.split('+')} == {*names}
  for run in metric.sweep('losses'):
    assert f'| {run["row"]} |' in TEXT


def test_the_readme_tells_the_results_of_the_palms():
  results = json.loads((shipped.PALM / 'results.json').read_text())
  rows = {
    'correlation, nothing learned': ('subset, listed', 'correlation'),
    'network, 8 views': ('all, counted', 'cosine, 8 views'),
    'network': ('all, counted', 'cosine'),
    'correlation, across sessions': (
      'subset, listed',
      'correlation, across sessions',
    ),
    'network, across sessions': ('subset, listed', 'cosine, across sessions'),
    'network, 8 views, with correlation': (
      'subset, listed',
      'cosine, 8 views, with correlation',
    ),
  }
  for name, (palms_of, key) in rows.items():
    found = results[palms_of][key]
    rates = [
      f'{found[rate]["value"]:.3f}'
      for rate in ('eer', 'fnmr@fmr=1e-2', 'fnmr@fmr=1e-3')
    ]
    number = {'all, counted': '1,000', 'subset, listed': '320'}[palms_of]
    assert f'| {" | ".join([name, number, *rates])} |' in TEXT


def test_the_readme_tells_the_results_of_the_hands():
  results = json.loads((shipped.HAND / 'results.json').read_text())
  boxes, drawn = results['boxes'], results['drawn']
  hard = results['open palms, difficulty 1']['looks=3']
  rows = {
    'photographs: AP50': boxes['ap50'],
    'photographs: AP50, any gesture': boxes['ap50@any'],
    '300 drawn images: AP50, any gesture': drawn['ap50@any'],
    'photographs: hands that `detect` misses': boxes['detect']['missed'],
    'photographs: right gesture of those found': boxes['detect']['gesture'],
    'drawn images: hands that `detect` misses': drawn['detect']['missed'],
    'drawn images: right gesture of those found': drawn['detect']['gesture'],
    'drawn images without a hand in which it sees one': (
      drawn['detect']['false@empty']
    ),
    '600 drawn open palms at any rotation: valleys within 5 % of the palm': (
      results['open palms']['looks=3']['frame@5%']
    ),
    'the same at full difficulty': hard['frame@5%'],
  }
  for name, rate in rows.items():
    assert f'| {name} | {rate["value"]:.3f} |' in TEXT, name
