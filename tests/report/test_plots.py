import re

import matplotlib
import numpy as np
import pytest

from palmjax.report import plots


def lines_of(figure, color):
  """Points of the paths with this stroke: list of [P, 2], y upward."""
  paths = []
  for path, style in re.findall(
    r'<path d="([^"]*)"[^>]*style="([^"]*)"', figure.svg
  ):
    if f'stroke: var(--{color})' in style:
      numbers = re.findall(r'[ML] (\S+) (\S+)', path)
      paths.append(np.array(numbers, float) * [1, -1])
  return paths


def test_precision_recall_draws_shares():
  recall = np.linspace(0, 1, 101)
  figure = plots.precision_recall(
    {
      'control': (recall, 1 - recall),
      'nothing': (np.empty(0), np.empty(0)),
      'model': (recall, np.full(101, 0.5)),
    },
    title='IoU .50',
  )
  control = max(lines_of(figure, 's0'), key=len)
  model = max(lines_of(figure, 's2'), key=len)
  assert len(control) == len(model) == 101
  np.testing.assert_allclose(control[:, 0], model[:, 0])
  assert np.ptp(model[:, 1]) == 0
  # They cross where both are at 0.5.
  np.testing.assert_allclose(control[50], model[50], atol=1e-4)
  assert control[0, 1] > model[0, 1] > control[-1, 1]
  assert figure.alt == (
    'IoU .50: precision-recall curves of control, nothing, model.'
  )


def test_losses_leave_out_what_is_not_finite():
  steps = np.arange(6)
  values = np.array([1.0, np.nan, 3.0, np.inf, 5.0, 6.0])
  figure = plots.losses({'loss': (steps, values)}, title='Loss')
  raw, smooth = lines_of(figure, 's1')
  assert len(raw) == len(smooth) == 4
  np.testing.assert_array_equal(raw, smooth)  # A short run is not smoothed.
  empty = plots.losses({'loss': ([], []), 'other': ([], [])}, title='Loss')
  assert lines_of(empty, 's1') == []


def test_running_mean_matches_loop():
  values = np.random.default_rng(0).normal(size=200)  # A window of 5.
  expected = [values[max(0, k - 4) : k + 1].mean() for k in range(200)]
  np.testing.assert_allclose(plots.running_mean(values), expected, atol=1e-12)


def test_series_picks_stage_and_name():
  rows = [
    {'stage': 'gan', 'step': 10, 'kind': 'train', 'd/loss': 1.5},
    {'stage': 'cnn1', 'step': 10, 'kind': 'train', 'd/loss': 9.0},
    {'stage': 'gan', 'step': 20, 'kind': 'eval', 'kid@palm': 0.1},
    {'stage': 'gan', 'step': 20, 'kind': 'train', 'd/loss': None},
    {'stage': 'gan', 'step': 30, 'kind': 'train', 'd/loss': 0.5},
  ]
  steps, values = plots.series(rows, 'gan', 'd/loss')
  assert (steps.tolist(), values.tolist()) == ([10, 30], [1.5, 0.5])
  assert plots.series(rows, 'gan', 'nothing')[0].shape == (0,)


def test_intervals_draw_numbers_and_say_reasons():
  figure = plots.intervals(
    {
      'control': {'value': 0.10, 'low': 0.05, 'high': 0.20},
      'cnn2': {'value': None, 'reason': 'not measurable with 9 pairs'},
    },
    title='EER',
    unit='%',
  )
  assert 'not measurable with 9 pairs' in figure.svg
  (bar,) = [line for line in lines_of(figure, 's0') if len(line) == 2]
  assert bar[0, 0] < bar[1, 0]
  assert not lines_of(figure, 's1')


@pytest.mark.parametrize('name', ['a & b', '<b>', '$x$'])
def test_labels_are_text(name):
  steps = np.arange(5.0)
  figure = plots.losses(
    {name: (steps, steps), 'other': (steps, steps)}, title=name
  )
  escaped = name.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
  assert figure.svg.count(f'>{escaped}<') == 2  # Title and legend.


def test_drawing_leaves_matplotlib_alone():
  before = dict(matplotlib.rcParams)
  plots.losses({'a': (np.ones(5), np.zeros(5))}, title='h')
  assert dict(matplotlib.rcParams) == before
