"""What a device learns from, and what checks the result."""

import json

import numpy as np
import sqlalchemy as sa

from palmjax.edge import rules, update
from palmjax.edge.device import capture, people, tables


def collect(device, session, student):
  """References, checks and samples as arrays.

  Args:
    device: `store.Store`.
    session: of it.
    student: `models.Student`, whose size images get.

  Returns:
    {'references': uint8 [K, S, S, 3], one of each user; 'samples':
    `update.Samples`; 'checks': uint8 [C, S, S, 3], which are not trained on;
    'whose': int [C], users of the checks; 'ids': of the samples; 'seed': int}.
  """
  owners = sorted(people.users(device, session))
  number = {owner: i for i, owner in enumerate(owners)}

  def image(row):
    return capture.unpack(device.open(row, 'image'), student.size)

  references, checks, whose = {}, [], []
  for row in session.scalars(
    sa.select(tables.KeptReference).order_by(tables.KeptReference.id)
  ):
    if row.check:
      checks.append(image(row))
      whose.append(number[row.user])
    else:
      references.setdefault(row.user, image(row))
  images, labels, soft, has_soft, ids = [], [], [], [], []
  for row in session.scalars(
    sa.select(tables.KeptSample)
    .where(tables.KeptSample.state == tables.USABLE)
    .order_by(tables.KeptSample.made, tables.KeptSample.id)
  ):
    if row.held:
      checks.append(image(row))
      whose.append(number[row.user])
      continue
    probabilities = np.zeros(len(owners), np.float32)
    content = device.open(row, 'soft')
    for owner, value in (json.loads(content) if content else {}).items():
      if owner in number:
        probabilities[number[owner]] += value
    # Somebody may have been forgotten since the teacher's answer.
    total = probabilities.sum()
    has_soft.append(total > 0)
    soft.append(probabilities / total if total > 0 else probabilities)
    images.append(image(row))
    labels.append(number[row.user])
    ids.append(row.id)
  shape = (-1, student.size, student.size, 3)
  return {
    'references': np.array([references[owner] for owner in owners], np.uint8),
    'samples': update.Samples(
      np.array(images, np.uint8).reshape(shape),
      np.array(labels, np.int64),
      np.array(soft, np.float32).reshape(-1, len(owners)),
      np.array(has_soft, bool),
    ),
    'checks': np.array(checks, np.uint8).reshape(shape),
    'whose': np.array(whose, np.int64),
    'ids': ids,
    # Equal samples train equally.
    'seed': len(ids),
  }


def refused_share(network, preset, material):
  """Share of the checks that their owner's reference refuses; 0 of none."""
  if not len(material['checks']):
    return 0.0
  references = network.embed(material['references'])[material['whose']]
  cosines = np.sum(network.embed(material['checks']) * references, axis=1)
  return float(np.mean(~rules.passes(rules.score(cosines), preset)))
