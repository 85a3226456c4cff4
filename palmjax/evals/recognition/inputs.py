"""Checks of the embeddings and labels that evaluations are given."""

import chex
import numpy as np


def labelled(embeddings, labels):
  """Embeddings and their labels, as arrays that can be compared.

  Args:
    embeddings: float [N, D], unit L2 norm.
    labels: integer [N], any values.

  Returns:
    (float32 [N, D], [N]).

  Raises:
    ValueError: a value is not finite, or a norm is not 1.
  """
  embeddings = np.asarray(embeddings, np.float32)
  labels = np.asarray(labels)
  chex.assert_rank([embeddings, labels], [2, 1])
  chex.assert_equal_shape_prefix([embeddings, labels], 1)
  if not np.isfinite(embeddings).all():
    raise ValueError('Embeddings hold NaN or infinity: check the training.')
  norms = np.linalg.norm(embeddings, axis=1)
  if np.abs(norms - 1.0).max(initial=0.0) > 1e-3:
    raise ValueError('Embeddings must have unit L2 norm: normalise them first.')
  return embeddings, labels
