"""1:N search: the most alike templates of a large gallery, exactly.

Scores of a batch of probes with one block of the gallery at a time; the best k
of a block join the best k so far. Memory beside the gallery is a block of
scores, whatever N is. Equal scores are in the order of the gallery.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

BLOCK = 65_536  # Templates compared at once.


class TemplateIndex:
  """Templates to be searched, on the device.

  Attributes:
    size: N.
  """

  def __init__(self, templates, *, block=BLOCK):
    """Copies the templates to the device, in blocks of one size.

    Args:
      templates: float [N, D], N at least 1; unit norm for cosines.
      block: templates that are compared at once.

    Raises:
      ValueError: as `check_templates`.
    """
    templates = check_templates(templates)
    self.size, self._block = len(templates), min(block, len(templates))
    padded = -len(templates) % self._block
    self._templates = jnp.asarray(
      np.pad(templates, ((0, padded), (0, 0))).reshape(
        -1, self._block, templates.shape[1]
      )
    )

  def search(self, probes, k=1):
    """The k most alike templates of each probe.

    Args:
      probes: float [P, D].
      k: at least 1.

    Returns:
      (scores float32 [P, k], falling; indices int32 [P, k]), with k at most N.

    Raises:
      ValueError: as `check_probes`.
    """
    probes = check_probes(probes, k, self._templates.shape[-1])
    scores, indices = _search(
      self._templates, probes, self.size, min(k, self.size)
    )
    return np.asarray(scores), np.asarray(indices)


def check_templates(templates):
  """Templates as float32 [N, D].

  Args:
    templates: float [N, D].

  Raises:
    ValueError: no template, another shape, or a value that is not finite.
  """
  templates = np.asarray(templates, np.float32)
  if templates.ndim != 2 or not len(templates):
    raise ValueError(
      f'templates of shape {templates.shape}; give [N, D], N at least 1'
    )
  if not np.isfinite(templates).all():
    raise ValueError('a template is not finite; embed the palm again')
  return templates


def check_probes(probes, k, size):
  """Probes as float32 [P, D].

  Args:
    probes: float [P, D].
    k: templates to find for each.
    size: D of the templates.

  Raises:
    ValueError: another length D, a value that is not finite, or k below 1.
  """
  probes = np.asarray(probes, np.float32)
  if probes.ndim != 2 or probes.shape[1] != size:
    raise ValueError(f'probes of shape {probes.shape}; give [P, {size}]')
  if not np.isfinite(probes).all():
    raise ValueError('a probe is not finite; embed the palm again')
  if k < 1:
    raise ValueError(f'k={k}: give 1 or more')
  return probes


@functools.partial(jax.jit, static_argnames=('count', 'k'))
def _search(blocks, probes, count, k):
  block = blocks.shape[1]
  rows = jnp.arange(block, dtype=jnp.int32)

  def body(best, part):
    templates, start = part
    with jax.default_matmul_precision('highest'):
      scores = probes @ templates.T
    indices = start + rows
    scores = jnp.where(indices < count, scores, -jnp.inf)
    scores, chosen = jax.lax.top_k(scores, min(k, block))
    together = jnp.concatenate([best[0], scores], axis=1)
    names = jnp.concatenate([best[1], indices[chosen]], axis=1)
    # Earlier templates stand first, and the first of equals is taken.
    scores, chosen = jax.lax.top_k(together, k)
    return (scores, jnp.take_along_axis(names, chosen, axis=1)), None

  first = (
    jnp.full((len(probes), k), -jnp.inf),
    jnp.full((len(probes), k), -1, jnp.int32),
  )
  starts = block * jnp.arange(len(blocks), dtype=jnp.int32)
  best, _ = jax.lax.scan(body, first, (blocks, starts))
  return best
