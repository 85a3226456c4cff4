"""Writes the set of a TFDS builder to disk, whole or not at all."""

import contextlib
import io
import os
import pathlib
import shutil
import sys

import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle


def write(builder):
  """Writes a builder's set and returns its path; one that is there is kept."""
  target = pathlib.Path(builder.data_path)
  # What a killed run left behind: TFDS removes it only after an exception.
  for stale in target.parent.glob(f'incomplete.*_{target.name}'):
    shutil.rmtree(stale)
  tfds.disable_progress_bar()  # The builder has its own.
  # Above 1 GB TFDS would sort records by way of files, with TensorFlow. Those
  # that keep their order fall into one file and are sorted in memory anyway.
  shuffle.MAX_MEM_BUFFER_SIZE = sys.maxsize
  # TFDS announces a download of unknown size: there is none.
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare()
  return os.fspath(target)
