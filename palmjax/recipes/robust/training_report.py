"""The part of a report of the recipe `robust` that is about its trainings."""

import numpy as np

from palmjax.report import html, plots

# The control first: it is drawn in grey.
NAMES = {
  'plain': 'Plain',
  'random': 'Random noise',
  'distance': 'Distance, image by image',
  'ot': 'Optimal transport',
  'adversarial': 'Adversarial',
  'free': 'Free adversarial',
}
# Share of the plans. With fewer of them the arm is not the method it names.
_CONVERGED = 0.9
_CURVES = {
  'Target loss L1 + L2': 'loss',
  'L1, clean images': 'clean',
  'L2, target images': 'perturbed',
  'Feature matching distance before the ascent': 'ot/distance',
  'What the ascent adds to it': 'ot/gained',
  'Share of converged plans': 'ot/converged',
  'Share of the mass that moves to the own copy': 'ot/diagonal',
}


def equality(ended, steps, replays):
  """Returns sentences on what the arms have in common, and what not.

  Args:
    ended: {arm: why its training ended}.
    steps: the most updates.
    replays: updates of the arm 'free' with each batch.
  """
  if set(ended.values()) == {'cap'}:
    text = f'Every arm made {steps} updates'
  else:
    text = (
      f'Arms made up to {steps} updates, not all as many (see "Why trainings '
      f'ended")'
    )
  text += ' from the same weights, with batches in the same order.'
  if 'free' in ended and replays > 1:
    text += (
      f' {NAMES["free"]} makes {replays} updates with each batch, so it sees '
      f'1/{replays} of the images.'
    )
  return text


def curves(rows, arms, config):
  """Curves of the trainings of all arms.

  Args:
    rows: of metrics.jsonl.
    arms: of `NAMES`.
    config: with the section `stop`.

  Returns:
    `html.Figures`.
  """
  figures = []
  for title, term in _CURVES.items():
    lines = {NAMES[arm]: plots.series(rows, arm, term) for arm in arms}
    lines = {name: line for name, line in lines.items() if len(line[0])}
    if lines:
      figures.append(
        plots.losses(lines, title=title, among=[NAMES[arm] for arm in arms])
      )
  text = 'Running means; raw values behind. A training ends '
  if config.stop.loss:
    text += (
      'when the mean target loss of an epoch is at most '
      f'{config.stop.loss:g}, or '
    )
  return html.Figures('Training', figures, f'{text}at the last step.')


def plans(rows, arms):
  """What is known of the transport plans of a run, as parts of a report.

  Args:
    rows: of metrics.jsonl.
    arms: of `NAMES`.

  Returns:
    List of one `html.Values`, or empty if nothing was transported.
  """
  shares = _shares(rows, arms)
  if not shares:
    return []
  return [
    html.Values(
      'Transport plans',
      {
        f'{NAMES[arm]}: {words}': f'{100 * share:.1f} %'
        for arm, parts in shares.items()
        for words, share in parts.items()
      },
      'Means over all updates. A plan has converged if its marginals fit. It '
      'is sharp if nearly all of the mass of an image moves to one image. '
      + ' '.join(unconverged(rows, arms)),
    )
  ]


def unconverged(rows, arms):
  """Sentences on arms of which too few transport plans converged.

  Args:
    rows: of metrics.jsonl.
    arms: of `NAMES`.

  Returns:
    List, empty if at least 90 % of the plans of each arm converged.
  """
  return [
    f'{NAMES[arm]}: only {100 * parts["converged"]:.0f} % of the transport '
    'plans converged, so do not read this arm as optimal transport: raise '
    '`solver_iterations`, or `solver_epsilon`.'
    for arm, parts in _shares(rows, arms).items()
    if parts['converged'] < _CONVERGED
  ]


def _shares(rows, arms):
  """{arm: {words: mean over its updates}} of the arms that transport."""
  return {
    arm: {
      'converged': _mean(rows, arm, 'ot/converged'),
      'mass that moves to the own copy': _mean(rows, arm, 'ot/diagonal'),
    }
    for arm in arms
    if len(plots.series(rows, arm, 'ot/converged')[0])
  }


def _mean(rows, arm, name):
  """Mean over steps; a line has the mean of those since the line before."""
  steps, values = plots.series(rows, arm, name)
  return float(np.average(values, weights=np.diff(steps, prepend=0)))
