import io
import json
import os

import pytest
import rich.console
from tensorboardX.proto import event_pb2

from palmjax.engine import logs


def opened(workdir, *, start=0, evaluated=False, text=None, **changes):
  console = rich.console.Console(file=text or io.StringIO(), **changes)
  return logs.Logs(
    workdir,
    'gan',
    start=start,
    evaluated=evaluated,
    num_steps=20,
    log_every=2,
    console=console,
  )


def fill(log, steps):
  for step in steps:
    log.train(step, {'loss': float(step)}, 8)


def lines_of(workdir):
  text = (workdir / 'metrics.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def test_lines_hold_means_of_their_interval(tmp_path):
  with opened(tmp_path) as log:
    log.train(1, {'loss': 1.0, 'r1': 8.0}, 0)
    log.train(2, {'loss': 2.0}, 0)
    log.evaluation(2, {'kid': 0.5, 'rate': None, 'inf': float('inf')})
    log.train(3, {'loss': 4.0}, 0)
    log.flush(3)
    log.flush(3)
  assert (tmp_path / 'metrics.jsonl').read_text().splitlines() == [
    '{"kind": "train", "loss": 1.5, "r1": 8.0, "stage": "gan", "step": 2}',
    '{"inf": null, "kid": 0.5, "kind": "eval", "rate": null, "stage": "gan", '
    '"step": 2}',
    '{"kind": "train", "loss": 4.0, "stage": "gan", "step": 3}',
  ]


@pytest.mark.parametrize('evaluated', [True, False])
def test_resume_drops_what_lies_ahead(tmp_path, evaluated):
  with opened(tmp_path) as log:
    fill(log, range(1, 5))
    log.evaluation(4, {'kid': 1.0})
    fill(log, range(5, 9))
    log.evaluation(8, {'kid': 2.0})
  path = tmp_path / 'metrics.jsonl'
  other = '{"kind": "train", "stage": "cnn1", "step": 99}\n'
  path.write_text(other + path.read_text() + '{"stage": "gan", "ste')
  with opened(tmp_path, start=4, evaluated=evaluated) as log:
    fill(log, [5, 6])
  got = [
    (line['stage'], line['step'], line['kind']) for line in lines_of(tmp_path)
  ]
  evaluation = [('gan', 4, 'eval')] if evaluated else []
  assert got == [
    ('cnn1', 99, 'train'),
    ('gan', 2, 'train'),
    ('gan', 4, 'train'),
    *evaluation,
    ('gan', 6, 'train'),
  ]
  with opened(tmp_path):
    pass
  assert [line['stage'] for line in lines_of(tmp_path)] == ['cnn1']


def test_plain_lines_without_a_terminal(tmp_path, monkeypatch):
  now = [0.0]
  monkeypatch.setattr(logs.time, 'monotonic', lambda: now[0])
  text = io.StringIO()
  with opened(tmp_path, text=text, width=20) as log:
    for step in range(1, 5):
      # The first step compiles.
      now[0] += 100.0 if step == 1 else 0.5
      log.train(step, {'loss': float(step)}, 8)
    now[0] += 50.0
    log.evaluation(4, {'kid': 0.25, 'rate': None})
    now[0] += 1.0
    fill(log, [5, 6])
  assert text.getvalue().splitlines() == [
    'gan 2/20  loss 1.5  2 steps/s  16 images/s  ETA 0:00:09',
    'gan 4/20  loss 3.5  2 steps/s  16 images/s  ETA 0:00:08',
    'gan 4/20  eval  kid 0.25',
    'gan 6/20  loss 5.5  2 steps/s  16 images/s  ETA 0:00:07',
  ]


def test_bar_on_a_terminal(tmp_path):
  text = io.StringIO()
  with opened(tmp_path, text=text, force_terminal=True, width=120) as log:
    fill(log, [1, 2])
  assert 'gan' in text.getvalue()
  assert '2/20' in text.getvalue()
  assert 'loss 1.5' in text.getvalue()


def events(workdir):
  records = []
  for path in sorted((workdir / 'gan').glob('events*tfevents*')):
    data = path.read_bytes()
    while data:
      # TFRecord: length, its checksum, the record, its checksum.
      length = int.from_bytes(data[:8], 'little')
      records.append(event_pb2.Event.FromString(data[12 : 12 + length]))
      data = data[16 + length :]
  return records


def test_tensorboard_events(tmp_path):
  with opened(tmp_path) as log:
    fill(log, [1, 2])
    log.evaluation(2, {'kid@palm': 0.5, 'rate': None})
  with opened(tmp_path, start=2):
    pass
  scalars = {
    (value.tag, event.step): value.simple_value
    for event in events(tmp_path)
    for value in event.summary.value
  }
  assert scalars[('train/loss', 2)] == 1.5
  assert scalars[('eval/kid@palm', 2)] == 0.5
  assert ('eval/rate', 2) not in scalars
  # TensorBoard drops what a run wrote before, from this step on.
  starts = [e.step for e in events(tmp_path) if e.HasField('session_log')]
  assert starts == [1, 3]


def fill_the_disk_of(path):
  """From now on, writing to the open file `path` finds the disk full."""
  numbers = [
    int(number)
    for number in os.listdir('/proc/self/fd')
    if os.path.realpath(f'/proc/self/fd/{number}') == os.path.realpath(path)
  ]
  assert numbers
  with open('/dev/full', 'wb') as full:
    for number in numbers:
      os.dup2(full.fileno(), number)


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
  def write_to_full_disk():
    with opened(tmp_path) as log:
      fill_the_disk_of(tmp_path / 'metrics.jsonl')
      fill(log, [1, 2])

  with pytest.raises(OSError, match='No space left') as caught:
    write_to_full_disk()
  assert str(caught.value).startswith("cannot write the log of stage 'gan' (")
  assert '\n' not in str(caught.value)
