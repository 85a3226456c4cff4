"""The figures of a report that say how certain its error rates are."""

from palmjax.evals.recognition import error_rates
from palmjax.report import html, plots, score_plots


def figures(models, scores, names):
  """DET curves and intervals of the EER.

  Args:
    models: what metrics.json holds, with 'eer' of each model.
    scores: {model: `verification.PairScores`}.
    names: {model: its name for people}; the baseline first, in grey.

  Returns:
    `html.Figures`.
  """
  curves = {
    name: error_rates.det_points(scores[key].genuine, scores[key].impostor)
    for key, name in names.items()
  }
  return html.Figures(
    'How certain',
    [
      score_plots.det(curves),
      plots.intervals(
        {name: models[key]['eer'] for key, name in names.items()},
        title='Equal error rate',
        unit='%',
      ),
    ],
  )
