"""Labels of second target samples by the teacher (S4, CN114528937A, claim 5b).

  logits_k = s cos(e, r_k),   soft = softmax(logits),   hard = argmax

with e the teacher's embedding of the sample, r_k those of a device's references
and s the scale of the teacher's loss. A sample that reaches the teacher's
threshold with no reference shows a stranger.
"""

import numpy as np


def soft(embeddings, references, *, scale):
  """Probabilities of the references.

  Args:
    embeddings: float [N, D], unit norm.
    references: float [K, D], unit norm, K at least 1.
    scale: s > 0.

  Returns:
    (float64 [N, K], cosine of the best reference [N]).
  """
  cosines = np.asarray(embeddings, float) @ np.asarray(references, float).T
  logits = scale * cosines
  weights = np.exp(logits - logits.max(axis=1, keepdims=True))
  return weights / weights.sum(axis=1, keepdims=True), cosines.max(axis=1)
