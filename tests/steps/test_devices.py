"""Every step of the recipe: 8 simulated devices give the result of one."""

import os
import pathlib
import subprocess
import sys

_CODE = """
import functools
import jax, jax.numpy as jnp, numpy as np
from palmjax.data import ada, preprocess
from palmjax.engine import mesh as meshes, optim, state as train_state
from palmjax.losses import metric
from palmjax.models import discriminator, generator, heads, mobilefacenet
from palmjax.steps import classify, gan, soft_label

assert jax.device_count() == 8
rng = np.random.default_rng(0)
def pictures(size):
  return rng.integers(0, 256, (16, size, size, 3), np.uint8)

def compare(name, step, state, batch, tolerance):
  results = []
  for count in (1, 8):
    mesh = meshes.make(count)
    jitted = meshes.jit_step(step, mesh)
    new = meshes.own(state, mesh)
    new, metrics = jitted(
      new, None, meshes.shard_batch(batch, mesh), jax.random.key(1)
    )
    results.append(jax.device_get((new, metrics)))
  one, eight = results
  moved = False
  for (path, a), b, old in zip(
    jax.tree_util.tree_leaves_with_path(one[0]),
    jax.tree.leaves(eight[0]),
    jax.tree.leaves(state),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance,
                               err_msg=name + jax.tree_util.keystr(path))
    moved |= bool((np.asarray(a) != np.asarray(old)).any())
  for key in one[1]:
    np.testing.assert_allclose(one[1][key], eight[1][key], rtol=1e-3, atol=1e-4)
  assert moved, name
  print(name)

model = mobilefacenet.MobileFaceNet(embedding_size=16, width=0.125)
spec = preprocess.Preprocess(image_size=32)
tx = optim.sgd(0.1, num_steps=10, warmup_steps=0, momentum=0.9,
               weight_decay=5e-4, max_norm=5.0)
state = classify.create_state(
  model, tx, jax.random.key(0), input_shape=spec.shape,
  head=heads.init_head(jax.random.key(2), 4, 16))
labelled = {'image': pictures(32), 'label': np.arange(16, dtype=np.int32) % 4}
parts = dict(logits_fn=metric.softmax_logits, preprocess=spec.apply,
             augment=lambda key, images: images)
compare('classify', classify.make_step(model, tx, **parts), state, labelled,
        1e-4)
soft = rng.random((16, 4)).astype(np.float32)
both = labelled | {'generated': pictures(32),
                   'soft': soft / soft.sum(1, keepdims=True)}
compare('soft_label', soft_label.make_step(
  model, tx, weight=1.0, augment_generated=True, **parts), state, both, 1e-4)

# Plain gradient descent: Adam turns rounding into whole steps.
rate = optim.sgd(0.1, num_steps=10, warmup_steps=0, momentum=0.0,
                 weight_decay=0.0, max_norm=5.0)
sizes = dict(image_size=8, fmap_base=16, fmap_max=8)
networks = (generator.Generator(latent_size=8, mapping_layers=1, **sizes),
            discriminator.Discriminator(**sizes))
batch = {'image': pictures(8)}
state = gan.create_state(*networks, rate, rate, batch, jax.random.key(3))
state['ada']['p'] = jnp.float32(0.5)
steps = gan.make_steps(*networks, rate, rate, augment=ada.augment, r1_gamma=1.0)
for name, step in steps._asdict().items():
  compare(name, step, state, batch, 2e-4)
print('done')
"""


def test_eight_devices_give_the_result_of_one():
  # Unoptimised: a step compiles twice and runs twice.
  flags = (
    '--xla_force_host_platform_device_count=8 '
    '--xla_backend_optimization_level=0'
  )
  result = subprocess.run(
    [sys.executable, '-c', _CODE],
    cwd=pathlib.Path(__file__).parents[2],
    env=os.environ | {'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
  )
  assert result.stdout.splitlines() == [
    'classify',
    'soft_label',
    'discriminator',
    'r1',
    'generator',
    'path_length',
    'done',
  ], result.stderr[-3000:]
