"""Recognition networks: any backbone with any loss.

python -m palmjax.main --config configs/metric.py --workdir runs/metric

''          2 CPU cores: 48 px, 300 drawn palms, half of them tested
'smoke'     the same path in miniature, for tests
'weights'   what the shipped weights were trained with (palmjax/weights)
'full'      an accelerator: 112 px, full width, a prepared data set

Sweeps, three seeds each:

python -m launch.sweep --config configs/metric.py:NAME --workdir runs/NAME

'losses'     softmax to AdaFace, triplet, staged and mixed
'backbones'  VGG16 to MobileFaceNet
'attention'  spatial attention on and off, against occlusion
"""

import ml_collections

from configs import common

_SMOKE = {
  'image_size': 32,
  'data.identities': 24,
  'data.samples': 4,
  'labelled.identities': 12,
  'labelled.images': 4,
  'network.width': 0.125,
  'network.embedding_size': 32,
  'cnn.identities': 4,
  'cnn.images': 4,
  'cnn.steps': 30,
  'cnn.warmup_steps': 5,
  'cnn.ckpt_every': 10,
  'loss.boundaries': (10, 20),
  'loss.blend_steps': 4,
  'evaluation.resamples': 100,
  'optimise': False,
  'log_every': 5,
}

_WEIGHTS = {
  'image_size': 64,
  'data.name': 'drawn_palms',
  'data.turned': True,
  'evaluation_share': 0.04,
  'labelled.identities': 0,
  'labelled.images': 0,
  'augment.rotation': 6.0,
  'augment.shift': 0.06,
  'augment.contrast': 0.3,
  'augment.blur': 1.0,
  'augment.noise': 0.06,
  'augment.erase': 0.2,
  'loss.margin': 0.4,
  'cnn.identities': 64,
  'cnn.images': 1,
  'cnn.steps': 9000,
  'cnn.warmup_steps': 500,
  'cnn.ckpt_every': 250,
  'log_every': 50,
}

_FULL = {
  'image_size': 112,
  'data.name': 'drawn_palms',
  'network.width': 1.0,
  'network.dtype': 'bfloat16',
  'evaluation_share': 0.1,
  'labelled.identities': 0,
  'labelled.images': 0,
  'loss.scale': 64.0,
  'cnn.identities': 128,
  'cnn.images': 4,
  'cnn.steps': 100_000,
  'cnn.warmup_steps': 1000,
  'cnn.ckpt_every': 1000,
  'log_every': 100,
}

# 51 runs of one to five minutes on two cores.
_ABLATION = {
  'image_size': 32,
  'cnn.steps': 400,
  'cnn.warmup_steps': 40,
  'loss.boundaries': (130, 330),
}
_SWEEPS = ('losses', 'backbones', 'attention')


