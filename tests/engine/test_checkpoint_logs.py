"""Orbax's lines about errors that we raise are dropped, and no others."""

import logging

import orbax.checkpoint as ocp
import pytest
from absl import logging as absl_logging

from palmjax.engine import checkpoint

ORBAX = ocp.__file__.removesuffix('__init__.py')


@pytest.fixture
def log(tmp_path):
  """(logger, file, message) → whether a handler of the logger gets it."""
  with checkpoint.Checkpoints(tmp_path / 'ckpt'):
    pass

  def log(name, path, message):
    got = []
    handler = logging.Handler()
    handler.emit = got.append
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
      logger.handle(
        logger.makeRecord(name, logging.ERROR, path, 1, message, (), None)
      )
    finally:
      logger.removeHandler(handler)
    return bool(got)

  return log


@pytest.mark.parametrize(
  'name, path, message, kept',
  [
    ('absl', '/home/orbax/palmjax/main.py', 'training: 5 images', True),
    ('absl', '/x/palmjax/main.py', 'workdir runs/orbax_OCDBT: 5 images', True),
    ('absl', f'{ORBAX}_src/x.py', 'Traceback', False),
    ('asyncio', '/lib/asyncio/base_events.py', 'a task of orbax lovers', True),
    (
      'asyncio',
      '/lib/asyncio/base_events.py',
      f'Task exception was never retrieved: <coro at {ORBAX}_src/x.py:9>',
      False,
    ),
    ('asyncio', '/lib/asyncio/x.py', 'error of the OCDBT driver', False),
  ],
)
def test_lines_of_orbax_alone_are_dropped(log, name, path, message, kept):
  assert log(name, path, message) == kept


def test_a_line_of_ours_about_orbax_is_printed(log, caplog):
  absl_logging.get_absl_logger().addHandler(caplog.handler)
  try:
    absl_logging.error('the checkpoint that orbax wrote is damaged')
  finally:
    absl_logging.get_absl_logger().removeHandler(caplog.handler)
  assert 'orbax wrote' in caplog.text
