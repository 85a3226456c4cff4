"""Enrolling somebody, once and again."""

import sqlalchemy as sa

from palmjax.edge.device import tables
from tests.edge import devices


def test_images_are_counted_and_the_last_of_each_time_is_a_check(device):
  images = [devices.near(devices.palm(1), i) for i in range(4)]
  assert devices.enrol(device, 'Ann', images[0]).count == 1
  assert devices.enrol(device, 'Ann', *images[1:3]).count == 3
  assert devices.enrol(device, 'Bob', images[3]).count == 1
  with device.session() as session:
    checks = session.scalars(
      sa.select(tables.KeptReference.check).order_by(sa.literal_column('rowid'))
    ).all()
  assert checks == [False, False, True, False]


def test_a_palm_of_somebody_else_is_told(device):
  stranger = devices.stranger(device, devices.palm(1))
  done = devices.enrol(device, 'Hal', devices.palm(1))
  assert done.others == [None]
  done = devices.enrol(device, 'Ann', stranger, devices.palm(1))
  assert done.others == [None, 'Hal']


def test_one_s_own_palm_is_nobody_else_s(device):
  devices.enrol(device, 'Ann', devices.palm(1))
  assert devices.enrol(device, 'Ann', devices.palm(1)).others == [None]
