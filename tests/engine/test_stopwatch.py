import json

import pytest

from palmjax.engine import stopwatch


def test_seconds_add_up_over_resumptions(tmp_path, monkeypatch):
  now = [100.0]
  monkeypatch.setattr(stopwatch.time, 'monotonic', lambda: now[0])
  (tmp_path / 'net').mkdir()

  def work(seconds, *, dies=False):
    with stopwatch.running(tmp_path / 'net'):
      now[0] += seconds
      if dies:
        raise RuntimeError('power cut')

  with pytest.raises(RuntimeError, match='power cut'):
    work(7, dies=True)
  assert stopwatch.read(tmp_path) == {'net': 7.0}
  work(5)
  assert stopwatch.read(tmp_path) == {'net': 12.0}


def test_seconds_are_on_disk_before_a_kill(tmp_path):
  path = tmp_path / 'seconds.json'
  with stopwatch.running(tmp_path, interval=0.01):
    while not path.exists():
      pass
  assert 'seconds' in json.loads(path.read_text())


def test_a_damaged_file_is_named(tmp_path):
  (tmp_path / 'seconds.json').write_text('{')
  with (
    pytest.raises(ValueError, match=r'seconds.json is not JSON .* delete it'),
    stopwatch.running(tmp_path),
  ):
    pass
