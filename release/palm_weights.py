"""Packs a trained network as the shipped weights, measured and calibrated.

python -m release.palm_weights --run=RUN --out=palmjax/weights/mobilefacenet

Draws palms of identities, sessions and devices that no training saw, at full
difficulty, reads them as `palmjax.verify` reads files, and compares all pairs:
by the network, by the network over 8 turns, and by two controls that learn
nothing: correlation and an orientation code. The thresholds of
calibration.json come from the impostor pairs. Without --run what lies in --out
is measured again; with --controls its network is not.

Pairs of all palms are counted (`evals.recognition.streaming`). The controls
need lists of pairs, as has correlation in a score with the network. The lists
are of the first palms only. results.json has the network on the same pairs,
too.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from configs import metric as metric_config
from palmjax import files
from palmjax.data.palms import as_read
from palmjax.data.sets import stored_images
from palmjax.evals.recognition import (
  binned_rates,
  identification,
  streaming,
  verification,
)
from palmjax.inference import matcher
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks
from palmjax.recipes.shared import controls
from release import made_by, record

_ABOUT = [
  "Weights for palm recognition, trained on drawn palms only: nobody's palm.",
  'Licence: Apache-2.0, as palmjax. `python -m palmjax.verify` uses them.',
]
_FILES = [
  made_by.row(
    'weights.npz model.json preprocess.json',
    'the network, without the class weights of its training '
    '(`palmjax/networks/export.py`)',
  ),
  made_by.row(
    'calibration.json',
    'thresholds for false match rates (`palmjax/inference/matcher.py`)',
  ),
  made_by.row(
    'results.json',
    'error rates on drawn palms that no training saw, beside correlation '
    'and an orientation code, which learn nothing',
  ),
  made_by.row(
    'config.json training.jsonl', 'configuration and log of the training'
  ),
]
_START_FILES = [
  made_by.row(
    'start_config.json start_training.jsonl',
    'the same of an earlier training, whose weights this one started from',
  )
]


def main(argv=None):
  """The command line."""
  made = parser()
  args = made.parse_args(argv)
  if args.run and args.controls:
    made.error('--controls keeps results, which a new --run has not')
  apart = dict.fromkeys(('run', 'out', 'seed', 'controls'))
  out = pathlib.Path(args.out)
  try:
    if args.run:
      options = record.options(made, args, names=apart)
      pack(pathlib.Path(args.run), out, options=options, seed=args.seed)
    network = palm_networks.load(out)
  except (OSError, ValueError) as error:
    sys.exit(f'palm_weights: {error}')
  # Palms are drawn by number: fewer of them are the first of many.
  count = min(args.subset, args.identities) if args.controls else None
  palms = as_read.draw(
    args.seed,
    identities=count or args.identities,
    samples=args.samples,
    size=args.size,
    square=network.preprocess.image_size,
    difficulty=args.difficulty,
  )
  if args.controls:
    results = json.loads((out / 'results.json').read_text())
    results['subset, listed'] |= controls_of(*palms)
  else:
    calibrations, results = measure(
      network.embed,
      *palms,
      subset=args.subset,
      describe=lambda identities: (
        f'{identities:,} drawn palms × {args.samples}, {args.size} px, '
        f'difficulty {args.difficulty:g}, seed {args.seed}'
      ),
    )
    matcher.save(out, calibrations)
  files.write_json(out / 'results.json', results)
  print(files.to_json(results))


def parser():
  """Returns the parser of the command line."""
  made = argparse.ArgumentParser(
    prog='python -m release.palm_weights', description=__doc__.split('\n')[0]
  )
  for name, text in (
    ('run', 'workdir of configs/metric.py:weights'),
    ('out', 'folder of the shipped weights'),
  ):
    made.add_argument(
      f'--{name}', required=name == 'out', metavar='DIR', help=text
    )
  made.add_argument(
    '--controls',
    action='store_true',
    help='measure the controls again, and keep the rest of results.json',
  )
  for name, default, text in (
    ('identities', 1000, 'palms to measure on'),
    ('subset', 320, 'the first of them, for scores with correlation'),
    ('samples', 8, 'images of each'),
    ('size', 128, 'pixels of the drawn palms'),
    ('difficulty', 1.0, '0 to 1'),
    ('seed', 2, 'not that of the training set'),
  ):
    made.add_argument(
      f'--{name}', type=type(default), default=default, help=text
    )
  return made


def pack(run, out, *, options=(), seed):
  """Writes what a run trained, and how, into a folder.

  Args:
    run: path of the workdir.
    out: path of the folder.
    options: words of the command line beside run, folder and seed.
    seed: of the palms that it is measured on.

  Raises:
    ValueError: the commands cannot be told, see `release.record`.
    OSError: a file is missing.
  """
  export = exports.load(run / 'network' / 'export')
  # Class weights of drawn identities are of no use to anybody.
  params = {'backbone': export.variables['params']['backbone']}
  exports.save(
    out,
    variables={**export.variables, 'params': params},
    model=export.model,
    preprocess=export.preprocess,
  )
  config = json.loads((run / 'config.json').read_text())
  start = config['cnn']['start']
  before = record.keep_start(pathlib.Path(start), out) if start else []
  record.keep(run, out)
  made_by.write(
    out,
    {
      'name': out.name,
      'about': _ABOUT,
      'files': [*_FILES, *(_START_FILES if start else [])],
      'figures': ['results.json', 'calibration.json'],
      'commands': [
        *before,
        record.drawn_set(config['data']['dir']),
        record.training(
          run,
          path='configs/metric.py:weights',
          usual=metric_config.get_config('weights'),
          names={
            'data.dir': '{set}',
            'cnn.start': f'{{workdir}}/start/weights/{out.name}',
          },
        ),
        record.command(
          'release.palm_weights',
          [
            '--run={workdir}/run',
            f'--out={{workdir}}/weights/{out.name}',
            f'--seed={seed}',
            *options,
          ],
          seed=seed,
        ),
      ],
    },
  )


def measure(embed, images, labels, sessions, *, subset, describe):
  """Compares all pairs by every score.

  Args:
    embed: uint8 [N, S, S, 3] → float32 [N, D], unit norm.
    images: uint8 [N, S, S, 3].
    labels: int [N], 0 … K − 1.
    sessions: int [N].
    subset: identities whose pairs are listed.
    describe: number of identities → the words for their set.

  Returns:
    (`matcher.Calibration`s of every score, results as plain values).
  """
  first = labels < subset
  alone = verification.matrix_scores(
    controls.correlate(images[first]), labels[first]
  )
  every = {'set': describe(int(labels[-1]) + 1)}
  few = {
    'set': describe(min(subset, int(labels[-1]) + 1)),
    **controls_of(images[first], labels[first], sessions[first]),
  }
  calibrations = []
  plain, turns = embed(images), matcher.embed_turns(embed, images)
  for many, embeddings in ((False, plain), (True, turns)):
    counts = streaming.count_pairs(embeddings, labels)
    name = matcher.comparison(turns=many)
    every[name] = binned_rates.rates(counts, embeddings, labels)
    calibrations.append(
      matcher.calibrate(counts, comparison=name, dataset=every['set'])
    )
    network = verification.pair_scores(embeddings[first], labels[first])
    few[name] = verification.fnmr_rates(network)
    standard = matcher.standardise(network.impostor, alone.impostor)
    both = network._replace(
      genuine=matcher.fuse(network.genuine, alone.genuine, standard),
      impostor=matcher.fuse(network.impostor, alone.impostor, standard),
    )
    name = matcher.comparison(turns=many, correlation=True)
    few[name] = verification.fnmr_rates(both)
    calibrations.append(
      matcher.calibrate(
        both.impostor, comparison=name, dataset=few['set'], standard=standard
      )
    )
  every['cosine'] |= identification.rates(
    identification.leave_one_out(plain, labels), fpirs=(1e-2,)
  )
  turned = embed(_turned(images, labels))
  every['cosine, turned'] = binned_rates.rates(
    streaming.count_pairs(turned, labels), turned, labels
  )
  few['cosine, across sessions'] = verification.fnmr_rates(
    verification.pair_scores(
      plain[first], labels[first], sessions=sessions[first]
    )
  )
  return calibrations, {'all, counted': every, 'subset, listed': few}


def controls_of(images, labels, sessions):
  """Rates of scores that learn nothing, as plain values.

  Args:
    images: uint8 [N, S, S, 3].
    labels: int [N].
    sessions: int [N].
  """
  rates = {}
  for name, scores in controls.scores(images).items():
    for kind, of in (('', None), (', across sessions', sessions)):
      rates[name + kind] = verification.fnmr_rates(
        verification.matrix_scores(scores, labels, sessions=of)
      )
  for name, scores in controls.scores(_turned(images, labels)).items():
    rates[f'{name}, turned'] = verification.fnmr_rates(
      verification.matrix_scores(scores, labels)
    )
  return rates


def _turned(images, labels):
  """The palms of each identity in one of the 8 turns."""
  return np.stack(
    [
      stored_images.turn(image, label % 8)
      for image, label in zip(images, labels, strict=True)
    ]
  )


if __name__ == '__main__':
  sys.exit(main())
