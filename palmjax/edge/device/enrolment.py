"""How somebody is enrolled on a device."""

from typing import NamedTuple

import sqlalchemy as sa

from palmjax.edge.device import capture, people, store, tables


class Enrolment(NamedTuple):
  """What came of enrolling somebody.

  Attributes:
    count: images of this user, the new ones among them.
    others: of each new image the name of another user that it is identified
      as, or None.
  """

  count: int
  others: list[str | None]


def enrol(device, session, student, name, images):
  """Enrols a user, or adds images; of several the last one checks updates.

  Args:
    device: `store.Store`.
    session: of it.
    student: `models.Student`.
    name: of the user.
    images: list of uint8 [S, S, 3], at least one.

  Returns:
    `Enrolment`.
  """
  owners = [
    capture.best_user(device, session, student, image)[0] for image in images
  ]
  user = people.user_of(device, session, name)
  if user is None:
    user = tables.KeptUser(id=store.new_id(), tag=device.tag(name))
    user.name = device.seal(name.encode(), user, 'name')
    session.add(user)
    session.flush()
  known = session.scalar(
    sa.select(sa.func.count())
    .select_from(tables.KeptReference)
    .where(tables.KeptReference.user == user.id)
  )
  for number, image in enumerate(images, start=known + 1):
    row = tables.KeptReference(
      id=store.new_id(),
      user=user.id,
      check=number > 1 and number == known + len(images),
    )
    content = capture.pack(image)
    row.image = device.seal(content, row, 'image')
    session.add(row)
    store.send(device, session, 'PUT', f'/v1/references/{row.id}', content)
  session.flush()
  capture.complete_templates(device, session, student)
  names = people.users(device, session)
  others = [
    names[one] if one not in (None, user.id) else None for one in owners
  ]
  return Enrolment(known + len(images), others)
