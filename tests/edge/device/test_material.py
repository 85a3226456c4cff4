"""What an update learns from: samples, labels, and images moved a little."""

import jax
import numpy as np
import pytest
import sqlalchemy as sa

from palmjax.edge.device import jitter, learning, material, people, tables
from tests.edge import devices


@pytest.mark.usefixtures('six_samples')
def test_labels_of_the_server_are_learned_from(device):
  """The teacher's probabilities count; those of the forgotten do not."""
  with device.session() as session:
    ids = {name: user for user, name in people.users(device, session).items()}
    row = session.scalars(
      sa.select(tables.KeptSample).where(tables.KeptSample.held.is_(False))
    ).first()
    content = f'{{"{ids["Ann"]}": 0.3, "{ids["Bob"]}": 0.1, "gone": 0.6}}'
    row.soft = device.seal(content.encode(), row, 'soft')
    collected = material.collect(device, session, devices.student(device))
  chosen = collected['samples'].has_soft
  assert chosen.sum() == 1
  number = sorted(ids.values()).index(ids['Ann'])
  soft = collected['samples'].soft[chosen][0]
  assert soft[number] == pytest.approx(0.75)
  assert soft.sum() == pytest.approx(1)


def test_without_samples_nothing_is_learned(tmp_path, content):
  device = devices.open_(tmp_path, content)
  devices.enrol(device, 'Ann', devices.palm(1))
  with pytest.raises(ValueError, match='no sample to learn from'):
    learning.learn(device, devices.student(device), 100.0)


def test_jitter_moves_images_a_little():
  images = np.stack([devices.palm(i) for i in range(3)]) / 127.5 - 1
  moved = np.asarray(jitter.jitter(jax.random.key(0), images))
  assert moved.shape == images.shape
  assert np.abs(moved).max() <= 1
  correlations = [
    np.corrcoef(a.ravel(), b.ravel())[0, 1]
    for a, b in zip(images, moved, strict=True)
  ]
  assert 0.7 < min(correlations) < 0.9999
