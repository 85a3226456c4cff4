"""From an image to a decision, and to a sample that is kept.

CN114528937A, claims 1b, 2, 3 and 5a; steps D1 to D4.
"""

import dataclasses
import io
import json
import secrets

import numpy as np
import sqlalchemy as sa
from PIL import Image

from palmjax.edge import rules, templates
from palmjax.edge.device import store, tables

_FAILURES, _TEMPLATE_KEY = 'failures', 'template key'
_STATISTICS, _FIRSTS = 'statistics', 'first target samples'
_KEY_BYTES = 32


@dataclasses.dataclass(frozen=True)
class KeepingRules:
  """When a device keeps samples, asks and trains (`edge.rules`).

  Attributes:
    interval: first interval, as shares of the way from the preset score to 100.
    failures: in a row, after which the last image is kept.
    session: seconds without a capture that end a session.
    ask: second target samples that suffice to ask for labels.
    enough: samples that suffice for an update.
    period: seconds after which fewer will do.
    capacity: samples that are kept at most.
    held: one in so many first target samples checks updates.
  """

  interval: tuple[float, float] = (0.1, 0.9)
  failures: int = 2
  session: float = 60.0
  ask: int = 10
  enough: int = 40
  period: float = 14 * 86_400.0
  capacity: int = 2000
  held: int = 5


@dataclasses.dataclass(frozen=True)
class Recognition:
  """What the device says of a capture.

  Attributes:
    name: of the user, or None.
    score: of the best user, 0 to 100; None where nobody is enrolled.
    preset: score to reach.
    kept: `tables.FIRST`, `tables.SECOND` or None: the sample that it makes.
  """

  name: str | None
  score: float | None
  preset: float
  kept: str | None


def first_interval(preset, settings):
  """The `rules.FirstInterval` above a preset score, by `KeepingRules`."""
  lo, hi = (
    preset + share * (rules.HIGHEST - preset) for share in settings.interval
  )
  return rules.FirstInterval(preset, lo, hi)


def complete_templates(device, session, student):
  """Makes the templates that the student in use lacks.

  Templates of other students stay apart from these: each is tied to its model.

  Args:
    device: `store.Store`.
    session: of it.
    student: `models.Student`.
  """
  have = sa.select(tables.KeptTemplate.reference).where(
    tables.KeptTemplate.model == student.name
  )
  rows = session.scalars(
    sa.select(tables.KeptReference).where(tables.KeptReference.id.not_in(have))
  ).all()
  if not rows:
    return
  images = np.stack(
    [unpack(device.open(row, 'image'), student.size) for row in rows]
  )
  values = templates.protect(
    student.network.embed(images), template_key(device, session)
  )
  for row, value in zip(rows, values, strict=True):
    template = tables.KeptTemplate(reference=row.id, model=student.name)
    template.value = device.seal(value.tobytes(), template, 'value')
    session.add(template)


def template_key(device, session):
  """The secret key of the templates, made at its first use."""
  key = store.get(device, session, _TEMPLATE_KEY)
  if key is None:
    key = secrets.token_bytes(_KEY_BYTES)
    store.put(device, session, _TEMPLATE_KEY, key)
  return key


def revoke_templates(device, session, student):
  """Makes all templates anew under another key; old ones are worthless."""
  key = secrets.token_bytes(_KEY_BYTES)
  store.put(device, session, _TEMPLATE_KEY, key)
  session.execute(sa.delete(tables.KeptTemplate))
  complete_templates(device, session, student)


def best_user(device, session, student, image):
  """Whose reference is most like an image; keeps nothing.

  Args:
    device: `store.Store`.
    session: of it.
    student: `models.Student`.
    image: uint8 [S, S, 3].

  Returns:
    (id of the user, score): no id below the preset score, and (None, None)
    where nobody is enrolled.
  """
  complete_templates(device, session, student)
  owners, values = _gallery(device, session, student)
  if not owners:
    return None, None
  probe = templates.protect(
    student.network.embed(image[None]), template_key(device, session)
  )
  scores = rules.score(values @ probe[0])
  best = int(np.argmax(scores))
  value = float(scores[best])
  return owners[best] if rules.passes(value, student.preset) else None, value


