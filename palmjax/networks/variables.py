"""The variables of an export, on the device, checked against their network."""

import jax
import jax.numpy as jnp

from palmjax.networks import shipped, weights_file


def load(export, init, directory, *, backbone=None):
  """Loads the variables of an `Export` and checks that they fit.

  Args:
    export: `Export`.
    init: key → the variables that the network expects; traced only. See
      `of_images`.
    directory: where the export came from, for the message.
    backbone: name among the parameters under which those of the network stand;
      what stands beside them is not checked. None: the network's are all.

  Returns:
    {'params': …, …}, arrays on the device.

  Raises:
    ValueError: as `check`.
  """
  # Tracing a network takes longer than all else here. The package's own weights
  # are known to fit.
  if not shipped.holds(export.digests):
    template = jax.eval_shape(init, jax.random.key(0))
    if backbone is not None:
      beside = {**export.variables['params'], backbone: template['params']}
      template = {**template, 'params': beside}
    check(export, template, directory)
  return jax.device_put(dict(export.variables))


def of_images(model, shape):
  """Returns `init` for `load`: key → variables of an image network.

  Args:
    model: flax module, (images, train=) → output.
    shape: (h, w, c) of one image.
  """
  images = jnp.zeros((1, *shape))
  return lambda key: model.init(key, images, train=False)


def check(export, template, directory):
  """Raises ValueError for variables that do not fit the network.

  Args:
    export: `Export`.
    template: pytree of the variables that the network expects (arrays or
      `jax.ShapeDtypeStruct`, as `jax.eval_shape` gives).
    directory: where the export came from, for the message.

  Raises:
    ValueError: names the first variable that is missing, too many, or of
      another type or shape.
  """
  given, expected = map(weights_file.flatten, (export.variables, template))
  for name in sorted(given.keys() | expected.keys()):
    sides = [
      f'{side[name].dtype}{list(side[name].shape)}' if name in side else 'none'
      for side in (given, expected)
    ]
    if sides[0] != sides[1]:
      raise ValueError(
        f'{directory} does not fit the network: {name} is {sides[0]} in the '
        f'export and {sides[1]} in the network; build the network from its '
        f'model.json'
      )
