"""A small detector of hands taught by two teachers.

python -m palmjax.main --config configs/gesture.py --workdir runs/gesture

''         2 CPU cores: drawn hands, 96 px, teacher 2 at 192 px
'smoke'    the same path in miniature, for tests
'weights'  what the shipped detector was trained with (palmjax/weights)

Sweep, three seeds, every combination of teachers:

python -m launch.sweep --config configs/gesture.py:teachers --workdir runs/NAME
"""

import ml_collections

from configs import common

_SMOKE = {
  'image_size': 32,
  'data.images': 24,
  'data.evaluation_images': 12,
  'student.width': 0.25,
  'student.depth': 0,
  'teacher1.width': 0.5,
  'teacher1.depth': 0,
  'train.batch_size': 8,
  'train.steps': 12,
  'train.warmup_steps': 2,
  'train.ckpt_every': 4,
  'palm_frame.steps': 8,
  'palm_frame.image_size': 32,
  'palm_frame.width': 0.25,
  'palm_frame.batch_size': 8,
  'palm_frame.warmup_steps': 2,
  'palm_frame.ckpt_every': 4,
  'evaluation.resamples': 50,
  'optimise': False,
  'log_every': 4,
}

_WEIGHTS = {
  # The size at which the detector looks at photographs, too.
  'image_size': 128,
  'resolution.factor': 1,
  'data.images': 10000,
  'data.evaluation_images': 300,
  'data.palms': 0.5,
  'data.detail': 1.5,
  'arms': ('student_alone',),
  'student.width': 1.0,
  'augment.scale': 0.2,
  'augment.shift': 0.1,
  # Drawn images are blurred and noisy already, and both take time.
  'augment.blur': 0.0,
  'augment.noise': 0.0,
  'augment.closer': 0.5,
  'train.steps': 14000,
  'train.ckpt_every': 500,
  'palm_frame.steps': 16000,
  'palm_frame.ckpt_every': 500,
}

_TEACHERS = {
  'arms': (
    'student_alone',
    'student_teacher1',
    'student_teacher2',
    'student_both',
  ),
  'loss.teachers': (0.3, 0.3),
  'teachers.steps': 2400,
}


def get_config(arg=''):
  """Returns the configuration; `arg` is a variant or 'teachers'."""
  config = common.get_config('gesture')
  # Side of what the student and teacher 1 see.
  config.image_size = 96
  # Teacher 2 sees images L = `factor` times as large; the stride of its stage
  # K = `level` is L times the student's.
  config.resolution = ml_collections.ConfigDict({'factor': 2, 'level': 1})

  config.data = ml_collections.ConfigDict(
    {
      # 'hands' are drawn; 'yolo', 'voc' and 'coco' are boxes of DIR, whose
      # training part is trained on and whose validation part is tested.
      'name': 'hands',
      'dir': '',
      # Boxes outside the image, inverted, of unknown classes: 'clip' cuts and
      # drops with a line for each, 'refuse' stops.
      'bad': 'clip',
      # How often the images of DIR come for once that a drawn one comes.
      'repeat': 1,
      # Drawn hands. Beside boxes of DIR they are mixed in, class by name.
      'images': 1500,
      'evaluation_images': 300,
      'difficulty': 0.5,
      # Share of the drawn training images that show open palms at any rotation,
      # beside what comes by chance.
      'palms': 0.0,
      # Training images are kept so many times as large as networks see them,
      # 1 to 2: what `augment.closer` looks at.
      'detail': 1.0,
    }
  )
  config.augment = ml_collections.ConfigDict(
    {
      'mirror': True,
      'turns': False,  # by 90°, 180°, 270°
      'scale': 0.1,  # of log size, standard deviation
      'shift': 0.05,  # of the side, standard deviation
      'saturation': 0.2,  # of the log factor, standard deviation
      'hue': 10.0,  # degrees, standard deviation
      'grey': 0.1,  # probability
      'brightness': 0.2,
      'contrast': 0.2,
      'blur': 0.5,  # px, largest standard deviation
      'noise': 0.03,  # largest standard deviation
      'erase': 0.1,  # probability
      'closer': 0.0,  # probability of a look at one hand
    }
  )

  # Factors of the channels and blocks of models/detector.py.
  config.student = ml_collections.ConfigDict({'width': 0.5, 'depth': 1})
  config.teacher1 = ml_collections.ConfigDict({'width': 1.5, 'depth': 2})
  # Steps of both teachers' training; 0: as many as the students'.
  config.teachers = ml_collections.ConfigDict({'steps': 0})
  config.dtype = 'float32'
  # Of the running statistics; 0.99 for runs of 10⁵ steps.
  config.batch_norm_momentum = 0.9

  # Which students are trained; the teachers that they need are trained first.
  config.arms = ('student_alone', 'student_both')
  config.loss = ml_collections.ConfigDict(
    {
      'truth': 1.0,  # λ_gt
      'teachers': (1.0, 1.0),  # λ1, λ2
      'form': 'relative',  # or 'plain', 'attention': losses/two_teachers.py
      'below': 'pool',  # levels below K: averaged, or 'skip'
      'radius': 'published',  # or 'fixed': ops/maps/centers.py
      'cells': 9,  # that tell of a hand; 1, as published: that of its centre
    }
  )
  config.train = ml_collections.ConfigDict(
    {
      'batch_size': 16,
      'steps': 800,
      'learning_rate': 0.003,
      'warmup_steps': 50,
      'weight_decay': 1e-4,
      'max_norm': 10.0,
      **common.schedule(),
      'ckpt_every': 100,
      # Export that students start from, in place of random weights.
      'start': '',
    }
  )
  # The network that reads palm frames closely (models/palm_frame.py).
  config.palm_frame = ml_collections.ConfigDict(
    {
      'steps': 0,  # 0: none is trained
      'image_size': 64,
      'width': 1.0,
      # How far off the palm frames are that it learns to correct, as standard
      # deviations: degrees, of log size, distances of the valleys.
      'angle': 12.0,
      'scale': 0.15,
      'shift': 0.2,
      'batch_size': 32,
      'learning_rate': 0.003,
      'warmup_steps': 50,
      'weight_decay': 1e-4,
      'max_norm': 10.0,
      **common.schedule(),
      'ckpt_every': 100,
    }
  )
  config.stop = common.stop()
  config.evaluation = ml_collections.ConfigDict(
    {
      'resamples': 1000,
      # A hand is found where its score is at least this.
      'score': 0.3,
    }
  )

  variants = {
    '': {},
    'smoke': _SMOKE,
    'weights': _WEIGHTS,
    'teachers': _TEACHERS,
  }
  return common.override(config, common.variant(variants, arg, 'gesture'))


def sweep(arg=''):
  """Runs of the table: three seeds, each of which trains every arm."""
  get_config(arg)  # Refuses another name.
  return [{'seed': seed} for seed in range(3)]


def columns(arg=''):
  """What the table of the sweep shows, of each model."""
  del arg
  return ['ap', 'ap50', 'ap50@any', 'palm_frame@5%', 'params', 'ms/image']
