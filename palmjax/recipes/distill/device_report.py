"""What the report of the recipe `distill` says of the life of a device."""

import jax
import numpy as np

from palmjax.evals.recognition import error_rates
from palmjax.recipes.distill import device_tests, template_tests
from palmjax.report import html

MOMENTS = {
  'device_before': 'Before the drift',
  'device_drifted': 'Drifted, no update',
  'device_statistics': 'Control: BatchNorm statistics alone',
  'device_placebo': 'Placebo: enrolled images in place of samples',
  'device_first_only': 'After the life, first target samples only',
  'device_no_fused': 'After the life, no fused guidance',
  'device_no_one_to_many': 'After the life, no one-to-many guidance',
  'device_labels_5': 'After the life, 5 % of first labels made wrong',
  'device_labels_20': 'After the life, 20 % of first labels made wrong',
  'device_both': 'After the life',
}
# Of a session.
_COUNTS = {
  'first': 'First target samples',
  'first_wrong': 'of somebody else',
  'second': 'Second target samples',
  'second_wrong': 'of somebody else',
  'updates': 'Updates',
  'refused': 'Updates refused',
}
_TILES = 12


def rates(run, models, everyone):
  """Rates at each moment; `models` is what metrics.json holds."""
  rows = {
    words: models[name] for name, words in MOMENTS.items() if name in models
  }
  device = run.config.device
  return html.Table(
    'The life of a device',
    [
      html.Column('fnmr', 'FNMR', '%', 1),
      html.Column('fmr', 'FMR', '%', 3),
      html.Column('recovered', 'FNMR taken back', '%', 0),
      html.Column('fnmr - drifted', 'FNMR − drifted', '%', 1),
      html.Column('fnmr - statistics', 'FNMR − control', '%', 1),
      html.Column('fnmr - placebo', 'FNMR − placebo', '%', 1),
    ],
    rows,
    text=(
      f'{len(everyone.references)} users enrolled once. In {device.sessions} '
      f'sessions they and {len(everyone.passers)} strangers came by, while '
      'light, skin and camera drifted, and the student learned from what the '
      'device kept. Tests are a session of the users that no update saw and '
      f'{len(everyone.strangers)} other strangers, all at the last drift. The '
      'threshold is set for an FMR of '
      f'{error_rates.short(device.fmr)}, at the upper end of what '
      f'{len(everyone.impostors)} palms of the server say. They did not drift. '
      'It is set anew after each update. FNMR taken back: share of what the '
      'drift cost. Differences are paired. In brackets 95 % intervals over '
      'people.'
    ),
  )


def templates(models):
  """How well templates are linked; `models` is what metrics.json holds."""
  rows = {
    'Two keys': models[template_tests.TWO_KEYS],
    'Two keys, palms named at random': models[template_tests.BY_CHANCE],
    'One key': models[template_tests.ONE_KEY],
  }
  return html.Table(
    'Templates of other keys',
    [html.Column('d_sys', 'D_sys', digits=3)],
    rows,
    text=(
      'A device keeps embeddings turned by a secret key. D_sys (ISO/IEC 30136) '
      'tells how well somebody can see whether two templates are of one palm: '
      '0 not at all, 1 for sure. Finite counts give more than 0 where palms '
      'are named at random.'
    ),
  )


def sessions(lives):
  """What the device kept and did: a list of one table, or of none."""
  if 'both' not in lives:
    return []
  rows = {
    f'Session {number}': {
      name: {'value': session[name]} for name in ('drift', *_COUNTS)
    }
    for number, session in enumerate(lives['both'], start=1)
  }
  return [
    html.Table(
      'Sessions of the device',
      [
        html.Column('drift', 'Drift', '%', 0),
        *(
          html.Column(name, words, digits=0) for name, words in _COUNTS.items()
        ),
      ],
      rows,
      text=(
        'First target samples were recognised within the first interval. '
        'Second ones failed several times in a row, and the teacher labelled '
        'them. An update that recognises enrolled and held-out images of the '
        'users worse is refused.'
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
