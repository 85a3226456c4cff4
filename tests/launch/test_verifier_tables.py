"""Tables of `launch.verifier` from what it measured."""

from launch import verifier


def test_errors_have_a_column_for_each_rate_and_difficulty():
  values = {
    name: {'mean': i / 10}
    for i, name in enumerate(
      f'difficulty {difficulty}: {column}'
      for column in (
        *('eer', 'fnmr@fmr=1e-3', 'fnmr@fmr=1e-4', 'fnmr@fmr=1e-2'),
        *('FMR at its threshold', 'FNMR at its threshold'),
      )
      for difficulty in (0.4, 0.8)
    )
  }
  tables = verifier.tables({'fused': values}, {})
  assert {name: x['mean'] for name, x in tables['errors']['fused'].items()} == {
    'eer, 0.4': 0.0,
    'eer, 0.8': 0.1,
    'fnmr@fmr=1e-3, 0.4': 0.2,
    'fnmr@fmr=1e-3, 0.8': 0.3,
    'fnmr@fmr=1e-4, 0.4': 0.4,
    'fnmr@fmr=1e-4, 0.8': 0.5,
  }
  assert tables['thresholds'] == {
    'fused, difficulty 0.4': {'FMR': {'mean': 0.8}, 'FNMR': {'mean': 1.0}},
    'fused, difficulty 0.8': {'FMR': {'mean': 0.9}, 'FNMR': {'mean': 1.1}},
  }


def test_differences_are_of_two_rates():
  values = {
    f'{column}, 0.4': {'mean': -0.1, 'low': -0.2, 'high': 0.1}
    for column in ('eer', 'fnmr@fmr=1e-3', 'fnmr@fmr=1e-4')
  }
  tables = verifier.tables({}, {'fused, less fine': values})
  (row,) = tables['differences'].values()
  assert list(row) == ['eer, 0.4', 'fnmr@fmr=1e-4, 0.4']
