"""Tells when the palms of a whole set seem to lie on their side."""

import numpy as np
from absl import logging

from palmjax import file_names
from palmjax.data.sets import stored_images
from palmjax.data.sets.builders import real_sets
from palmjax.inference import orientation_code, palm_turn

# Palms that are looked at, one image each: their codes take half a second.
_MOST = 200


def warn(images, labels, dataset, *, turn, option=None):
  """Logs one line if another turn fits clearly better (`palm_turn`).

  Args:
    images: uint8 [N, S, S, 3], or `StoredImages`.
    labels: int [N].
    dataset: what they are, in words.
    turn: degrees clockwise that they were turned by already.
    option: what sets the turn, e.g. '--config.data.turn'; None: the files must
      be turned.
  """
  _, first = np.unique(labels, return_index=True)
  if len(first) < palm_turn.LEAST:
    return
  # By no order of names: it may be that of the capture.
  order = np.random.default_rng(0).permutation(len(first))[:_MOST]
  part = images[first[order]]
  if isinstance(part, stored_images.StoredImages):
    part = part.read()
  codes = orientation_code.templates(part, orientation_code.FINE)
  fit = palm_turn.fit(orientation_code.mean(codes))
  if text := palm_turn.warning(fit, dataset):
    advice = 'turn the files'
    if option is not None:
      advice = f'give {option}={(turn + fit.turn) % 360}'
    logging.warning(
      '%s: look at some of them; if they lie so, %s', text, advice
    )


def warn_of_run(data, palm_set):
  """`warn` of the palms that a run reads; drawn palms lie upright.

  Args:
    data: section of the config.
    palm_set: `folder.Images` or `prepared.PreparedImages` of it.
  """
  if data.name == 'folder':
    turn, option = data.turn, '--config.data.turn'
  elif data.name in real_sets.BUILDERS:
    turn = palm_set.turn
    option = f'python -m palmjax.prepare --dataset={data.name} --turn'
  else:
    return
  words = f'palms of {file_names.printable(data.dir)}'
  warn(palm_set.images, palm_set.labels, words, turn=turn, option=option)
