"""Logs of a run: metrics.jsonl, TensorBoard, the terminal.

A line of metrics.jsonl is {"stage", "step", "kind", NAME: VALUE, ...}: of kind
"train" (means over the steps since the line before) or "eval". `step` counts
finished steps. No line holds a time; rates go to TensorBoard and the terminal.

A run that was killed (SIGKILL) and resumed ends with the bytes of
an undisturbed one: lines end at checkpoints, and what was written after the
last checkpoint is dropped and written again. SIGTERM and SIGINT make a
checkpoint of their own, and so a line ends there that an undisturbed run lacks;
the means of the line after it begin there. All other lines are the same.
"""

import json
import math
import pathlib
import time

import rich.console
import rich.progress
from tensorboardX import event_file_writer
from tensorboardX.proto import event_pb2, summary_pb2

from palmjax import files
from palmjax.engine import processes


def read(path):
  """The lines of a metrics.jsonl as dicts; one torn by a kill is left out."""
  path = pathlib.Path(path)
  lines = []
  if path.exists():
    for text in path.read_text(errors='replace').splitlines():
      try:
        line = json.loads(text)
      except ValueError:
        continue
      if isinstance(line, dict):
        lines.append(line)
  return lines


def _is_ahead(line, stage, step, evaluated):
  if line['stage'] != stage:
    return False
  if line['step'] == step and line['kind'] == 'eval':
    return not evaluated
  return line['step'] > step


def open_logs(workdir, stage, **options):
  """`Logs` in the process that writes them, `NoLogs` in the others."""
  if processes.is_first():
    return Logs(workdir, stage, **options)
  return NoLogs()


class NoLogs:
  """The methods of `Logs` in a process that writes no log: they do nothing."""

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    pass

  def train(self, step, metrics, images):
    """Does nothing."""

  def flush(self, step):
    """Does nothing."""

  def evaluation(self, step, metrics):
    """Does nothing."""

  def end(self, step, reason):
    """Does nothing."""


