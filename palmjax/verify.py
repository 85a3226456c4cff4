"""Are two images of one palm?

python -m palmjax.verify A.jpg B.jpg
python -m palmjax.verify A.jpg --gallery=DIR
python -m palmjax.verify A.jpg B.jpg --photos

Images show the palm alone and lie as `roi_frame` in preprocess.json says; with
--photos they are photos of whole hands, in which the palm is found first. What
the score is and which threshold it must reach: `inference.matcher`. Of a network
that was trained by Euclidean distances the distance is told, which must not
exceed the threshold: smaller is more alike. From Python:

  embed = palmjax.verify.load_embedder()
  embeddings = embed([image, another])

and of photos of whole hands:

  find = palmjax.inference.finder.load()
  palm = palmjax.inference.palm_files.find_palm(find, photo, size=128)
  embeddings = embed([palm.image])

Exit codes: 0 answered, same or different; 1 there is no answer (the last line
says why and what to do); 2 the command line is wrong.
"""

import argparse
import functools
import json
import os
import pathlib
import sys
import warnings

import jax
import numpy as np
from PIL import Image

from palmjax.engine import allocator
from palmjax.images import image_file, preprocess
from palmjax.inference import correlation, finder, matcher, palm_files, words
from palmjax.losses import metric
from palmjax.networks import export as exports
from palmjax.recipes.shared import palm_network

# Trained on drawn palms only: nobody's palm.
WEIGHTS = pathlib.Path(__file__).parent / 'weights' / 'mobilefacenet'


def load_embedder(directory=None, *, views=None):
  """Loads a trained network for use.

  Args:
    directory: export folder; None takes the weights of the package.
    views: whether an embedding is that of 8 views (`inference.matcher`): fewer
      errors for 8 times the time. None: of the weights of the package, which
      learned palms in all of them; not of another export.

  Returns:
    embed: list of N images, each uint8 [H, W], [H, W, 1] or [H, W, 3] (RGB) of
    a size of its own → float32 [N, D], unit norm, D 8 times as large with
    views. Of each image the centred square is taken, as of files in
    `data.sets.folder`. embed raises ValueError, one line that names the first image
    of another type or shape.

  Raises:
    ValueError, OSError: there is no whole export in the folder.
  """
  directory = WEIGHTS if directory is None else directory
  network, spec, length = _load(directory)
  views = _sees_views(directory) if views is None else views
  look = matcher.viewing(network.embed, views=views)
  length *= matcher.VIEWS if views else 1

  def embed(images):
    if isinstance(images, np.ndarray) and images.ndim != 4:
      raise ValueError(
        f'one array of shape {images.shape}; give a list of images'
      )
    squares = [
      _square(image, i, spec.image_size) for i, image in enumerate(images)
    ]
    if not squares:
      return np.empty((0, length), np.float32)
    return look(np.stack(squares))

  return embed


