"""Writes the set of a TFDS builder to disk, whole or not at all."""

import contextlib
import errno
import io
import os
import pathlib
import shutil
import sys

import jax
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import shuffle

from palmjax import files


def write(builder):
  """Writes a builder's set and returns its path; one that is there is kept.

  Where another process writes the same set, this one waits, and then finds it.

  Raises:
    OSError: it cannot be written; one line with the path and what to do.
  """
  target = pathlib.Path(builder.data_path)
  files.make_folder(target.parent)
  with _alone(target.parent / '.lock'):
    # What a killed run left behind: TFDS removes it only after an exception.
    for stale in target.parent.glob(f'incomplete.*_{target.name}'):
      shutil.rmtree(stale)
    tfds.disable_progress_bar()  # The builder has its own.
    # Above 1 GB TFDS would sort records by way of files, with TensorFlow. Those
    # that keep their order fall into one file and are sorted in memory anyway.
    shuffle.MAX_MEM_BUFFER_SIZE = sys.maxsize
    try:
      # TFDS announces a download of unknown size: there is none.
      with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    except jax.errors.JaxRuntimeError:
      raise  # Of drawing, not of writing.
    except (OSError, RuntimeError) as error:
      raise files.cannot('write', target, _of_system(error)) from error
  return os.fspath(target)


def _alone(path):
  """The lock of a set, which is waited for."""
  try:
    return files.lock(path, wait=False)
  except BlockingIOError:
    logging.error('another process writes %s: waiting for it', path.parent)
    return files.lock(path, wait=True)


def _of_system(error):
  """The OSError behind what the writer of records raises as a RuntimeError."""
  if isinstance(error, OSError):
    return error
  for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
    if os.strerror(number) in str(error):
      return OSError(number, os.strerror(number))
  return OSError(str(error))