def get_config(arg=''):
  """Returns the configuration; `arg` is a variant or a sweep's name."""
  config = common.get_config('metric')
  config.image_size = 48

  config.data = ml_collections.ConfigDict(
    {
      # As in configs/ssl.py, and the real sets of palmjax.data.sets.prepared.
      'name': 'palms',
      'dir': '',
      # For 'folder': degrees clockwise that bring its palms upright.
      'turn': 0,
      'identities': 300,
      'samples': 8,
      'difficulty': 0.5,
      # Turn and mirror every identity in one of the 8 ways of a square: palms
      # do not always lie upright in the sets that a network will meet.
      'turned': False,
      # Read the training images of a prepared set when they are needed,
      # instead of holding them on the device; needs cnn.images of 1.
      'stream': False,
    }
  )
  # Share of the identities that no training sees; all their images are tested.
  # 0.5 is what papers call the identity-disjoint protocol 1:1, 0.75 is 1:3.
  config.evaluation_share = 0.5
  # The training identities and images of each that are used; both 0: all.
  config.labelled = ml_collections.ConfigDict({'identities': 0, 'images': 0})

  config.preprocess = ml_collections.ConfigDict(
    {'channels': 'grey', 'contrast': 'local'}
  )
  config.augment = common.augment()

  config.network = ml_collections.ConfigDict(
    {
      'name': 'mobilefacenet',  # see palmjax/models/backbones.py
      'width': 0.5,
      'embedding_size': 128,
      'attention': False,  # spatial, before the tail
      'dtype': 'float32',
      # Of the running statistics; 0.99 for runs of 10⁵ steps.
      'batch_norm_momentum': 0.9,
    }
  )
  config.loss = ml_collections.ConfigDict(
    {
      # One of softmax, normalised, arcface, cosface, adaface, triplet (batch
      # hard), semi_hard, mixed (ArcFace, and triplets for hard samples), or
      # several with '+' between: stages, each from its boundary on.
      'name': 'arcface',
      'boundaries': (200, 500),
      'blend_steps': 50,
      'margin': 0.3,  # ArcFace radians; CosFace and AdaFace cosine
      'scale': 32.0,
      # Between unit vectors: 'squared' Euclidean, or 'cosine', which is half
      # of it, as its margin should be.
      'triplet_distance': 'squared',
      'triplet_margin': 0.2,
      'hard_share': 0.25,  # 'mixed': of the batch that gets triplets
      # Devices that the class weights are split over, a divisor of all devices.
      # 1: each device holds all. For normalised, arcface and cosface.
      'class_shards': 1,
      # Of the classes that a step compares with; the labels of the batch are
      # among them. 1: all.
      'class_share': 1.0,
    }
  )
  config.cnn = ml_collections.ConfigDict(
    {
      # A batch is of so many identities with so many images of each, whatever
      # the loss. With images of 1 it is any identities × 1 images.
      'identities': 16,
      'images': 4,
      'steps': 600,
      'learning_rate': 0.1,
      'momentum': 0.9,
      'weight_decay': 5e-4,
      'warmup_steps': 50,
      'max_norm': 5.0,
      **common.schedule(),
      'ckpt_every': 100,
      # Export that the backbone starts from, in place of random weights; class
      # weights always start afresh.
      'start': '',
    }
  )
  config.stop = common.stop()
  config.evaluation = ml_collections.ConfigDict(
    {
      # Further prepared sets, or folders DIR/<identity>/<image>, on all of
      # which the network and the verifier are tested as well: "('DIR', 'DIR')".
      # It was trained on none of them.
      'sets': (),
      'resamples': 1000,
      'fmrs': (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
      'fpirs': (1e-1, 1e-2),
      'occlusion': (0.0, 0.1, 0.2, 0.3),
    }
  )

  variants = {'': {}, 'smoke': _SMOKE, 'weights': _WEIGHTS, 'full': _FULL}
  variants |= dict.fromkeys(_SWEEPS, _ABLATION)
  return common.override(config, common.variant(variants, arg, 'metric'))


def sweep(arg=''):
  """Runs of a table: dicts of overrides, 'row' names the arm."""
  arms = {
    # The batches are the same for all.
    'losses': [
      {'row': name.replace('+', ' → '), 'loss.name': name}
      for name in (
        'softmax',
        'normalised',
        'arcface',
        'cosface',
        'adaface',
        'triplet',
        'mixed',
        'softmax+arcface+semi_hard',
      )
    ],
    'backbones': [
      {
        'row': f'{name}, width {width:g}',
        'network.name': name,
        'network.width': width,
        # It has no BatchNorm. Both rates are first choices, not tuned ones.
        **({'cnn.learning_rate': 0.01} if name == 'vgg16' else {}),
      }
      for name, width in (
        ('vgg16', 0.25),
        ('resnet18_small', 0.25),
        ('resnet18_small_gdconv', 0.25),
        ('iresnet18', 0.25),
        ('resnext50', 0.25),
        ('separable18', 0.5),
        ('mobilefacenet', 0.5),
      )
    ],
    'attention': [
      {'row': f'attention {word}', 'network.attention': on}
      for word, on in (('off', False), ('on', True))
    ],
  }
  if arg not in arms:
    raise ValueError(
      f'configs/metric.py:{arg} is no sweep: choose one of {sorted(arms)}'
    )
  return [{**arm, 'seed': seed} for arm in arms[arg] for seed in range(3)]


def columns(arg=''):
  """What the table of a sweep shows: metrics of the network."""
  names = {
    'losses': ['eer', 'fnmr@fmr=1e-2', 'fnmr@fmr=1e-3', 'rank1'],
    'backbones': ['eer', 'fnmr@fmr=1e-3', 'params', 'ms/image'],
    'attention': [f'eer@erased={share:g}' for share in (0.0, 0.1, 0.2, 0.3)],
  }
  if arg not in names:
    raise ValueError(
      f'configs/metric.py:{arg} is no sweep: choose one of {sorted(names)}'
    )
  return names[arg]
