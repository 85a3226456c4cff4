"""The start of a run: its folder, its devices, its trace."""

import ml_collections
import pytest

from configs import common
from palmjax.recipes.shared import run_start


@pytest.mark.parametrize(
  'text, iterations',
  [('', range(0)), ('0:1', range(1)), ('10:13', range(10, 13))],
)
def test_the_iterations_to_be_traced(text, iterations):
  config = common.get_config('ssl')
  assert run_start.profile(config) == range(0)
  config.profile = text
  assert run_start.profile(config) == iterations


@pytest.mark.parametrize(
  'text',
  ['5', '5:5', '6:5', '-1:5', ':5', '5:', 'a:b', '1:2:3', '1.0:2', ' 1:2'],
)
def test_other_text_is_refused_before_the_folder_is_taken(tmp_path, text):
  config = ml_collections.ConfigDict(
    {'profile': text, 'num_devices': 1, 'seed': 0}
  )
  with pytest.raises(
    ValueError, match=rf'^--config.profile={text}: give '
  ) as e:
    run_start.take(config, tmp_path / 'run', lambda config, mesh: None)
  assert '\n' not in str(e.value)
  assert not (tmp_path / 'run').exists()
