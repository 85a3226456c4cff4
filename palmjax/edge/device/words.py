"""What a device says, as text."""

import shlex

import sqlalchemy as sa

from palmjax.edge.device import (
  capture,
  joining,
  learning,
  models,
  people,
  tables,
)


def decided(decision):
  """A line about a `capture.Recognition`."""
  if decision.score is None:
    return 'nobody is enrolled'
  text = (
    f'{decision.name or "nobody"} (score {decision.score:.1f}, '
    f'{decision.preset:.1f} to pass)'
  )
  if decision.kept == tables.FIRST:
    text += '; kept to learn from'
  elif decision.kept == tables.SECOND:
    text += '; kept to ask the server'
  return text


def enrolled(name, added, count):
  """A line about a user with `count` images, `added` of them new."""
  if count == 1:
    return (
      f'{name} is enrolled with 1 image; give two or more, so that updates can '
      'be checked'
    )
  if added == count:
    return f'{name} is enrolled with {count} images'
  return f'{_number(added, "image")} added; {name} has {count}'


def alike(path, name, other):
  """A line about an image of somebody that is identified as another user."""
  return (
    f'{path} is identified as {other}: if it does not show {name}, run '
    f'forget {shlex.quote(name)} and enrol again'
  )


def few(samples, settings, interval):
  """What samples there are, of how many, and which scores make more."""
  return (
    f'{samples} of {_number(settings.enough, "sample")}; kept are palms with a '
    f'score from {interval.lo:.1f} to {interval.hi:.1f}'
  )


def not_due(samples, settings, interval):
  """A line about an update that waits; arguments as of `few`."""
  days = settings.period / 86_400
  return (
    f'it is not time for an update: {few(samples, settings, interval)}; after '
    f'{days:.0f} days fewer will do, and update --now does not wait'
  )


def tried(trial):
  """A line about a `tables.Trial`."""
  before, after = (
    f'{100 * share:.1f} %' for share in (trial.before, trial.after)
  )
  if trial.outcome == learning.ROLLED_BACK:
    return (
      f'rolled back: the student before refuses {after} of the held-out '
      f'images, the one after it {before}'
    )
  outcome = 'taken' if trial.outcome == learning.TAKEN else 'not taken'
  return (
    f'{outcome}: the new student refuses {after} of the held-out images, the '
    f'old one {before}; trained on {_number(trial.samples, "sample")}'
  )


def synced(done):
  """A line about what `sync.run` did."""
  parts = [
    f'{_number(done["sent"], "request")} sent',
    f'{_number(done["asked"], "sample")} to be labelled',
    f'{_number(done["labels"], "label")} fetched',
  ]
  if done['refused']:
    parts.append(f'{_number(done["refused"], "request")} refused by the server')
  if done['student']:
    parts.append('a new student is in use')
  return ', '.join(parts)


def status(device, session, settings):
  """Lines about users, samples, server and student.

  Args:
    device: `store.Store`.
    session: of it.
    settings: `capture.KeepingRules`.
  """

  def count(table, *where):
    query = sa.select(sa.func.count()).select_from(table).where(*where)
    return session.scalar(query)

  names = sorted(people.users(device, session).values())
  waiting = count(tables.KeptSample, tables.KeptSample.state == tables.WAITING)
  lines = [
    f'users: {len(names)}' + (f' ({", ".join(names)})' if names else ''),
    f'samples without a label: {waiting}',
    f'server: {joining.address(device, session) or "none yet; run join CODE"}',
    f'requests that wait for the server: {count(tables.Outgoing)}',
  ]
  if models.current(device.folder) is None:
    lines.append('student: none yet; run sync')
  else:
    facts = models.facts(device.folder)
    interval = capture.first_interval(facts['preset'], settings)
    lines += [
      'samples to learn from: '
      + few(learning.usable(session), settings, interval),
      f'student: of package {facts["package"][:8]}, version '
      f'{facts["version"]}; score to pass {facts["preset"]:.1f}, for a false '
      f'match rate of {facts["fmr"]:g}',
    ]
  for trial in session.scalars(
    sa.select(tables.Trial).order_by(tables.Trial.number.desc()).limit(5)
  ):
    lines.append(f'{trial.at} {tried(trial)}')
  return '\n'.join(lines)


def _number(count, noun):
  return f'{count} {noun}' if count == 1 else f'{count} {noun}s'