class Logs:
  """The log of one stage; a context manager."""

  def __init__(
    self,
    workdir,
    stage,
    *,
    start,
    evaluated,
    num_steps,
    log_every,
    console=None,
  ):
    """Opens the logs and drops what a killed run wrote ahead of `start`.

    Args:
      workdir: holds metrics.jsonl; events go to its directory `stage`.
      stage: name of the stage.
      start: finished steps, 0 at a fresh start.
      evaluated: whether the evaluation at `start` is done.
      num_steps: length of the run.
      log_every: steps between two lines.
      console: where to draw; by default a `rich.console.Console()`.
    """
    self._stage = stage
    self._num_steps = num_steps
    self._log_every = log_every
    workdir = pathlib.Path(workdir)
    path = workdir / 'metrics.jsonl'
    kept = [
      _dump(line)
      for line in read(path)
      if not _is_ahead(line, stage, start, evaluated)
    ]
    files.write_file(path, ''.join(kept))
    self._lines = path.open('a')

    (workdir / stage).mkdir(parents=True, exist_ok=True)
    # Not SummaryWriter: its thread dies on a full disk, and the next call then
    # waits for it forever.
    self._events = event_file_writer.EventsWriter(
      str(workdir / stage / f'events-{start}')
    )
    self._events.write_event(
      event_pb2.Event(
        wall_time=time.time(),
        step=start + 1,
        session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START),
      )
    )

    self._sums = {}
    self._images = 0
    self._logged_step = start
    self._clock = None
    self._console = console or rich.console.Console()
    self._bar = None
    if self._console.is_terminal:
      self._bar = rich.progress.Progress(
        rich.progress.TextColumn('{task.description}'),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn('{task.fields[text]}'),
        console=self._console,
      )
      self._task = self._bar.add_task(
        stage, total=num_steps, completed=start, text=''
      )

  def __enter__(self):
    if self._bar:
      self._bar.start()
    return self

  def __exit__(self, kind, error, traceback):
    if self._bar:
      self._bar.stop()
    try:
      self._lines.close()
      self._events.close()
    except OSError:
      # Nothing here is needed to resume; do not hide the error under way.
      if kind is None:
        raise

  def train(self, step, metrics, images):
    """Adds the metrics (name → float) of training step `step` to the log.

    Args:
      step: finished steps.
      metrics: dict of floats; names may differ from step to step.
      images: images in its batch, 0 if it had none.
    """
    for name, value in metrics.items():
      total, count = self._sums.get(name, (0.0, 0))
      self._sums[name] = (total + value, count + 1)
    self._images += images
    if self._clock is None:
      # The first step of a run compiles: it does not count as speed.
      self._clock = (time.monotonic(), step)
      self._images = 0
    if self._bar:
      self._bar.update(self._task, completed=step)
    if step % self._log_every == 0 or step == self._num_steps:
      self.flush(step)

  def flush(self, step):
    """Writes one log line: mean metrics of the steps since the last line."""
    if step > self._logged_step:
      self._logged_step = step
      means = {name: total / n for name, (total, n) in self._sums.items()}
      rates = self._rates(step)
      self._write(step, 'train', means, rates)
      self._show(step, means, rates)
      self._sums, self._images = {}, 0
      self._clock = (time.monotonic(), step)
    self._guarded(self._lines.flush)
    self._guarded(self._events.flush)

  def evaluation(self, step, metrics):
    """Writes the metrics (name → float or None) of an evaluation."""
    self._write(step, 'eval', metrics, {})
    if self._clock is not None:
      self._clock = (time.monotonic(), step)
    shown = {
      name: value for name, value in metrics.items() if value is not None
    }
    self._console.print(
      f'{self._stage} {step}/{self._num_steps}  eval  {_text(shown)}',
      markup=False,
      highlight=False,
      soft_wrap=True,
    )

  def end(self, step, reason):
    """Prints why the training stopped early; nothing after the last step."""
    if step < self._num_steps:
      self._console.print(
        f'{self._stage} {step}/{self._num_steps}  {reason}',
        markup=False,
        highlight=False,
        soft_wrap=True,
      )

  def _rates(self, step):
    since, first = self._clock
    seconds = time.monotonic() - since
    if step == first or seconds <= 0:
      return {}
    rates = {'steps/s': (step - first) / seconds}
    if self._images:
      rates['images/s'] = self._images / seconds
    return rates

  def _show(self, step, means, rates):
    text = _text(means)
    for name, value in rates.items():
      text += f'  {value:.3g} {name}'
    if rates:
      left = round((self._num_steps - step) / rates['steps/s'])
      text += f'  ETA {left // 3600}:{left // 60 % 60:02}:{left % 60:02}'
    if self._bar:
      self._bar.update(self._task, text=text)
    else:
      self._console.print(
        f'{self._stage} {step}/{self._num_steps}  {text}',
        markup=False,
        highlight=False,
        soft_wrap=True,
      )

  def _write(self, step, kind, metrics, rates):
    line = {
      'stage': self._stage,
      'step': step,
      'kind': kind,
      **{name: _finite_or_none(value) for name, value in metrics.items()},
    }
    self._guarded(self._lines.write, _dump(line))
    for name, value in {**metrics, **rates}.items():
      if value is not None:
        scalar = summary_pb2.Summary.Value(
          tag=f'{kind}/{name}', simple_value=value
        )
        event = event_pb2.Event(
          wall_time=time.time(),
          step=step,
          summary=summary_pb2.Summary(value=[scalar]),
        )
        self._guarded(self._events.write_event, event)
    self._guarded(self._lines.flush)

  def _guarded(self, write, *args):
    try:
      write(*args)
    except OSError as error:
      raise OSError(
        f"cannot write the log of stage '{self._stage}' ({error}): make room "
        f'and run the same command again'
      ) from error


def _finite_or_none(value):
  return value if value is None or math.isfinite(value) else None


def _dump(line):
  return json.dumps(line, sort_keys=True, allow_nan=False) + '\n'


def _text(metrics):
  return '  '.join(f'{name} {value:.4g}' for name, value in metrics.items())
