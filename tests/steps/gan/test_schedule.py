"""Which updates are due in which iteration."""

import pytest

from palmjax.steps.gan import updates


def names(due, iterations):
  return [''.join(due(i)) for i in range(iterations)]


LETTERS = updates.Steps('D', 'r', 'G', 'p')


def test_order_of_the_patent():
  due = updates.schedule(LETTERS, r1_interval=3, path_length_interval=2)
  assert names(due, 6) == ['DG', 'DGp', 'DrG', 'DGp', 'DG', 'DrGp']


def test_order_of_stylegan2():
  due = updates.schedule(
    LETTERS, r1_interval=3, path_length_interval=2, order='stylegan2'
  )
  assert names(due, 6) == ['GpDr', 'GD', 'GpD', 'GDr', 'GpD', 'GD']


def test_published_intervals_are_the_default():
  due = updates.schedule(LETTERS)
  calls = ''.join(names(due, 160))
  assert [calls.count(k) for k in 'DrGp'] == [160, 10, 160, 40]


def test_bad_schedules_are_refused():
  with pytest.raises(ValueError, match="'patent' or 'stylegan2'"):
    updates.schedule(LETTERS, order='random')
  with pytest.raises(ValueError, match='at least 1'):
    updates.schedule(LETTERS, r1_interval=0)
