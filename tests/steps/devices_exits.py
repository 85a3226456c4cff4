"""Steps of a network with exits on one and on eight devices."""

import jax
import numpy as np
import optax
from flax import linen as nn

from palmjax.losses import metric as metric_losses
from palmjax.models import exits
from palmjax.steps import classify, distill, self_distill
from tests.steps import devices_compare

CLASSES, SIZE = 4, 16
# Few operations: a step compiles twice.
TX = optax.sgd(0.1, momentum=0.9)


class Backbone(nn.Module):
  """The smallest network that has an exit before its last."""

  embedding_size: int = SIZE
  batch_norm_momentum: float = 0.5
  num_exits: int = 2

  @nn.compact
  def __call__(self, images, *, train, exits=None):
    x = nn.Conv(8, (4, 4), 4)(images)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
    embeddings = nn.Dense(self.embedding_size)(nn.relu(x).reshape(len(x), -1))
    return embeddings if exits is None else [x, embeddings]


def same(images):
  return images


def exit_steps(batch):
  """Compares both steps.

  Args:
    batch: {'image', 'label'}, labels below `CLASSES`.
  """
  model = exits.ExitNetwork(Backbone())
  options = {
    'logits_fn': metric_losses.normalised_logits,
    'preprocess': same,
    'augment': lambda key, images: images,
  }
  state = classify.create_state(
    model,
    TX,
    jax.random.key(10),
    input_shape=batch['image'].shape[1:],
    head=exits.init_heads(jax.random.key(11), CLASSES, model),
  )
  # The same weights without exits, by running statistics.
  variables = {'params': state.params['backbone'], **state.stats}
  frozen = exits.plain(variables)
  frozen['params'] = {
    'backbone': frozen['params'],
    'head': state.params['head'][0],
  }
  step = distill.make_step(
    model,
    TX,
    teacher=model.network,
    teacher_logits_fn=metric_losses.normalised_logits,
    teacher_preprocess=same,
    **options,
  )
  devices_compare.compare(
    'distill', step, state, batch, frozen={'teacher': frozen}
  )

  count = devices_compare.BATCH
  soft = devices_compare.RANDOM.dirichlet(np.ones(CLASSES), size=count)
  step = self_distill.make_step(model, TX, **options)
  devices_compare.compare(
    'self_distill',
    step,
    state,
    batch
    | {'soft': soft.astype(np.float32), 'has_soft': np.arange(count) % 3 == 0},
  )
