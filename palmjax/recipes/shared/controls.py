"""Recognition without learning: what every trained network stands beside."""

import jax
import numpy as np

from palmjax.inference import correlation, orientation_code

# Of the parts of the verifier's score, the finer code.
_KIND = orientation_code.FINE


def scores(images):
  """Scores of all pairs by each control.

  Args:
    images: uint8 [N, S, S, 3].

  Returns:
    {'correlation', 'orientation code': float32 [N, N]}, symmetric.
  """
  return {'correlation': correlate(images), 'orientation code': code(images)}


def correlate(images):
  """Correlation of all pairs [N, N], uint8 [N, S, S, 3]."""
  templates = correlation.templates_of(images)
  return np.asarray(jax.jit(correlation.all_similarities)(templates))


def code(images):
  """Mean of both orders of each pair by the orientation code, [N, N].

  No mean code is taken off: here it would be that of the tested palms.
  """
  probes = orientation_code.probes(images, _KIND)
  upright = probes[:, orientation_code.ROTATIONS.index(0)]
  directed = orientation_code.scores(probes, upright, _KIND)
  return (directed + directed.T) / 2
