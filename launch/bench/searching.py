"""1:N search among a million templates, beside FAISS if it is asked for."""

import numpy as np

from launch.bench import timing
from palmjax.inference import search

_TEMPLATES, _SIZE, _PROBES = 1_000_000, 128, 16


def run(args):
  """A batch of 16 probes; the goal is 60 ms a probe on 2 cores."""
  rng = np.random.default_rng(0)
  templates = rng.standard_normal((_TEMPLATES, _SIZE), np.float32)
  templates /= np.linalg.norm(templates, axis=1, keepdims=True)
  probes = templates[rng.integers(0, _TEMPLATES, _PROBES)]
  gallery = search.TemplateIndex(templates)
  times = {}
  for k in (1, 10):
    times[k] = timing.best_of(
      lambda k=k: gallery.search(probes, k), args.repeats
    )
    row = timing.report(
      f'{_PROBES} probes in 1e6 templates, k={k}', times[k], _PROBES, 'probes'
    )
    yield timing.within(row, 0.06 * _PROBES)
  if args.peer != 'faiss':
    return
  try:
    import faiss
  except ImportError as error:
    raise SystemExit('bench: --peer=faiss: pip install faiss-cpu') from error
  index = faiss.IndexFlatIP(_SIZE)
  index.add(templates)
  for k in (1, 10):
    seconds = timing.best_of(lambda k=k: index.search(probes, k), args.repeats)
    yield timing.report(
      f'{_PROBES} probes in 1e6, FAISS flat, k={k}', seconds, _PROBES, 'probes'
    )
    print(f'time / FAISS, k={k}: {times[k][1] / seconds[1]:.2f}')
    scores, indices = gallery.search(probes, k)
    expected, names = index.search(probes, k)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    print(f'the same palms: {np.mean(indices == names):.4f}')
