"""The stage `soft_labels`: CNN-1 labels the palms that the GAN generates."""

import functools

import numpy as np

from palmjax import files
from palmjax.losses import soft_label
from palmjax.networks import generator as generator_networks
from palmjax.networks import palm as palm_networks


def label(palms, mesh, stage, config, *, teacher, generator):
  """Generates unlabelled palms and has CNN-1 label them.

  Writes generated.npz {'id', 'image'} and soft_labels.npz {'id', 'soft'}. Image
  and soft label are joined by the id, which also fixes the latents.

  Args:
    palms, mesh: not used.
    stage: `engine.stage.Stage`.
    config: with `soft`.
    teacher: export directory of CNN-1.
    generator: export directory of the GAN.

  Returns:
    Metrics: {'images', 'confidence', 'classes'}.
  """
  del palms, mesh  # All that it reads comes from the stages before.
  config = config.soft
  generate = generator_networks.load(generator, truncation=config.truncation)
  images = generate(stage.key, config.images)
  logits = palm_networks.load(teacher).classify(images)
  soft = np.asarray(
    soft_label.soft_labels(logits, temperature=config.temperature)
  )
  ids = np.array([f'g{n:07d}' for n in range(len(images))])
  for name, arrays in (
    ('generated', {'id': ids, 'image': images}),
    ('soft_labels', {'id': ids, 'soft': soft}),
  ):
    files.write_file(
      stage.export / f'{name}.npz', functools.partial(np.savez, **arrays)
    )
  return {
    'images': len(images),
    'confidence': float(soft.max(axis=1).mean()),
    'classes': len(np.unique(soft.argmax(axis=1))),
  }


def read_soft_labels(directory):
  """Joins what `label` wrote, by id.

  Args:
    directory: export directory of the stage.

  Returns:
    (uint8 [N, H, W, 3], float32 [N, K]).
  """
  with np.load(directory / 'generated.npz') as generated:
    images = dict(
      zip(generated['id'].tolist(), generated['image'], strict=True)
    )
  with np.load(directory / 'soft_labels.npz') as labels:
    ids, soft = labels['id'].tolist(), labels['soft']
  missing = [name for name in ids if name not in images]
  if missing:
    raise ValueError(
      f'{directory} has no image {missing[0]}: delete the stage and run again'
    )
  return np.stack([images[name] for name in ids]), soft
