"""What an H200 is to reach, in one go of a few minutes, beside PyTorch.

  ArcFace, ResNet-50, 112 px      2,500 images/s
  ArcFace, MobileFaceNet, 112 px  10,000 images/s
  StyleGAN2, 128 px, ADA          3.4 s for 1,000 images
  palms, 112 px                   20,000 images/s
  hands, 128 px                   2,000 images/s

Networks compute in bfloat16. The GAN's time is that of its schedule: an update
of each network for a batch, R1 every 16 and path length every 4 batches.
PyTorch has no second derivative of the warp that ADA needs, so the GAN without
ADA is timed beside it.
"""

import importlib.util
from typing import NamedTuple

from configs import metric as metric_config
from configs import ssl as ssl_config
from launch.bench import costs, drawing, steps, timing, training
from palmjax.engine import mesh as meshes


class Sizes(NamedTuple):
  """What is timed: sides of images and batches.

  Attributes:
    palm: side of recognition and of palms.
    hand: side of hands.
    batches: {network: batch}, of recognition.
    width: of recognition networks.
    compared: networks that PyTorch trains, too, in their full width.
    classes: of ArcFace.
    gan: variant of configs/ssl.py.
    drawn: images that are drawn at once.
  """

  palm: int = 112
  hand: int = 128
  batches: tuple = (('resnet50', 512), ('mobilefacenet', 1024))
  width: float = 1.0
  compared: tuple = ('resnet50', 'mobilefacenet')
  classes: int = 10_000
  gan: str = 'full'
  drawn: int = 4096


SMALL = Sizes(
  palm=32,
  hand=32,
  batches=(('resnet50', 2), ('mobilefacenet', 2)),
  width=0.125,
  compared=('mobilefacenet',),
  classes=10,
  gan='smoke',
  drawn=4,
)
RECOGNITION_GOALS = {'resnet50': 2500, 'mobilefacenet': 10_000}
GAN_GOAL = 1000 / 3.4  # Images a second.


def run(args):
  """All goals, one by one; --small: tiny sizes, to see that it runs.

  Yields:
    Rows of `timing.report` and `costs.measure`.
  """
  sizes = SMALL if args.small else Sizes()
  ceilings = costs.ceilings(
    args.repeats, **({'sides': (64,)} if args.small else {})
  )
  mesh = meshes.make(1)
  for name, batch in sizes.batches:
    step = steps.metric_learning(recognition(name, batch, sizes))
    row = training.measure(step, mesh, args.repeats, ceilings)
    yield timing.goal({**row, 'network': name}, RECOGNITION_GOALS[name])
  yield gan(sizes, mesh, args, ceilings)
  for name, make, side, count, goals in (
    ('palms', drawing.palms_of, sizes.palm, sizes.drawn, drawing.PALM_GOALS),
    ('hands', drawing.hands_of, sizes.hand, sizes.drawn, drawing.HAND_GOALS),
  ):
    yield drawing.draw(name, make, side, count, goals, args)
  if importlib.util.find_spec('torch') is None:
    timing.note('PyTorch is not installed: nothing to compare with')
    return
  from launch.bench.pytorch import compare

  for name in sizes.compared:
    batch = dict(sizes.batches)[name]
    yield compare.recognition(
      name, sizes.palm, batch, sizes.classes, args.repeats, 'bfloat16'
    )
  yield compare.gan(gan_config(sizes), args.repeats)


def recognition(name, batch, sizes):
  """Configuration of ArcFace with a network, in bfloat16."""
  config = metric_config.get_config()
  config.image_size = sizes.palm
  config.network.name = name
  config.network.width = sizes.width
  config.network.dtype = 'bfloat16'
  config.loss.name = 'arcface'
  config.labelled.identities = sizes.classes
  config.cnn.identities, config.cnn.images = batch, 1
  return config


def gan_config(sizes):
  """Configuration of the GAN."""
  config = ssl_config.get_config(sizes.gan)
  config.gan.dtype = 'bfloat16'
  return config


def gan(sizes, mesh, args, ceilings):
  """The row of the GAN's schedule, from the rows of its four updates."""
  config = gan_config(sizes)
  made = {
    step.name.split()[1].rstrip(','): training.measure(
      step, mesh, args.repeats, ceilings
    )
    for step in steps.gan(config)
  }
  seconds = training.schedule_seconds(
    {name: row['seconds'] for name, row in made.items()}, config.gan
  )
  first = sum(row['first'] for row in made.values())
  row = timing.report(
    f'gan with ADA, {config.image_size} px',
    (first, seconds),
    config.gan.batch_size,
  )
  timing.note(f'{1000 / row["rate"]:.2f} s for 1,000 images')
  return timing.goal({**row, 'updates': [*made.values()]}, GAN_GOAL)
