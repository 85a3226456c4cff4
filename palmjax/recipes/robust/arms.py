"""Trains every arm of the recipe `robust`, then attacks what it has learned.

The same for hands and palms: a task brings its training, its attack, and how
its exports are read. An arm is two stages, ARM and attacked_ARM.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

from palmjax.engine import stage
from palmjax.networks import export as exports
from palmjax.recipes.shared import run_start


class ArmStages(NamedTuple):
  """The two stages of an arm, of hands or of palms.

  Attributes:
    fingerprint: of the data.
    start: export folder of the network that is trained; '' for random weights.
    train: (stage, config, *, arm, key) → metrics, the body of a stage.
    sections: of the config that `train` reads.
    attack: (key, stage, config, **exports) → metrics, the body of a stage.
    attack_sections: of the config that `attack` reads.
    read: export directory of `attack` → what was found.
    load: export directory of `train` → network.
  """

  fingerprint: str
  start: str
  train: Callable
  sections: tuple[str, ...]
  attack: Callable
  attack_sections: tuple[str, ...]
  read: Callable
  load: Callable


class FinishedArms(NamedTuple):
  """Arms that were trained and attacked; all are dicts by the arm's name.

  Attributes:
    trained: `engine.stage.Result`s.
    attacked: what `ArmStages.read` gives.
    networks: what `ArmStages.load` gives.
  """

  trained: dict
  attacked: dict
  networks: dict


def run(stages, config, workdir, root):
  """Trains and attacks all arms, or goes on with them.

  Args:
    stages: `ArmStages`.
    config: with `arms`, and with the sections that the stages read.
    workdir: path of the run.
    root: random key of the run.

  Returns:
    `FinishedArms`.
  """

  def make(name, body, sections, inputs, **facts):
    return stage.run(
      name,
      body,
      workdir=workdir,
      key=root,
      config=config.to_dict(),
      sections=sections,
      facts={'data': stages.fingerprint, **facts},
      inputs=inputs,
      profile=run_start.profile(config),
    )

  digests = exports.start_digests(stages.start)
  # One key for all arms: equal new weights, equal batches, equal draws, and
  # equal starts of attacks as long as the same images are attacked.
  key = stage.stage_key(root, 'arms')
  attack_key = stage.stage_key(root, 'attacks')
  result = FinishedArms({}, {}, {})
  for arm in config.arms:
    trained = make(
      arm,
      functools.partial(stages.train, arm=arm, key=key),
      stages.sections,
      {},
      start=digests,
    )
    attacked = make(
      f'attacked_{arm}',
      functools.partial(stages.attack, attack_key),
      stages.attack_sections,
      {arm: trained},
    )
    result.trained[arm] = trained
    result.attacked[arm] = stages.read(attacked.path)
  for arm, trained in result.trained.items():
    result.networks[arm] = stages.load(trained.path)
  return result


def made_for_others(attacked, arm):
  """Images that attack the other arms, to try on this one.

  Args:
    attacked: {arm: what was found, with `images`}.
    arm: its name.

  Yields:
    (name of the attack, key of the images, float32 [N, S, S, 3]).
  """
  for other, one in attacked.items():
    if other != arm:
      for key, images in one.images.items():
        yield f'transfer from {other}', key, images
