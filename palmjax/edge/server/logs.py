"""Lines of JSON about what happened, and counts for Prometheus.

A line has a route and never a path, an id of a device and never a token, a name
or anything of an image.
"""

import json
import sys
import threading

import prometheus_client

from palmjax.edge.server import database

_LOCK = threading.Lock()


def log(event, **values):
  """Writes one line to standard error."""
  line = json.dumps(
    {'at': database.now().isoformat(), 'event': event, **values}
  )
  with _LOCK:
    print(line, file=sys.stderr, flush=True)


class RequestCounts:
  """Metrics of one server."""

  def __init__(self, worker):
    """Takes the `worker.Worker` whose queue is shown."""
    self.registry = prometheus_client.CollectorRegistry()
    self.seconds = prometheus_client.Histogram(
      'palmjax_request_seconds',
      'Time of requests.',
      ['method', 'route', 'status'],
      registry=self.registry,
    )
    for name, text, read in (
      (
        'images_waiting',
        'Images that wait for the teacher.',
        lambda: worker.waiting,
      ),
      (
        'rows_embedded',
        'Images embedded since start.',
        lambda: worker.labelled,
      ),
      ('teacher_works', '0 after an error.', lambda: float(worker.alive)),
    ):
      gauge = prometheus_client.Gauge(
        f'palmjax_{name}', text, registry=self.registry
      )
      gauge.set_function(read)

  def text(self):
    """All metrics, in Prometheus' format."""
    return prometheus_client.generate_latest(self.registry)
