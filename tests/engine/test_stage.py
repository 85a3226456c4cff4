import json
import pathlib

import jax
import numpy as np
import pytest
from absl import logging

from palmjax.engine import stage

KEY = jax.random.key(3)
CONFIG = {'steps': 5, 'model': {'width': 8, 'sizes': (1, 2)}}


def run(workdir, body=None, **changes):
  calls = []

  def write(current, config):
    assert current.workdir == pathlib.Path(workdir)
    assert current.name == 'net'
    assert current.export.parent == current.workdir / 'net'
    assert list(current.export.iterdir()) == []
    assert config.to_dict() == CONFIG
    export = current.export
    calls.append(current.key)
    (export / 'weights').mkdir()
    (export / 'weights/w.npy').write_bytes(b'123')
    (export / 'model.json').write_text('{}')
    return {'loss': np.float32(0.25), 'rate': None, 'count': 3}

  arguments = {
    'workdir': workdir,
    'key': KEY,
    'config': {**CONFIG, 'unread': 1},
    'sections': tuple(CONFIG),
    'facts': {'data': 'abc'},
    'inputs': {},
  }
  result = stage.run('net', body or write, **(arguments | changes))
  return result, calls


def test_first_run_and_second_hand_back_the_same(tmp_path):
  first, calls = run(tmp_path)
  assert len(calls) == 1
  assert first.name == 'net'
  assert first.path == tmp_path / 'net/export'
  assert first.metrics == {'loss': 0.25, 'rate': None, 'count': 3}
  done = (tmp_path / 'net/DONE.json').read_bytes()
  second, calls = run(tmp_path)
  assert calls == []
  assert second == first
  assert (tmp_path / 'net/DONE.json').read_bytes() == done
  third, _ = run(tmp_path / 'elsewhere')
  assert third.fingerprint == first.fingerprint
  assert (tmp_path / 'elsewhere/net/DONE.json').read_bytes() == done
  assert sorted(p.name for p in (tmp_path / 'net').iterdir()) == [
    'DONE.json',
    'export',
    'seconds.json',
    'stage.json',
  ]


def test_a_body_gets_the_sections_that_its_fingerprint_lists(tmp_path):
  first, _ = run(tmp_path)
  seen = []

  def body(current, config, *, teacher):
    seen.append((config.to_dict(), teacher))
    with pytest.raises(AttributeError):
      _ = config.unread
    config.model.width = 9  # Its own copy.
    return {}

  config = {**CONFIG, 'unread': 1}
  stage.run(
    'other',
    body,
    workdir=tmp_path,
    key=KEY,
    config=config,
    sections=('model',),
    facts={'start': None},
    inputs={'teacher': first},
  )
  assert seen == [({'model': CONFIG['model']}, first.path)]
  assert config == {**CONFIG, 'unread': 1}
  done = json.loads((tmp_path / 'other/DONE.json').read_text())
  assert done['config'].keys() == {'model', 'start'}
  assert done['inputs'] == {'teacher': first.fingerprint}


def test_key_is_the_roots_folded_with_the_crc_of_the_name(tmp_path):
  _, (key,) = run(tmp_path)
  # The check value of CRC-32.
  expected = jax.random.fold_in(KEY, np.uint32(0xCBF43926))
  got = stage.stage_key(KEY, '123456789')
  assert (jax.random.key_data(got) == jax.random.key_data(expected)).all()
  wanted = jax.random.key_data(stage.stage_key(KEY, 'net'))
  assert (jax.random.key_data(key) == wanted).all()