def identify(device, session, student, image, settings, now):
  """Who is it? Keeps the sample that the rules ask for.

  Args:
    device: `store.Store`.
    session: of it: all of this is one transaction.
    student: `models.Student`.
    image: uint8 [S, S, 3].
    settings: `KeepingRules`.
    now: seconds of the system's clock.

  Returns:
    `Recognition`.
  """
  elapsed = store.tick(device, session, now)
  accepted, value = best_user(device, session, student, image)
  if value is None:
    return Recognition(None, None, student.preset, None)
  save = _count_failure(device, session, value, student, settings, elapsed)
  interval = first_interval(student.preset, settings)
  label = rules.first_label(value, accepted, interval)
  kept = None
  if accepted is not None:
    _count(device, session, value)
  if label is not None:
    kept = tables.FIRST
    number = _count_first(device, session)
    held = number % settings.held == 0
    _keep(device, session, image, kept, label, value, elapsed, held)
  elif save:
    kept = tables.SECOND
    _keep(device, session, image, kept, None, value, elapsed, False)
  store.evict(session, most=settings.capacity)
  name = None
  if accepted:
    name = device.open(session.get(tables.KeptUser, accepted), 'name').decode()
  return Recognition(name, value, student.preset, kept)


def statistics(device, session):
  """(accepted attempts, sum of their scores, sum of squares) to report."""
  kept = store.get(device, session, _STATISTICS)
  return json.loads(kept) if kept else [0, 0.0, 0.0]


def clear_statistics(device, session):
  """Begins to count anew."""
  store.put(device, session, _STATISTICS, json.dumps([0, 0.0, 0.0]).encode())


def pack(image):
  """An image uint8 [S, S, 3] as the bytes of a PNG file, without loss."""
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, 'PNG')
  return buffer.getvalue()


def unpack(content, size):
  """The image of `pack`, at a side of `size` pixels."""
  with Image.open(io.BytesIO(content), formats=('PNG',)) as image:
    if image.size != (size, size):
      return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))
    return np.array(image)


def _gallery(device, session, student):
  """(owners [N], templates float32 [N, D]) of the student in use."""
  rows = session.execute(
    sa.select(tables.KeptTemplate, tables.KeptReference.user)
    .join(
      tables.KeptReference,
      tables.KeptReference.id == tables.KeptTemplate.reference,
    )
    .where(tables.KeptTemplate.model == student.name)
    .order_by(tables.KeptReference.id)
  ).all()
  values = [
    np.frombuffer(device.open(template, 'value'), np.float32)
    for template, _ in rows
  ]
  return [owner for _, owner in rows], np.array(values)


def _count_failure(device, session, value, student, settings, elapsed):
  """Whether the image of this attempt is a second target sample (claim 5a)."""
  kept = store.get(device, session, _FAILURES)
  count, last = json.loads(kept) if kept else (0, elapsed)
  if elapsed - last > settings.session:
    count = 0  # Another session.
  failures, save = rules.after_attempt(
    rules.Failures(count), value, preset=student.preset, limit=settings.failures
  )
  content = json.dumps([failures.count, elapsed]).encode()
  store.put(device, session, _FAILURES, content)
  return save


def is_idle(device, session, settings, now):
  """Whether the last session has ended; arguments as for `identify`."""
  elapsed = store.tick(device, session, now)
  kept = store.get(device, session, _FAILURES)
  return not kept or elapsed - json.loads(kept)[1] > settings.session


def _count(device, session, value):
  """Counts an accepted attempt."""
  number, total, squares = statistics(device, session)
  content = json.dumps([number + 1, total + value, squares + value**2])
  store.put(device, session, _STATISTICS, content.encode())


def _count_first(device, session):
  """Counts a first target sample; how many there were in all, with this one."""
  kept = store.get(device, session, _FIRSTS)
  number = 1 + (json.loads(kept) if kept else 0)
  store.put(device, session, _FIRSTS, json.dumps(number).encode())
  return number


def _keep(device, session, image, kind, user, value, elapsed, held):
  row = tables.KeptSample(
    id=store.new_id(),
    kind=kind,
    state=tables.USABLE if kind == tables.FIRST else tables.WAITING,
    user=user,
    held=held,
    score=value,
    made=elapsed,
  )
  content = pack(image)
  row.image = device.seal(content, row, 'image')
  session.add(row)
