"""What the report of the recipe `distill` says of the life of a device."""

import jax
import numpy as np

from palmjax.evals.recognition import error_rates
from palmjax.recipes.distill import device_tests
from palmjax.report import html

MOMENTS = {
  'device_before': 'Before the drift',
  'device_drifted': 'Drifted, no update',
  'device_statistics': 'Control: BatchNorm statistics alone',
  'device_first_only': 'Updated, first target samples only',
  'device_no_fused': 'Updated, no fused guidance',
  'device_no_one_to_many': 'Updated, no one-to-many guidance',
  'device_labels_5': 'Updated, 5 % of labels wrong',
  'device_labels_20': 'Updated, 20 % of labels wrong',
  'device_both': 'Updated',
}
_TILES = 12


def rates(run, models):
  """Rates at each moment; `models` is what metrics.json holds."""
  rows = {
    words: models[name] for name, words in MOMENTS.items() if name in models
  }
  device = run.config.device
  users = len(run.palms.evaluation.identities) // 2
  return html.Table(
    'The life of a device',
    [
      html.Column('fnmr', 'FNMR', '%', 1),
      html.Column('fmr', 'FMR', '%', 3),
      html.Column('eer', 'EER', '%'),
      html.Column('recovered', 'FNMR taken back', '%', 0),
    ],
    rows,
    text=(
      f'{users} users enrolled once. In {device.sessions} sessions light, skin '
      'and camera drifted, and the student learned from what the device kept. '
      'Tests are captures that no update saw, at the last drift, and '
      'strangers. The threshold is set for an FMR of '
      f'{error_rates.short(device.fmr)} on palms of the server, which did not '
      'drift, anew after each update. FNMR taken back: share of what the drift '
      'cost. Brackets: 95 % intervals over people.'
    ),
  )


def sessions(lives):
  """What the device kept and did: a list of one table, or of none."""
  if 'both' not in lives:
    return []
  rows = {
    f'Session {number}': {
      name: {'value': session[name]} for name in ('drift', 'first', 'second')
    }
    | {'updated': {'value': int(session['updated'])}}
    for number, session in enumerate(lives['both'], start=1)
  }
  return [
    html.Table(
      'Sessions of the device',
      [
        html.Column('drift', 'Drift', '%', 0),
        html.Column('first', 'First target samples', digits=0),
        html.Column('second', 'Second target samples', digits=0),
        html.Column('updated', 'Updates kept', digits=0),
      ],
      rows,
      text=(
        'First target samples were recognised within the first interval. '
        'Second ones failed several times in a row, and the teacher labelled '
        'them. '
        'An update that recognises the enrolled users worse is not kept.'
      ),
    )
  ]


def pictures(run):
  """Palms of the test before, during and after the drift."""
  part = run.palms.evaluation
  _, first = np.unique(part.labels, return_index=True)
  first = first[:_TILES]
  images = {
    words: device_tests.drifted(
      part.images[first], amount, run.config.device, jax.random.key(0)
    )
    for words, amount in (
      ('Tested on', 0.0),
      ('Half of the drift', 0.5),
      ('The whole drift', 1.0),
    )
  }
  return html.Grid(
    'Palms',
    {
      words: [
        html.tile(
          image,
          alt=f'Palm of {part.identities[part.labels[i]]}',
          caption=part.identities[part.labels[i]],
        )
        for image, i in zip(shown, first, strict=True)
      ]
      for words, shown in images.items()
    },
    '',
  )
