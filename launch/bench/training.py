"""Every train step: time, memory, FLOP/s beside a large matrix product."""

import jax

from configs import robust as robust_config
from launch.bench import costs, perturbed, steps
from palmjax.engine import mesh as meshes


def run(args):
  """Steps of all recipes, on one device; --peer=torch: beside PyTorch, too.

  Yields:
    Rows of `costs.measure`.
  """
  variant = 'smoke' if args.small else ''
  ceilings = costs.ceilings(args.repeats)
  mesh = meshes.make(1)
  for step in steps.every(variant, args.size):
    yield measure(step, mesh, args.repeats, ceilings)
  # The shipped detector, whatever the variant.
  config = steps.config_of(robust_config, '', 32 if args.small else args.size)
  for arm, step in perturbed.make_steps(
    config, [perturbed.CONTROL, *args.arms]
  ).items():
    yield costs.measure(
      f'detector, {arm}, {config.image_size} px',
      step.func,
      step.args,
      config.train.batch_size,
      args.repeats,
      ceiling=ceilings[config.dtype],
    )
  if args.peer == 'torch':
    # PyTorch is no requirement.
    from launch.bench.pytorch import compare

    yield from compare.run(args)


def measure(step, mesh, repeats, ceilings):
  """The row of a `steps.Step`; all images of its batch count."""
  return costs.measure(
    step.name,
    meshes.jit_step(step.step, mesh, donate=False),
    (step.state, step.frozen, step.batch, jax.random.key(1)),
    sum(
      len(step.batch[name])
      for name in ('image', 'generated', 'unlabelled')
      if name in step.batch
    ),
    repeats,
    ceiling=ceilings[step.dtype],
  )


def schedule_seconds(seconds, section):
  """Seconds of a batch, on average, from {update: seconds}."""
  return (
    seconds['discriminator']
    + seconds['r1'] / section.r1_interval
    + seconds['generator']
    + seconds['path_length'] / section.path_length_interval
  )
