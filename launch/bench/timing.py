"""The clock of the timings, and how they are printed."""

import time

import jax

from palmjax.engine import allocator


def best_of(function, repeats, *, trains=False):
  """(seconds of the first call, fewest seconds of a later one).

  Args:
    function: returns arrays, which are waited for.
    repeats: later calls.
    trains: retires the holes that compilation left, as a training does.
  """
  times = []
  for turn in range(repeats + 1):
    if trains and turn == 1:
      allocator.retire_holes()
    start = time.perf_counter()
    jax.block_until_ready(function())
    times.append(time.perf_counter() - start)
  return times[0], min(times[1:])


def report(name, seconds, count, unit='images'):
  """Prints a line of what `best_of` returned for `count` units of work.

  Returns:
    The line as plain values: {'name', 'seconds', 'first', 'rate', 'unit'}.
  """
  first, later = seconds
  print(
    f'{name:36} {1e3 * later:9.1f} ms  {count / later:11.1f} {unit}/s  '
    f'first call {first:6.1f} s',
    flush=True,
  )
  return {
    'name': name,
    'seconds': later,
    'first': first,
    'rate': count / later,
    'unit': f'{unit}/s',
  }


def note(*parts):
  """Prints what there is to say beside a line, below it."""
  print(f'{"":37}{", ".join(part for part in parts if part)}', flush=True)


def goal(row, least):
  """Prints how a row compares with the rate that is wanted; returns the row.

  Args:
    row: of `report`.
    least: rate, in the unit of the row.
  """
  note(f'goal {least:,.0f} {row["unit"]}: {row["rate"] / least:.2f} of it')
  return {**row, 'goal': least}


def within(row, most):
  """Prints how a row compares with the time that is wanted; returns the row.

  Args:
    row: of `report`.
    most: seconds.
  """
  note(f'goal {most:g} s: {row["seconds"] / most:.2f} of it')
  return {**row, 'most': most}


def table(rows):
  """The table of docs/results.md, of all rows that are times.

  Args:
    rows: of `report`; those of `report_size` are left out.

  Returns:
    {name: {'seconds': {'mean'}, with a goal also 'goal'}}, in seconds.
  """
  made = {}
  for row in rows:
    if 'seconds' not in row:
      continue
    cells = {'seconds': {'mean': row['seconds']}}
    if 'most' in row:
      cells['goal'] = {'mean': row['most']}
    elif 'goal' in row:
      count = row['rate'] * row['seconds']
      cells['goal'] = {'mean': count / row['goal']}
    made[row['name']] = cells
  return made


def report_size(name, count):
  """Prints a number of bytes; returns {'name', 'bytes'}."""
  print(f'{name:36} {count:9,} bytes', flush=True)
  return {'name': name, 'bytes': count}
