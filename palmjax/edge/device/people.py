"""Who is enrolled on a device, and how somebody is forgotten."""

import json

import sqlalchemy as sa

from palmjax.edge.device import store, tables


def users(device, session):
  """{id: name} of all users."""
  return {
    row.id: device.open(row, 'name').decode()
    for row in session.scalars(sa.select(tables.KeptUser))
  }


def user_of(device, session, name):
  """The `tables.KeptUser` of a name, or None."""
  return session.scalar(
    sa.select(tables.KeptUser).where(tables.KeptUser.tag == device.tag(name))
  )


def forget(device, session, name):
  """Removes every trace of a user, here and, at the next sync, on the server.

  Call `Store.clean` after the transaction: it writes over what was deleted.

  Raises:
    store.StoreError: nobody has this name.
  """
  user = user_of(device, session, name)
  if user is None:
    raise store.StoreError(f'nobody is enrolled as {name!r}; see `status`')
  references = session.scalars(
    sa.select(tables.KeptReference.id).where(
      tables.KeptReference.user == user.id
    )
  ).all()
  # Samples that wait for a label may show this user: they go, too.
  samples = session.scalars(
    sa.select(tables.KeptSample.id).where(
      sa.or_(
        tables.KeptSample.user == user.id,
        tables.KeptSample.state == tables.WAITING,
      )
    )
  ).all()
  # Their probabilities of other samples name the user.
  for row in session.scalars(
    sa.select(tables.KeptSample).where(tables.KeptSample.soft.is_not(None))
  ):
    soft = json.loads(device.open(row, 'soft'))
    soft.pop(user.id, None)
    row.soft = device.seal(json.dumps(soft).encode(), row, 'soft')
  session.execute(
    sa.delete(tables.Outgoing).where(
      tables.Outgoing.path.in_(
        [f'/v1/references/{r}' for r in references]
        + [f'/v1/samples/{s}' for s in samples]
      )
    )
  )
  session.execute(
    sa.delete(tables.KeptSample).where(tables.KeptSample.id.in_(samples))
  )
  session.delete(user)
  for kind, ids in (('references', references), ('samples', samples)):
    for one in ids:
      store.send(device, session, 'DELETE', f'/v1/{kind}/{one}')