@pytest.mark.parametrize('finished', [True, False])
@pytest.mark.parametrize(
  'change, difference',
  [
    (
      {'config': {**CONFIG, 'steps': 6}},
      'config.steps = 5 there and 6 here',
    ),
    (
      {'config': {**CONFIG, 'model': {'width': 8}}},
      'config.model.sizes = [1, 2] there and nothing here',
    ),
    (
      {'facts': {'data': 'abd'}},
      'config.data = "abc" there and "abd" here',
    ),
    (
      {'inputs': {'net': stage.Result('net', pathlib.Path(), {}, 'f00')}},
      'inputs.net = nothing there and "f00" here',
    ),
    ({'key': jax.random.key(4)}, 'key = [0, 3] there and [0, 4] here'),
  ],
)
def test_work_of_another_config_is_refused(
  tmp_path, finished, change, difference
):
  def fail(current, config, **exports):
    raise RuntimeError('power cut')

  if finished:
    run(tmp_path)
  else:
    with pytest.raises(RuntimeError):
      run(tmp_path, fail)
  with pytest.raises(ValueError, match='made otherwise') as caught:
    run(tmp_path, **change)
  message = str(caught.value)
  assert difference in message
  assert f'use another workdir or delete {tmp_path / "net"}' in message
  assert '\n' not in message


def test_a_run_cut_short_leaves_no_export(tmp_path):
  def fail(current, config):
    (current.workdir / current.name / 'ckpt').mkdir()
    (current.export / 'half').write_text('x')
    raise RuntimeError('power cut')

  with pytest.raises(RuntimeError):
    run(tmp_path, fail)
  assert not (tmp_path / 'net/export').exists()
  assert not (tmp_path / 'net/DONE.json').exists()

  # As if killed after the export was renamed and before DONE.json.
  (tmp_path / 'net/export').mkdir()
  (tmp_path / 'net/export/old').write_text('x')
  result, calls = run(tmp_path)
  assert len(calls) == 1
  assert (tmp_path / 'net/ckpt').is_dir()
  names = sorted(p.name for p in result.path.iterdir())
  assert names == ['model.json', 'weights']
  assert result.fingerprint == run(tmp_path / 'clean')[0].fingerprint


@pytest.mark.parametrize('where', ['model.json', 'weights/w.npy', 'new'])
def test_a_changed_export_is_refused(tmp_path, where):
  result, _ = run(tmp_path)
  (result.path / where).write_bytes(b'124')
  with pytest.raises(ValueError, match='was changed after it was made'):
    run(tmp_path)


def test_fingerprint_covers_names_and_contents(tmp_path):
  def body_of(**files):
    def body(current, config):
      for name, content in files.items():
        (current.export / name).write_text(content)
      return {}

    return body

  variants = [{'a': 'x', 'b': 'y'}, {'a': 'y', 'b': 'x'}, {'a': 'x', 'c': 'y'}]
  fingerprints = {
    run(tmp_path / str(i), body_of(**files))[0].fingerprint
    for i, files in enumerate(variants)
  }
  assert len(fingerprints) == 3
  again, _ = run(tmp_path / 'again', body_of(b='y', a='x'))
  assert again.fingerprint in fingerprints


def test_metrics_that_json_cannot_hold_are_refused(tmp_path):
  with pytest.raises(ValueError, match='not JSON compliant'):
    run(tmp_path, lambda current, config: {'loss': float('nan')})
  assert not (tmp_path / 'net/DONE.json').exists()


def test_what_was_finished_before_is_told(tmp_path, caplog):
  logging.set_verbosity(logging.INFO)
  for words in ('net: begins', 'net: finished before'):
    caplog.clear()
    run(tmp_path)
    assert caplog.messages == [words]


@pytest.mark.parametrize(
  'steps, words',
  [
    ([], 'net: begun before, without a checkpoint: begins again'),
    (['20', '100', '120-checkpoint-tmp'], 'net: goes on from step 100'),
  ],
)
def test_where_a_stage_goes_on_is_told(tmp_path, caplog, steps, words):
  def stop(current, config):
    for name in steps:
      (tmp_path / 'net' / 'ckpt' / name).mkdir(parents=True)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    run(tmp_path, stop)
  logging.set_verbosity(logging.INFO)
  caplog.clear()
  run(tmp_path)
  assert caplog.messages == [words]
