"""Stop rules of a training, from the section `stop` of a config.

The measure is taken of images that no training sees and that no test counts:
a share of the identities, or of the images of hands, is held out for it.
"""

import jax

from palmjax.engine import stop
from palmjax.ops import chunks
from palmjax.recipes.shared import config_keys

# Of the names of held-out measures in the logs.
PREFIX = 'held_out/'
# Which way a measure improves.
_MODES = {'eer': 'min', 'd_prime': 'max', 'loss': 'min'}


def rules(section, *, epoch_steps):
  """Rules of `engine.stop`; none where the section asks for none.

  Args:
    section: `stop` of a config.
    epoch_steps: steps in which each training image is used once.

  Returns:
    A tuple of rules, as `loop.fit` takes them.
  """
  made = []
  if section.measure:
    made.append(
      stop.Plateau(
        PREFIX + section.measure,
        delta=section.delta,
        patience=section.patience,
        mode=_MODES[section.measure],
      )
    )
  if section.loss:
    made.append(stop.Threshold('loss', section.loss, epoch_steps))
  return tuple(made)


def epoch_steps(examples, batch_size, *, replays=1):
  """Steps until each of so many examples was used, at least one.

  Args:
    examples: of the training.
    batch_size: examples of a batch.
    replays: steps with each batch.
  """
  return replays * max(-(-examples // batch_size), 1)


def by_loss(section, loss, *, training, held_out, batch_size, replays=1):
  """Stop rules of a training whose held-out measure is its own loss.

  Args:
    section: `stop` of a config.
    loss: (params, stats, batch, key) → scalar.
    training: {name: array [N, ...]}.
    held_out: the same, which is not trained on; None if nothing is measured.
    batch_size: examples of a batch.
    replays: steps with each batch.

  Returns:
    {'evals', 'stop'} of `engine.loop.fit`.
  """
  steps = epoch_steps(len(training['image']), batch_size, replays=replays)
  stops = rules(section, epoch_steps=steps)
  if not section.measure:
    return {'evals': None, 'stop': stops}
  loss = jax.jit(loss)
  # Whole batches only: one compilation, and the mean of their means is the mean
  # of their images. The few images beyond them are not measured.
  size = min(batch_size, len(held_out['image']))
  count = len(held_out['image']) // size * size
  # Each evaluation sees the same images, changed in the same way.
  key = jax.random.key(0)

  def evaluate(state, step):
    del step
    total = 0.0
    for index in chunks.indices(count, size):
      batch = {name: array[index] for name, array in held_out.items()}
      part = loss(
        state.params,
        state.stats,
        batch,
        jax.random.fold_in(key, int(index[0])),
      )
      total += float(part) * size / count
    return state, {f'{PREFIX}loss': total}

  return {'evals': evaluate, 'stop': stops}


def share(config):
  """Share of the training that is held out: 0 where nothing is measured."""
  return float(config.stop.share) if config.stop.measure else 0.0


def check(config, measures, sections):
  """Refuses a section `stop` that cannot be measured or ends nothing.

  Args:
    config: of a recipe.
    measures: names that `stop.measure` may have.
    sections: names of the sections whose trainings `stop` may end.

  Raises:
    ValueError: names the key and what it may be.
  """
  section = config.stop
  if section.measure and section.measure not in measures:
    raise ValueError(
      f'--config.stop.measure={section.measure}: choose one of '
      f"{', '.join(measures)}, or '' for none"
    )
  config_keys.check_least(
    config,
    {'stop.delta': 0, 'stop.patience': 1, 'stop.every': 1, 'stop.loss': 0},
  )
  if section.measure and not 0 < section.share < 1:
    raise ValueError(
      f'--config.stop.share={section.share}: give a share between 0 and 1 of '
      'the training, which is held out to measure'
    )
  for name in sections:
    if (section.measure or section.loss) and config[name].schedule == 'cosine':
      key = 'measure' if section.measure else 'loss'
      raise ValueError(
        f'--config.stop.{key}={section[key]} may end the training early, and '
        f'--config.{name}.schedule=cosine needs a known end: give '
        f'--config.{name}.schedule=plateau, or constant'
      )
