"""Cancellable templates: embeddings turned by a secret rotation.

  t = Q_k e / |Q_k e|,   Q_k orthogonal, drawn from the key k

Q_k keeps all angles, so decisions are those of embeddings. A stolen template is
made worthless by another key: templates of one palm under two keys are as far
apart as those of two palms (ISO/IEC 24745: renewable, unlinkable). Whoever has
the key can turn a template back.
"""

import hashlib

import numpy as np


def rotation(key, size):
  """Q_k: float64 [size, size], uniform among orthogonal matrices.

  The QR decomposition of a matrix of normal numbers, with the signs that make
  it unique (Mezzadri 2007, arXiv:math-ph/0609050).

  Args:
    key: bytes, secret.
    size: D.
  """
  seed = int.from_bytes(hashlib.sha256(b'palmjax template' + key).digest())
  normal = np.random.default_rng(seed).standard_normal((size, size))
  q, r = np.linalg.qr(normal)
  return q * np.sign(np.diag(r))


def protect(embeddings, key):
  """Templates of embeddings.

  Args:
    embeddings: float [N, D], unit norm.
    key: bytes, secret.

  Returns:
    float32 [N, D], unit norm.
  """
  embeddings = np.asarray(embeddings, np.float64)
  turned = embeddings @ rotation(key, embeddings.shape[1]).T
  norms = np.linalg.norm(turned, axis=1, keepdims=True)
  return (turned / norms).astype(np.float32)
