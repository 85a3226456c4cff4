"""Forward passes: the one seam between pure functions and flax modules."""


def apply_train(model, params, stats, images, key):
  """Forward pass in train mode. Returns (output, new statistics)."""
  variables = {'params': params, **stats}
  return model.apply(
    variables,
    images,
    train=True,
    mutable=list(stats),
    rngs={'dropout': key},
  )


def apply_eval(model, params, stats, images):
  """Forward pass in eval mode: statistics are read, not written."""
  return model.apply({'params': params, **stats}, images, train=False)
