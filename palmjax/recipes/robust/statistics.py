"""BatchNorm statistics of an arm, where the config leaves the choice open.

  'auto'         with a start    with random weights
  of the update  'running'       'joint'
  of the attack  'running'       'batch'

A trained network keeps its running statistics. Those of random weights are mean
0 and variance 1, whatever the images: the update has to make its own.
"""

import ml_collections

from palmjax.steps import perturb, robust

AUTO = 'auto'
# What a config may say, of the update and of the attack.
OF_UPDATE = (AUTO, *robust.STATISTICS)
OF_ATTACK = (AUTO, *perturb.ATTACK_STATISTICS)


def settle(config, section):
  """Returns a copy of a config in which nothing is 'auto'.

  Args:
    config: with `start` and `perturb`.
    section: name of the section with `statistics` of the update.

  Returns:
    ConfigDict.
  """
  config = ml_collections.ConfigDict(config.to_dict())
  for name, of_random_weights in ((section, 'joint'), ('perturb', 'batch')):
    if config[name].statistics == AUTO:
      config[name].statistics = 'running' if config.start else of_random_weights
  return config