def main(argv=None):
  """The command line; returns the exit code."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  # Too large ones are refused in our own words.
  warnings.simplefilter('ignore', Image.DecompressionBombWarning)
  allocator.keep_freed_memory()
  args = _parse(argv)
  try:
    answer = _verify(args) if args.gallery is None else _rank(args)
  except (ValueError, OSError) as error:
    print(f'palmjax: {" ".join(str(error).split())}', file=sys.stderr)
    return 1
  if args.json:
    print(json.dumps(answer, ensure_ascii=False))
  else:
    text = words.pair if args.gallery is None else words.ranks
    print(text(answer))
  return 0


def _parse(argv):
  parser = argparse.ArgumentParser(
    prog='python -m palmjax.verify', description=__doc__.split('\n')[0]
  )
  parser.add_argument('images', nargs='+', metavar='IMAGE')
  parser.add_argument(
    '--gallery', metavar='DIR', help='rank <identity>/<image> or <image> in it'
  )
  parser.add_argument('--top', type=int, default=5, help='ranks to show')
  parser.add_argument(
    '--photos', action='store_true', help='images show whole hands'
  )
  for name, own, text in (
    ('export', WEIGHTS, 'another trained network'),
    ('detector', finder.WEIGHTS, 'with --photos: another detector'),
    ('frames', finder.FRAMES, 'with --photos: another reader of frames'),
  ):
    parser.add_argument(f'--{name}', metavar='DIR', default=own, help=text)
  parser.add_argument(
    '--fmr', type=float, default=1e-3, help='false match rate to allow'
  )
  parser.add_argument(
    '--views',
    action=argparse.BooleanOptionalAction,
    help='mean score of 8 views, 8 × the time (default: without --export)',
  )
  parser.add_argument(
    '--correlation', action='store_true', help='half the score by correlation'
  )
  parser.add_argument('--json', action='store_true')
  args = parser.parse_args(argv)
  if len(args.images) != (2 if args.gallery is None else 1):
    parser.error('give two images, or one and --gallery=DIR')
  if not 0.0 < args.fmr < 1.0:
    parser.error(f'--fmr={args.fmr}: give a rate between 0 and 1')
  if args.top < 1:
    parser.error(f'--top={args.top}: give 1 or more')
  if args.views is None:
    args.views = _sees_views(args.export)
  return args


def _verify(args):
  """The answer on two images, as plain values."""
  size, score, decide, point = _open(args)
  read = _reader(args, size)
  palms = [read(path) for path in args.images]
  (value,) = score([palm.image for palm in palms])
  answer = {**decide(value), **point}
  if args.photos:
    answer['photos'] = list(map(palm_files.told, args.images, palms))
    first, second = (palm.hand.side for palm in palms)
    answer['same_side'] = first == second
    if not answer['same_side']:
      # Two palms, however alike.
      answer['decision'] = 'different'
  return answer


def _rank(args):
  """The answer on a gallery, as plain values."""
  size, score, decide, point = _open(args)
  read = _reader(args, size)
  probe = read(args.images[0])
  palms, names, left_out = [], [], []
  for name in palm_files.find_gallery(args.gallery):
    try:
      palms.append(read(os.path.join(args.gallery, name)))
      names.append(name)
    except ValueError as error:
      left_out.append(' '.join(str(error).split()))
  if not names:
    raise ValueError(f'no image of the gallery can be compared: {left_out[0]}')
  scores = score([palm.image for palm in (probe, *palms)])
  found = dict(zip(names, palms, strict=True))
  best = {}
  # Of equal scores the first name.
  for value, name in sorted(
    zip(scores, names, strict=True), key=lambda pair: (-pair[0], pair[1])
  ):
    best.setdefault(name.split('/')[0], (value, name))
  ranks = [
    {'rank': rank, 'identity': who, 'image': name, **decide(value)}
    for rank, (who, (value, name)) in enumerate(best.items(), 1)
  ]
  answer = {
    'ranks': ranks[: args.top],
    'identities': len(ranks),
    'images': len(names),
    'left_out': left_out,
    **point,
  }
  if args.photos:
    answer['photos'] = [palm_files.told(args.images[0], probe)]
    for row in answer['ranks']:
      row['hand'] = found[row['image']].hand.side
      if row['hand'] != probe.hand.side:
        row['decision'] = 'different'
  return answer


def _reader(args, size):
  """path → `palm_files.Palm`, as the command line wants it."""
  if not args.photos:
    return functools.partial(palm_files.read, size=size)
  find = finder.load(args.detector, frames=args.frames)
  return functools.partial(palm_files.read_photo, find, size=size)


def _load(directory):
  """(`palm_network.Network`, its `Preprocess`, length of its embeddings)."""
  directory = exports.folder(directory, WEIGHTS, config='configs/metric.py')
  found = exports.load(directory)
  spec = preprocess.Preprocess.from_json(found.preprocess)
  return palm_network.load(directory), spec, found.model['embedding_size']


def _sees_views(directory):
  """Whether 8 views are the usual way to use an export."""
  try:
    # By content: a copy, or another path to them, is used as they are.
    return exports.digests(directory) == exports.digests(WEIGHTS)
  except OSError:
    return False  # `exports.load` says what is missing.


def _open(args):
  """(side of images, score, decide, the threshold and what it was set on).

  score: list of images → scores of the first with each of the others, floats.
  decide: one of these → decision and score as they are told.
  """
  network, spec, _ = _load(args.export)
  calibration = matcher.load(
    args.export,
    matcher.comparison(views=args.views, correlation=args.correlation),
  )

  def score(images):
    images = np.stack(images)
    embeddings = matcher.viewing(network.embed, views=args.views)(images)
    # Rounding leaves a palm and itself beyond 1.
    scores = np.clip(embeddings[1:] @ embeddings[0], -1.0, 1.0)
    if args.correlation:
      first, others = np.split(correlation.templates_of(images), [1])
      alone = jax.jit(correlation.similarities)(first, others)[0]
      scores = matcher.fuse(scores, alone, calibration.standard)
    return scores.tolist()

  threshold = calibration.threshold(args.fmr)
  # A score with correlation is neither a cosine nor a distance.
  distances = spec.metric == 'euclidean' and not args.correlation
  kind = 'euclidean' if distances else 'cosine'

  def told(score):
    return float(metric.euclidean_of_cosine(score)) if distances else score

  def decide(score):
    same = score >= threshold
    return {'decision': 'same' if same else 'different', 'score': told(score)}

  return (
    spec.image_size,
    score,
    decide,
    {
      'threshold': told(threshold),
      'measure': 'distance' if distances else 'score',
      'fmr': args.fmr,
      'impostor_pairs': calibration.impostor_pairs,
      'set': calibration.dataset,
      'comparison': calibration.comparison.replace('cosine', kind),
    },
  )


def _square(image, index, size):
  try:
    return image_file.square(image, size=size)
  except ValueError as error:
    raise ValueError(f'images[{index}]: {error}') from error


if __name__ == '__main__':
  sys.exit(main())
