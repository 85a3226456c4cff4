"""What a device says, as text."""

import sqlalchemy as sa

from palmjax.edge.device import models, people, tables


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


def tried(trial):
  """A line about a `tables.Trial`."""
  return (
    f'{trial.outcome}: {100 * trial.before:.1f} % of the checks were refused '
    f'before, {100 * trial.after:.1f} % after; {trial.samples} samples'
  )


def synced(done):
  """A line about what `sync.run` did."""
  parts = [
    f'{done["sent"]} requests sent',
    f'{done["asked"]} samples to be labelled',
    f'{done["labels"]} labels fetched',
  ]
  if done['refused']:
    parts.append(f'{done["refused"]} requests refused by the server')
  if done['student']:
    parts.append('a new student is in use')
  return ', '.join(parts)


def status(device, session):
  """Lines about users, samples, student and outbox."""

  def count(table, *where):
    query = sa.select(sa.func.count()).select_from(table).where(*where)
    return session.scalar(query)

  names = sorted(people.users(device, session).values())
  sample = tables.KeptSample
  lines = [
    f'users: {len(names)}' + (f' ({", ".join(names)})' if names else ''),
    f'samples to learn from: {count(sample, sample.state == tables.USABLE)}, '
    f'without a label: {count(sample, sample.state == tables.WAITING)}',
    f'requests that wait for the server: {count(tables.Outgoing)}',
  ]
  name = models.current(device.folder)
  if name is None:
    lines.append('student: none yet; run sync')
  else:
    facts = models.facts(device.folder)
    lines.append(
      f'student: {name[:8]}, of version {facts["version"]}; score to pass '
      f'{facts["preset"]:.1f}, for a false match rate of {facts["fmr"]:g}'
    )
  for trial in session.scalars(
    sa.select(tables.Trial).order_by(tables.Trial.number.desc()).limit(5)
  ):
    lines.append(f'{trial.at} {tried(trial)}')
  return '\n'.join(lines)
