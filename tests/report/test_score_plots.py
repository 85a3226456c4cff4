import re
import statistics

import numpy as np
import pytest

from palmjax.report import score_plots, svg


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


def test_det_axes_are_normal_deviates():
  """Two normal score distributions make a straight line of slope -1."""
  normal = statistics.NormalDist()
  thresholds = np.linspace(0.2, 2.6, 60)[::-1]
  fmr = np.array([normal.cdf(-t) for t in thresholds])
  fnmr = np.array([normal.cdf(t - 2.8) for t in thresholds])
  figure = score_plots.det({'model': (fmr, fnmr)})
  # Alone it is no baseline, which is grey.
  line = max(lines_of(figure, 's1'), key=len)
  assert len(line) == 60
  x, y = line.T
  residual = y - np.polyval(np.polyfit(x, y, 1), x)
  assert np.abs(residual).max() < 1e-3 * np.ptp(y)
  assert figure.tall


def test_det_names_what_it_cannot_draw():
  curve = (np.array([0.01, 0.1, 0.3]), np.array([0.2, 0.1, 0.05]))
  nothing = (np.empty(0), np.empty(0))
  perfect = (np.array([0.01, 1.0]), np.zeros(2))
  figure = score_plots.det({'a': curve, 'b': nothing, 'c': perfect})
  assert figure.caption == 'No curve: too few pairs or errors for b, c.'
  assert figure.alt == 'DET: curves of a.'
  assert score_plots.det({'b': nothing}).alt == 'DET: curves of no model.'


def test_det_leaves_out_what_lies_off_the_axes():
  few = (np.array([0.7, 0.9]), np.array([0.2, 0.1]))
  figure = score_plots.det({'few': few}, rates=('FPIR', 'FNIR'))
  assert figure.alt == 'DET: curves of no model.'
  assert 'for few.' in figure.caption


def test_det_keeps_a_models_colour():
  curve = (np.array([0.01, 0.1, 0.3]), np.array([0.2, 0.1, 0.05]))
  nothing = (np.empty(0), np.empty(0))
  figure = score_plots.det({'a': nothing, 'b': nothing, 'c': curve})
  assert 'var(--s2)' in figure.svg
  assert 'var(--s0)' not in figure.svg


def test_a_model_has_one_colour_in_all_figures():
  curve = (np.array([0.01, 0.1, 0.3]), np.array([0.2, 0.1, 0.05]))
  among = ('control', 'code', 'network')
  figure = score_plots.det({'network': curve}, among=among)
  assert 'var(--s2)' in figure.svg
  assert 'var(--s1)' not in figure.svg
  assert svg.line_colors(among) == svg.line_colors(among, among)
  assert svg.line_colors(['network']) == [svg.SERIES[1]]


@pytest.mark.parametrize('largest', [0.02, 0.2, 0.45])
def test_an_axis_of_rates_has_two_ticks(largest):
  rates = np.array([largest, largest])
  figure = score_plots.det({'a': (rates, rates)})
  assert len(re.findall(r'>[\d.]+\s%<', figure.svg)) >= 4


def test_the_threshold_of_a_network_that_collapsed_is_told_in_full():
  rng = np.random.default_rng(0)
  scores = 1 - 5e-4 * rng.random(100)
  figure = score_plots.histogram(scores, scores, title='h', threshold=0.99972)
  assert '>threshold 0.999720<' in figure.svg
  wide = score_plots.histogram(scores, -scores, title='h', threshold=0.5)
  assert '>threshold 0.50<' in wide.svg
