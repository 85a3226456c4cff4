import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from palmjax.engine import mesh, optim, state
from palmjax.models import forward


def test_create_copies_the_average():
  params = {'w': jnp.ones((4,)), 'b': jnp.zeros((2,))}
  made = state.create(params, {}, optax.sgd(0.1), ema=True)
  for one, other in zip(
    jax.tree.leaves(made.params), jax.tree.leaves(made.ema), strict=True
  ):
    assert one.unsafe_buffer_pointer() != other.unsafe_buffer_pointer()
  assert made.step.dtype == jnp.int32
  assert state.create(params, {}, optax.sgd(0.1)).ema is None


def test_average_survives_donation():
  tx = optax.sgd(1.0)

  def step(train_state, frozen, batch, key):
    del frozen, key
    grads = {'w': batch.sum() * jnp.ones((4,))}
    return state.apply_gradients(train_state, tx, grads, ema_decay=0.75)

  devices = mesh.make(1)
  train_state = state.create({'w': jnp.ones((4,))}, {}, tx, ema=True)
  errors = ValueError, jax.errors.JaxRuntimeError
  with pytest.raises(errors, match='donate the same buffer twice'):
    mesh.jit_step(step, devices)(
      train_state.replace(ema=train_state.params),
      None,
      jnp.ones((1,)),
      jax.random.key(0),
    )
  train_state = state.create({'w': jnp.ones((4,))}, {}, tx, ema=True)
  donated = train_state.ema['w']
  for _ in range(2):
    train_state, _ = mesh.jit_step(step, devices)(
      train_state, None, jnp.ones((1,)), jax.random.key(0)
    )
  assert donated.is_deleted()
  # params 1, 0, -1; average 1, .75, .3125
  np.testing.assert_array_equal(train_state.params['w'], -np.ones(4))
  np.testing.assert_array_equal(train_state.ema['w'], np.full(4, 0.3125))
  assert int(train_state.step) == 2


def test_apply_gradients_keeps_what_it_is_not_given():
  tx = optax.sgd(0.5)
  old = state.create({'w': jnp.ones((2,))}, {'s': jnp.ones(1)}, tx, ema=True)
  new, _ = state.apply_gradients(old, tx, {'w': jnp.ones((2,))})
  assert new.stats is old.stats
  assert new.ema is old.ema
  new, _ = state.apply_gradients(
    old, tx, {'w': jnp.ones((2,))}, stats={'s': jnp.zeros(1)}
  )
  assert float(new.stats['s'][0]) == 0


def test_norms_are_those_of_the_gradient_and_of_the_update():
  tx = optax.chain(optax.clip_by_global_norm(2.5), optax.sgd(0.5))
  old = state.create({'a': jnp.ones((1,)), 'b': jnp.ones(())}, {}, tx)
  grads = {'a': jnp.full((1,), 3.0), 'b': jnp.float32(-4.0)}
  _, norms = jax.jit(lambda s, g: state.apply_gradients(s, tx, g))(old, grads)
  # Length 5, clipped to 2.5, then times 0.5.
  assert norms == {
    'grad_norm': pytest.approx(5.0),
    'update_norm': pytest.approx(1.25),
  }


def test_descend_follows_the_gradient_of_the_loss():
  tx = optax.sgd(0.5)
  old = state.create({'w': jnp.float32(3.0)}, {'s': jnp.zeros(())}, tx)

  def loss_fn(params):
    loss = params['w'] ** 2
    return loss, ({'s': old.stats['s'] + 1}, {'loss': loss, 'half': loss / 2})

  new, metrics = state.descend(old, tx, loss_fn)
  # The gradient is 6.
  assert (float(new.params['w']), float(new.stats['s'])) == (0.0, 1.0)
  assert int(new.step) == 1
  assert metrics == {
    'loss': 9.0,
    'half': 4.5,
    'grad_norm': pytest.approx(6.0),
    'update_norm': pytest.approx(3.0),
  }


def test_a_rate_on_plateau_sees_the_loss():
  tx = optim.sgd(
    1.0,
    num_steps=1,
    warmup_steps=0,
    momentum=0.0,
    weight_decay=0.0,
    max_norm=9.0,
    schedule='plateau',
    plateau=optim.RateDecay(factor=0.5, steps=1, patience=1),
  )
  train_state = state.create({'w': jnp.ones(())}, {}, tx)

  @jax.jit
  def update(train_state, loss):
    return state.apply_gradients(
      train_state, tx, {'w': jnp.ones(())}, loss=loss
    )

  lengths = []
  for loss in (3.0, 2.0, 2.0, 2.0):
    train_state, norms = update(train_state, np.float32(loss))
    lengths.append(float(norms['update_norm']))
  assert lengths == [1.0, 1.0, 0.5, 0.25]


class Net(nn.Module):
  @nn.compact
  def __call__(self, images, train):
    x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(images)
    return nn.Dropout(0.5, deterministic=not train)(x)


def test_train_writes_statistics_and_eval_reads_them():
  images = np.float32([[1.0], [3.0]])
  net = Net()
  init = jax.jit(net.init, static_argnames='train')
  variables = init(jax.random.key(0), images, train=False)
  params = variables['params']
  stats = {'batch_stats': variables['batch_stats']}
  apply_train = jax.jit(forward.apply_train, static_argnums=0)
  output, new = apply_train(net, params, stats, images, jax.random.key(1))
  other, _ = apply_train(net, params, stats, images, jax.random.key(2))
  assert not np.array_equal(output, other)
  # Halfway from mean 0, variance 1 to mean 2, variance 1.
  moved = new['batch_stats']['BatchNorm_0']
  np.testing.assert_allclose(moved['mean'], [1.0], rtol=1e-6)
  np.testing.assert_allclose(moved['var'], [1.0], rtol=1e-6)
  apply_eval = jax.jit(forward.apply_eval, static_argnums=0)
  np.testing.assert_allclose(
    apply_eval(net, params, new, images), [[0.0], [2.0]], atol=1e-4
  )
