"""The server under load: uploads of samples at a steady rate, for a while.

Then the server is killed, and its database is asked what it kept.
"""

import asyncio
import io
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid

import httpx
import numpy as np
from PIL import Image

from palmjax.networks import shipped

_RATE, _SECONDS, _SIDE, _PORT = 100, 60, 112, 8499
_STARTED = 300  # Seconds that the server may take to start.
# More than the server has threads. Uploads beyond it wait here: at each answer
# httpx would look at all of them.
_CONNECTIONS, _PATIENCE = 100, 60


def run(args):
  """Uploads of 112 px images; the goal is no error, and nothing lost."""
  seconds, rate = args.seconds or _SECONDS, args.rate or _RATE
  with tempfile.TemporaryDirectory() as folder:
    command = [
      *(sys.executable, '-m', 'palmjax.edge.server', f'--data={folder}'),
      *(f'--teacher={shipped.PALM}', f'--student={shipped.PALM}'),
      *(f'--port={_PORT}', f'--rate={10 * rate}', '--scale=32'),
    ]
    made = subprocess.run(
      [*command, '--add-device=bench'],
      capture_output=True,
      text=True,
      check=True,
    )
    (token,) = re.findall(r'join (\S+)\.', made.stdout)
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
      _wait()
      times, statuses = asyncio.run(_load(token, rate, seconds))
    finally:
      server.kill()
      server.wait()
    database = sqlite3.connect(f'{folder}/server.db')
    (kept,) = database.execute('SELECT count(*) FROM sample').fetchone()
    database.close()
  counts = {status: statuses.count(status) for status in sorted({*statuses})}
  print(
    f'{len(statuses)} uploads at {rate}/s for {seconds} s: {counts}; '
    f'median {1e3 * np.median(times):.0f} ms, p99 '
    f'{1e3 * np.quantile(times, 0.99):.0f} ms, longest '
    f'{1e3 * max(times):.0f} ms; {kept} are there after kill -9'
  )


def _wait():
  for _ in range(_STARTED):
    try:
      if httpx.get(f'http://127.0.0.1:{_PORT}/healthz').is_success:
        return
    except httpx.HTTPError:
      pass
    time.sleep(1)
  raise SystemExit('the server did not start')


async def _load(token, rate, seconds):
  """(seconds of each request, status of each)."""
  noise = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
  buffer = io.BytesIO()
  Image.fromarray(noise).save(buffer, 'JPEG')
  times, statuses = [], []
  due, limits = asyncio.Queue(), httpx.Limits(max_connections=_CONNECTIONS)
  async with httpx.AsyncClient(
    base_url=f'http://127.0.0.1:{_PORT}',
    headers={'Authorization': f'Bearer {token}'},
    limits=limits,
    timeout=_PATIENCE,
  ) as client:

    async def upload():
      while (start := await due.get()) is not None:
        try:
          answer = await client.put(
            f'/v1/samples/{uuid.uuid4()}', content=buffer.getvalue()
          )
          statuses.append(str(answer.status_code))
        except httpx.HTTPError as error:
          statuses.append(type(error).__name__)
        # Since it was due: waiting for a free connection counts, too.
        times.append(time.perf_counter() - start)

    tasks = [asyncio.create_task(upload()) for _ in range(_CONNECTIONS)]
    begin = time.perf_counter()
    for number in range(rate * seconds):
      # At its time, whether or not earlier ones were answered.
      start = begin + number / rate
      await asyncio.sleep(max(0, start - time.perf_counter()))
      due.put_nowait(start)
    for _ in tasks:
      due.put_nowait(None)
    await asyncio.gather(*tasks)
  return times, statuses
