"""A teacher, its student with exits, and the life of a device.

python -m palmjax.main --config configs/distill.py --workdir runs/distill

''       2 CPU cores: the shipped weights teach, 64 px, drawn palms, few of them
           labelled
'table'  every arm of the device
'smoke'  the same path in miniature, for tests

Sweep, three seeds:

python -m launch.sweep --config configs/distill.py --workdir runs/NAME
"""

import ml_collections

from configs import common

_SMOKE = {
  'image_size': 32,
  'evaluation_share': 0.5,
  'data.identities': 32,
  'labelled.identities': 12,
  'labelled.images': 12,
  'data.samples': 12,
  'teacher.cnn.start': '',
  'teacher.network.width': 0.125,
  'teacher.network.embedding_size': 32,
  'teacher.cnn.steps': 6,
  'teacher.cnn.batch_size': 8,
  'teacher.cnn.warmup_steps': 2,
  'teacher.cnn.ckpt_every': 3,
  'student.network.width': 0.125,
  'student.network.embedding_size': 32,
  'student.cnn.steps': 6,
  'student.cnn.batch_size': 8,
  'student.cnn.warmup_steps': 2,
  'student.cnn.ckpt_every': 3,
  'distill.unlabelled': 8,
  'device.arms': ('both', 'statistics', 'placebo'),
  'device.sessions': 2,
  # Random networks are sure of nothing.
  'device.interval': (0.0, 0.99),
  'device.failures': 1,
  'device.fmr': 0.1,
  'device.enough': 4,
  'device.steps': 2,
  'device.batch_size': 4,
  'evaluation.resamples': 50,
  'optimise': False,
  'log_every': 2,
}


def get_config(arg=''):
  """Returns the configuration; `arg` is '' or the name of a variant."""
  config = common.get_config('distill')
  config.image_size = 64
  config.data = ml_collections.ConfigDict(
    {
      # As in configs/metric.py.
      'name': 'palms',
      'dir': '',
      'turn': 0,
      'identities': 800,
      # Four sessions: one to enrol in, two to live in, one to be tested in.
      'samples': 16,
      'difficulty': 0.6,
    }
  )
  config.evaluation_share = 0.1875  # 150 identities
  # Of the training identities; all others are unlabelled.
  config.labelled = ml_collections.ConfigDict({'identities': 150, 'images': 16})
  # Of both networks: what the shipped weights were trained with.
  config.preprocess = ml_collections.ConfigDict(
    {'channels': 'grey', 'contrast': 'local'}
  )
  config.augment = common.augment()
  # ArcFace, of both networks.
  config.loss = ml_collections.ConfigDict({'margin': 0.3, 'scale': 32.0})

  config.teacher = ml_collections.ConfigDict(
    {
      'network': {
        'name': 'mobilefacenet',
        'width': 0.5,
        'embedding_size': 128,
        'attention': False,
        'dtype': 'float32',
        'batch_norm_momentum': 0.9,
      },
      # Starts from 'shipped', an export, or '' for random weights.
      'cnn': {**_cnn(steps=100, learning_rate=0.02), 'start': 'shipped'},
    }
  )
  config.student = ml_collections.ConfigDict(
    {
      'network': {
        'name': 'mobilefacenet',
        'width': 0.25,
        # The teacher's: embeddings are compared.
        'embedding_size': 128,
        'attention': False,
        'dtype': 'float32',
        'batch_norm_momentum': 0.9,
        # The exit that the export uses, from 1 on; 0 is the last.
        'exit': 0,
      },
      'cnn': _cnn(steps=1000, learning_rate=0.1),
    }
  )
  config.distill = ml_collections.ConfigDict(
    {
      'temperature': 3.0,
      'logits_weight': 0.1,  # λ_kd
      'embeddings_weight': 100.0,  # λ_f
      # Palms in a batch beside the labelled ones, of the training identities
      # that `labelled` leaves out; 0: none.
      'unlabelled': 32,
    }
  )
  config.device = ml_collections.ConfigDict(
    {
      # Lives from equal starts: see ARMS in palmjax/recipes/distill/replay.py.
      'arms': ('both', 'first_only', 'statistics', 'placebo'),
      # In each, users and strangers come, and the drift grows up to `drift`.
      'sessions': 4,
      'drift': {'light': 1.0, 'dryness': 1.0, 'camera': 1.0},
      # False match rate that thresholds are set for.
      'fmr': 1e-3,
      # First interval, as shares of the way from the preset score to 100.
      'interval': (0.1, 0.9),
      'failures': 2,  # in a row: the last image is a second target sample
      'enough': 40,  # samples for an update, and for a question to the teacher
      'days': 7.0,  # from one session to the next
      'period': 14.0,  # days after which fewer samples will do
      # Of an update; sets of at most `set_size` samples.
      'steps': 40,
      'set_size': 400,
      'batch_size': 32,
      'learning_rate': 0.01,
      'temperature': 3.0,
      'alpha': 0.3,
      # 0.03 of unit embeddings: theirs have a length of about 12 here.
      'beta': 2e-4,
    }
  )
  config.stop = common.stop()
  config.evaluation = ml_collections.ConfigDict(
    {'resamples': 1000, 'fmrs': (1e-1, 1e-2, 1e-3, 1e-4)}
  )
  table = {
    'device.arms': (
      *('both', 'first_only', 'no_fused', 'no_one_to_many'),
      *('statistics', 'placebo', 'labels_5', 'labels_20'),
    )
  }
  variants = {'': {}, 'table': table, 'smoke': _SMOKE}
  return common.override(config, common.variant(variants, arg, 'distill'))


def _cnn(*, steps, learning_rate):
  """The section `cnn` of a network."""
  return {
    'batch_size': 32,
    'steps': steps,
    'learning_rate': learning_rate,
    'momentum': 0.9,
    'weight_decay': 5e-4,
    'warmup_steps': 20,
    'max_norm': 5.0,
    **common.schedule(),
    'ckpt_every': 100,
  }


def sweep(arg=''):
  """Runs of the table: three seeds, each of which trains every network."""
  get_config(arg)  # Refuses another name.
  return [{'seed': seed} for seed in range(3)]


def columns(arg=''):
  """What the table of the sweep shows, of each model."""
  get_config(arg)
  return [
    *('eer', 'fnmr@fmr=1e-3', 'gap closed', 'params', 'ms/image'),
    # Of devices.
    *('fnmr', 'fmr', 'recovered', 'fnmr - placebo', 'd_sys'),
  ]
