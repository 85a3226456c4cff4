"""Semi-supervised palm recognition: what a GAN adds to few labelled palms.

  labelled palms ─┬─ cnn1 ────────────────┐
                  ├─ gan ── drawn palms ──┴─ soft_labels ─┐
                  ├─ cnn2 ────────────────────────────────┘
                  └─ control: cnn2 without the drawn palms

CNN-1, CNN-2 and the control start fresh, each from a key of its own, and get
equally many steps with equally large batches. All are measured on identities
that none of them has seen.
"""

import functools
import json
import pathlib
from typing import NamedTuple

import jax
import numpy as np
from absl import logging

from palmjax.data import pipeline
from palmjax.data import preprocess
from palmjax.edge import export
from palmjax.engine import checkpoint
from palmjax.engine import mesh as meshes
from palmjax.engine import stage
from palmjax.evals import verification
from palmjax.recipes import palm_images
from palmjax.recipes import palm_network
from palmjax.recipes import ssl_gan
from palmjax.recipes import ssl_report

_MODELS = ('cnn1', 'cnn2', 'control')


class Context(NamedTuple):
  """What every stage may read."""

  config: object
  palms: palm_images.PalmImages
  mesh: jax.sharding.Mesh
  workdir: pathlib.Path


def run(config, workdir):
  """Runs or resumes the whole recipe.

  Args:
    config: of configs/ssl.py.
    workdir: folder; gets metrics.json and report.html at the end.
  """
  workdir = pathlib.Path(workdir)
  stage.check_workdir(workdir, config.to_dict())
  root = jax.random.key(config.seed)
  palms = palm_images.load(config, stage.stage_key(root, 'data'))
  logging.info(
    'labelled: %d images of %d identities; evaluation: %d images of %d others',
    len(palms.labelled.labels),
    len(palms.labelled.identities),
    len(palms.evaluation.labels),
    len(palms.evaluation.identities),
  )
  context = Context(
    config, palms, meshes.make(config.num_devices or None), workdir
  )

  def make(name, body, sections, **inputs):
    paths = {key: result.path for key, result in inputs.items()}
    values = config.to_dict()
    return stage.run(
      name,
      functools.partial(body, context, **paths),
      workdir=workdir,
      key=root,
      config={
        'data': palms.fingerprint,
        **{section: values[section] for section in sections},
      },
      inputs={key: result.fingerprint for key, result in inputs.items()},
    )

  recognition = ('image_size', 'preprocess', 'augment', 'network', 'cnn')
  cnn1 = make('cnn1', _train_cnn1, recognition)
  gan = make('gan', _train_gan, ('image_size', 'gan'), judge=cnn1)
  soft = make('soft_labels', _label, ('soft',), teacher=cnn1, generator=gan)
  cnn2 = make('cnn2', _train_cnn2, (*recognition, 'soft'), soft=soft)
  control = make('control', _train_control, recognition)
  ...
