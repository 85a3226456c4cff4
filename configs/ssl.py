"""Few labelled palms → GAN → soft labels → a second network (CN111860424A).

python -m palmjax.main --config configs/ssl.py --workdir runs/ssl

''       2 CPU cores: 32 px, 192 drawn palms: half of them tested, 24 × 4 images
         labelled
'smoke'  the same path in miniature, for tests
'full'   an accelerator: 128 px, StyleGAN2 channels, bfloat16

Expected on the default, 3 seeds: the table in docs/results.md, made by
python -m launch.sweep --config configs/ssl.py --workdir runs/ssl_sweep
"""

import ml_collections

from configs import common

_SMOKE = {
  'data.identities': 24,
  'data.samples': 4,
  'labelled.identities': 12,
  'labelled.images': 3,
  # Its stage takes 10 s where MobileFaceNet's takes 24: compilation.
  'network.name': 'vgg16_pool',
  'network.width': 0.125,
  'network.embedding_size': 32,
  'cnn.learning_rate': 0.01,
  'cnn.batch_size': 16,
  'cnn.steps': 30,
  'cnn.warmup_steps': 5,
  'cnn.ckpt_every': 10,
  'gan.fmap_base': 128,
  'gan.fmap_max': 16,
  'gan.latent_size': 16,
  'gan.batch_size': 8,
  'gan.steps': 32,
  'gan.eval_every': 16,
  'gan.ckpt_every': 8,
  'gan.eval_images': 64,
  'soft.images': 64,
  'evaluation.resamples': 100,
  'optimise': False,
  'log_every': 5,
}

_FULL = {
  'image_size': 128,
  'data.identities': 1000,
  'data.samples': 20,
  'labelled.identities': 400,
  'labelled.images': 5,
  'network.width': 1.0,
  'network.dtype': 'bfloat16',
  'cnn.margin': 0.5,
  'cnn.scale': 32.0,
  'cnn.batch_size': 256,
  'cnn.steps': 20_000,
  'cnn.warmup_steps': 500,
  'cnn.ckpt_every': 1000,
  'gan.fmap_base': 16_384,
  'gan.fmap_max': 512,
  'gan.latent_size': 512,
  'gan.mapping_layers': 8,
  'gan.dtype': 'bfloat16',
  'gan.batch_size': 32,
  'gan.steps': 100_000,
  'gan.eval_every': 2500,
  'gan.ckpt_every': 1000,
  'gan.eval_images': 5000,
  'gan.ema_kimg': 10.0,
  'gan.ada_kimg': 500.0,
  'gan.learning_rate': 0.0025,
  'gan.images': 'photos',
  'gan.r1_gamma': 0.0,
  'gan.style_mixing': 0.9,
  'soft.images': 50_000,
  'log_every': 100,
}


def get_config(arg=''):
  """Returns the configuration; `arg` is '', 'smoke' or 'full'."""
  config = common.get_config('ssl')
  config.image_size = 32

  config.data = ml_collections.ConfigDict(
    {
      # 'palms' are drawn, 'folder' is DIR/<identity>/<image>, 'drawn_palms' is
      # the prepared set of python -m palmjax.prepare.
      'name': 'palms',
      'dir': '',
      # For 'folder': degrees clockwise that bring its palms upright.
      'turn': 0,
      # For 'palms': a person has two identities, the left and the right palm.
      'identities': 192,
      'samples': 8,
      'difficulty': 0.3,
    }
  )
  # Share of the identities that no training sees; all their images are tested.
  config.evaluation_share = 0.5
  # The labelled budget: images of each of so many training identities.
  config.labelled = ml_collections.ConfigDict({'identities': 24, 'images': 4})

  config.preprocess = ml_collections.ConfigDict(
    {'channels': 'grey', 'contrast': 'local'}
  )
  config.augment = common.augment(rotation=8.0, shift=0.05, scale=0.06)
  config.network = ml_collections.ConfigDict(
    {
      'name': 'mobilefacenet',
      'width': 0.5,
      'embedding_size': 128,
      'attention': False,
      'dtype': 'float32',
      # Of the running statistics; 0.99 for runs of 10⁵ steps.
      'batch_norm_momentum': 0.9,
    }
  )
  config.cnn = ml_collections.ConfigDict(
    {
      # 'arcface' or 'softmax'. With the margin, networks that start apart ended
      # closer together in a trial of four starts each.
      'loss': 'arcface',
      'margin': 0.3,
      'scale': 16.0,
      'batch_size': 32,
      'steps': 400,
      'learning_rate': 0.1,
      'momentum': 0.9,
      'weight_decay': 5e-4,
      'warmup_steps': 50,
      'max_norm': 5.0,
      **common.schedule(),
      'ckpt_every': 100,
    }
  )
  config.stop = common.stop()
  config.gan = ml_collections.ConfigDict(
    {
      # What the GAN learns to generate: 'photos', or 'creases', the photographs
      # after local contrast normalisation. Of photographs it learns the skin
      # tone first; docs/results.md tells how far either gets on a CPU.
      'images': 'creases',
      'fmap_base': 256,
      'fmap_max': 64,
      'latent_size': 64,
      'mapping_layers': 2,
      'dtype': 'float32',
      'batch_size': 16,
      'steps': 2500,
      'order': 'patent',  # or 'stylegan2'
      'learning_rate': 0.003,
      'r1_gamma': 0.3,  # 0: 0.0002 · resolution² / batch
      'r1_interval': 16,
      'path_length_interval': 4,
      'path_length_weight': 2.0,
      'style_mixing': 0.0,
      'ema_kimg': 1.0,
      'ada_target': 0.6,
      # Slow. At 20, and on more images, only blobs were drawn in this time;
      # which of the two mattered was not tried.
      'ada_kimg': 300.0,
      'ada_limit': 0.8,
      # The paper's transforms turn and mirror freely; palms lie in a frame.
      'ada_mirror': False,
      'ada_rotation': 10.0,  # degrees, largest
      'ada_hue': 30.0,  # degrees, largest
      'eval_every': 1000,
      'eval_images': 512,
      # Stop when the kernel distance has not improved for so many evaluations.
      'patience': 3,
      'ckpt_every': 250,
    }
  )
  config.soft = ml_collections.ConfigDict(
    {
      'images': 2048,
      'truncation': 1.0,
      # Above 1: CNN-1 is sure of itself where nobody can be. The search that
      # these two come from is in docs/results.md.
      'temperature': 3.0,
      'weight': 2.0,
      'share': 0.5,  # of the batch that is generated
      'plain_mean': False,  # over all images: losses/soft_label.py
      'confidence': False,  # weigh images by 1 - entropy / log K
      'augment': True,
    }
  )
  config.evaluation = ml_collections.ConfigDict(
    {'resamples': 1000, 'fars': (1e-1, 1e-2, 1e-3)}
  )

  variants = {'': {}, 'smoke': _SMOKE, 'full': _FULL}
  return common.override(config, common.variant(variants, arg, 'ssl'))


def sweep(arg=''):
  """Runs of the table in docs/results.md: three seeds, all three arms each.

  Seeds 101 to 103 were searched on, 0 to 2 measured before.
  """
  get_config(arg)  # Refuses another name.
  return [{'seed': seed} for seed in (10, 11, 12)]


def columns(arg=''):
  """What the table of the sweep shows, of each model."""
  del arg
  return ['eer', 'eer/control', 'tar@far=1e-2', 'tar@far=1e-3']
