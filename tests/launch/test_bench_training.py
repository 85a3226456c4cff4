"""What train steps cost: which are timed, and what is told of them."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import robust as robust_config
from configs import ssl as ssl_config
from launch.bench import __main__ as bench
from launch.bench import (
  accelerator,
  costs,
  drawing,
  perturbed,
  steps,
  timing,
  training,
)
from palmjax.losses import detection as detection_losses
from palmjax.ops.conv import dispatch
from palmjax.steps import detect


def test_a_product_costs_what_its_formula_says(capsys):
  side = 48
  matrix = jnp.ones((side, side))
  row = costs.measure(
    'product', jax.jit(jnp.matmul), (matrix, matrix), 3, 2, ceiling=1e9
  )
  assert row['flops'] == 2 * side**3
  assert row['share'] == pytest.approx(row['flops'] / row['seconds'] / 1e9)
  assert row['rate'] == pytest.approx(3 / row['seconds'])
  # Two arguments, the result, and no more than a copy of each.
  assert 3 * 4 * side**2 <= row['bytes'] <= 6 * 4 * side**2
  text = capsys.readouterr().out
  assert text.startswith('product')
  assert 'of the product' in text


def test_flops_of_a_convolution_are_those_of_its_formula():
  x, kernel = jnp.ones((256, 64, 64, 1)), jnp.ones((3, 3, 1, 8))
  dense = jax.jit(functools.partial(dispatch.dense, padding='VALID'))
  dense(x, kernel)  # A trace that JAX remembers.
  row = costs.measure('loop', dense, (x, kernel), 256, 1, ceiling=1e9)
  assert row['flops'] == 2 * 256 * 62 * 62 * 3 * 3 * 8
  if jax.default_backend() == 'cpu':  # A loop over blocks of the batch.
    assert 'while' in dense.lower(x, kernel).as_text()


def test_the_ceiling_is_of_the_first_product_that_takes_long(monkeypatch):
  """Seconds are those of a machine of 1 TFLOP/s; 4096² takes 0.14 s."""
  seen = []

  def best_of(function, repeats):
    side = function.args[0].shape[0]
    seen.append((side, function.args[0].dtype.name))
    return 0.0, 2 * side**3 / 1e12

  monkeypatch.setattr(timing, 'best_of', best_of)
  sides = 1024, 2048, 4096, 8192
  ceilings = costs.ceilings(1, sides=sides)
  assert ceilings == {
    'float32': pytest.approx(1e12),
    'bfloat16': pytest.approx(1e12),
  }
  assert seen == [(side, dtype) for dtype in costs.DTYPES for side in sides[:3]]


def test_a_batch_of_the_gan_takes_its_share_of_the_regularisers():
  section = types.SimpleNamespace(r1_interval=16, path_length_interval=4)
  seconds = {'discriminator': 1, 'r1': 32, 'generator': 2, 'path_length': 8}
  assert training.schedule_seconds(seconds, section) == 1 + 2 + 2 + 2


@pytest.mark.slow
def test_every_step_is_there_and_fits_its_batch():
  names = []
  for step in steps.every('smoke'):
    names.append(step.name.split(', ')[0])
    state, metrics = jax.eval_shape(
      step.step, step.state, step.frozen, step.batch, jax.random.key(0)
    )
    same = jax.tree.map(lambda a, b: a.shape == b.shape, state, step.state)
    assert all(jax.tree.leaves(same)), step.name
    assert any('loss' in name or 'r1' in name for name in metrics) or (
      'g/path_length' in metrics
    )
  assert names == [
    'recognition',
    'soft labels',
    'mobilefacenet',
    'gan discriminator',
    'gan r1',
    'gan generator',
    'gan path_length',
    'teacher 1',
    'student of two teachers',
    'frame reader',
    'distillation',
    'self-distillation',
  ]


def test_images_of_all_kinds_count(monkeypatch):
  config = ssl_config.get_config('smoke')
  batch = {
    'image': steps.noise(3, 8),
    'label': jnp.zeros(3),
    'generated': steps.noise(5, 8),
  }
  step = steps.Step('x', lambda *_: (0, {}), 0, None, batch, 'float32')
  monkeypatch.setattr(costs, 'measure', lambda *a, **b: (a[3], b['ceiling']))
  mesh = training.meshes.make(1)
  assert training.measure(step, mesh, 1, {'float32': 7}) == (8, 7)
  assert config.network.dtype in costs.DTYPES


def test_the_accelerator_is_measured_by_its_goals(monkeypatch, capsys):
  """Steps and drawings take a millisecond each; PyTorch is not there."""
  measured = []

  def measure(step, *_):
    measured.append((step.name, len(step.batch['image']), step.dtype))
    return timing.report(step.name, (1.0, 1e-3), len(step.batch['image']))

  monkeypatch.setattr(training, 'measure', measure)
  monkeypatch.setattr(costs, 'ceilings', lambda *_, **__: {})
  monkeypatch.setattr(timing, 'best_of', lambda *_: (1.0, 1e-3))
  monkeypatch.setattr(accelerator.importlib.util, 'find_spec', lambda _: None)
  monkeypatch.setattr(
    accelerator.steps,
    'metric_learning',
    lambda config: steps.Step(
      config.network.name,
      None,
      None,
      None,
      {'image': steps.noise(config.cnn.identities, 8)},
      config.network.dtype,
    ),
  )
  args = types.SimpleNamespace(small=True, repeats=1)
  rows = {row['name'].split(',')[0]: row for row in accelerator.run(args)}
  assert [*rows] == [
    'resnet50',
    'mobilefacenet',
    'gan with ADA',
    'palms',
    'hands',
  ]
  assert {dtype for _, _, dtype in measured} == {'bfloat16'}
  assert rows['resnet50']['goal'] == 2500
  # A batch: two main updates, a 16th and a quarter of one.
  batch = ssl_config.get_config('smoke').gan.batch_size
  seconds = 1e-3 * (2 + 1 / 16 + 1 / 4)
  assert rows['gan with ADA']['rate'] == pytest.approx(batch / seconds)
  assert 'PyTorch is not installed' in capsys.readouterr().out


@pytest.mark.parametrize(
  'make', [drawing.palms_of, drawing.hands_of], ids=['palms', 'hands']
)
def test_what_is_drawn(make):
  drawn = jax.eval_shape(make(32, 6))
  image = drawn['image'] if isinstance(drawn, dict) else drawn
  assert image.shape == (6, 32, 32, 3)


def test_a_peer_that_is_none_is_refused(capsys):
  with pytest.raises(SystemExit):
    bench.main(['training', '--peer=caffe'])
  assert "invalid choice: 'caffe'" in capsys.readouterr().err


def test_a_goal_is_told(capsys):
  row = timing.goal({'rate': 50.0, 'unit': 'images/s'}, 200)
  assert row == {'rate': 50.0, 'unit': 'images/s', 'goal': 200}
  assert 'goal 200 images/s: 0.25 of it' in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize('name', ['mobilefacenet', 'resnet18_small'])
def test_pytorch_has_the_same_network(name):
  pytest.importorskip('torch')
  from launch.bench.pytorch import compare

  row = compare.recognition(name, 32, 2, 10, 1, 'float32')
  assert row['params'] == row['torch_params']


@pytest.mark.slow
def test_pytorch_has_the_same_detector():
  pytest.importorskip('torch')
  from launch.bench.pytorch import hands

  config = robust_config.get_config('smoke')
  row = hands.row(config, 1)
  assert row['params'] == row['torch_params']
  assert row['name'] == 'detector, 32 px × 8'


def test_pytorch_has_the_same_losses_of_the_detector():
  torch = pytest.importorskip('torch')
  from launch.bench.pytorch import detection, hands

  batch = perturbed.annotated_noise(3, 64)
  rng = np.random.default_rng(1)
  channels = {'class': 10, 'size': 2, 'offset': 2, 'palm_frame': 7, 'points': 9}
  maps = {
    name: rng.normal(size=(3, 16, 16, count)).astype(np.float32)
    for name, count in channels.items()
  }
  wanted = detect.targets(maps, batch, radius='published', cells=9)
  loss, _ = detection_losses.detection_loss(maps, wanted)
  _, annotations = hands.to_torch(batch, 'cpu')
  other = detection.loss(
    {name: torch.from_numpy(x).permute(0, 3, 1, 2) for name, x in maps.items()},
    detection.targets(annotations, (16, 16), 10, 4),
  )
  assert float(other) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.slow
def test_pytorch_has_the_same_gan():
  pytest.importorskip('torch')
  from launch.bench.pytorch import compare

  row = compare.gan(ssl_config.get_config('smoke'), 1)
  assert row['params'] == row['torch_params']
