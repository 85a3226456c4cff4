"""The recipe from end to end: what it leaves behind, and after a kill."""

import json
import re

import jax
import numpy as np
import pytest

from configs import metric as metric_config
from palmjax import main
from palmjax.data.sets import prepared
from palmjax.engine import stage
from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, verification
from palmjax.inference import verifier
from palmjax.networks import palm as palm_networks
from palmjax.recipes.shared import controls, palm_images
from palmjax.report import metrics
from tests.recipes import kills

pytestmark = pytest.mark.slow

# Every kind of loss in one run; left and right, turned in all ways. Of all
# backbones this one compiles fastest.
ARGUMENTS = (
  '--config=configs/metric.py:smoke',
  '--config.network.name=resnet18_small_gdconv',
  '--config.loss.name=softmax+arcface+semi_hard',
  '--config.data.turned=True',
  '--config.data.samples=6',
)


@pytest.fixture(scope='module')
def arguments(drawn_set):
  return *ARGUMENTS, f"--config.evaluation.sets=('{drawn_set}',)"


@pytest.fixture(scope='module')
def run(tmp_path_factory, arguments):
  """The workdir of an undisturbed run.

  In this process: the tests below use the programs that it compiled.
  """
  workdir = tmp_path_factory.mktemp('metric')
  assert main.main([*arguments, f'--workdir={workdir}']) == 0
  return workdir


def _config():
  config = metric_config.get_config('smoke')
  config.data.turned = True
  config.data.samples = 6
  return config


def _evaluation():
  key = stage.stage_key(jax.random.key(0), 'data')
  return palm_images.turned(palm_images.load(_config(), key).evaluation)


def test_results_are_those_of_the_export(run):
  models = json.loads((run / 'metrics.json').read_text())['models']
  part = _evaluation()
  embed = palm_networks.load(run / 'network' / 'export').embed
  rates = verification.evaluate(
    embed(part.images),
    part.labels,
    fars=(),
    resampling=bootstrap.Resampling(draws=100),
  )
  network = models['network']
  assert network['eer'] == pytest.approx(rates['eer'])
  assert network['eer@erased=0'] == pytest.approx(network['eer'])
  assert 0 <= network['rank1']['value'] <= 1
  assert network['fnmr@fmr=1e-6']['value'] is None
  # Samples 4 and 5 are of a second session: 12 palms × 4 × 2 genuine pairs.
  across = models['network, across sessions']
  assert 'not measurable with' in across['fnmr@fmr=1e-6']['reason']
  scores = verification.pair_scores(
    embed(part.images), part.labels, sessions=part.sessions
  )
  assert len(scores.genuine) == 12 * 4 * 2
  assert across['eer']['value'] == pytest.approx(
    error_rates.eer(scores.genuine, scores.impostor)
  )
  assert across['eer']['low'] < across['eer']['high']
  control = models['correlation, across sessions']
  alone = verification.matrix_scores(
    controls.correlate(part.images), part.labels, sessions=part.sessions
  )
  assert control['eer']['value'] == pytest.approx(
    error_rates.eer(alone.genuine, alone.impostor)
  )
  assert across['eer/correlation'] == verification.eer_ratio(
    scores, alone, resampling=bootstrap.Resampling(draws=100)
  )
  assert models['correlation']['eer']['value'] < 0.5
  alone = verification.matrix_scores(
    controls.code(part.images), part.labels, sessions=part.sessions
  )
  code = models['orientation code, across sessions']
  assert code['eer']['value'] == pytest.approx(
    error_rates.eer(alone.genuine, alone.impostor)
  )
  assert across['eer/orientation code'] == verification.eer_ratio(
    scores, alone, resampling=bootstrap.Resampling(draws=100)
  )


def test_claims_stand_beside_what_was_found(run):
  models = json.loads((run / 'metrics.json').read_text())['models']
  name = 'network, on drawn_palms'
  # 12 palms × 6 images: 2,376 impostor pairs.
  assert (
    'not measurable with 2376' in models[name]['fmr@claimed=1e-2']['reason']
  )
  threshold = verifier.load(
    run / 'network' / 'export', score='network'
  ).threshold(1e-2)
  assert 0 <= models[name]['fnmr@claimed=1e-2']['value'] <= 1
  assert -1 < threshold < 1
  alone = models['verifier, on drawn_palms']
  assert alone['eer']['value'] < 0.5
  few = models['verifier with a cohort, on drawn_palms']
  assert few['fmr@claimed=1e-3']['reason'].startswith('fewer than 60 palms')
  assert 'fmr@claimed=1e-2' in models['network']
  text = (run / 'report.html').read_text()
  assert '>FMR claimed / FMR found</h2>' in text
  # The line in the report of the standard, not the title of that table.
  (line,) = re.findall(
    r'FMR claimed / FMR found, at thresholds of other palms: ([^<]*)', text
  )
  assert (
    line
    == '; '.join(
      f'{short} / '
      + metrics.show(
        models['network'][f'fmr@claimed={short}'], unit='%', digits=3
      )
      for short in ('1e-2', '1e-3')
    )
    + '.'
  )
  assert 'drawn palms, difficulty 0.5, none trained on' in text


def test_last_session_is_searched_in_the_first(run):
  models = json.loads((run / 'metrics.json').read_text())['models']
  part = _evaluation()
  embeddings = palm_networks.load(run / 'network' / 'export').embed(part.images)
  first = part.sessions == 0
  labels = part.labels[first]
  hits = [
    labels[np.argmax(embeddings[first] @ probe)] == label
    for probe, label in zip(
      embeddings[~first], part.labels[~first], strict=True
    )
  ]
  assert len(hits) == 12 * 2
  across = models['network, across sessions']
  assert across['rank1']['value'] == pytest.approx(np.mean(hits))
  assert across['fnir@fpir=1e-1'] == {
    'value': None,
    'reason': 'not measurable with 0 non-mated searches',
  }


def test_another_set_is_tested_across_sessions_and_devices(run, drawn_set):
  models = json.loads((run / 'metrics.json').read_text())['models']
  embed = palm_networks.load(run / 'network' / 'export').embed
  data = prepared.load(drawn_set, size=32)
  name = 'network, on drawn_palms'
  for key, places in (
    (name, None),
    (f'{name}, across sessions', data.sessions),
    (f'{name}, across devices', data.devices),
  ):
    scores = verification.pair_scores(
      embed(data.images), data.labels, sessions=places
    )
    assert models[key]['eer']['value'] == pytest.approx(
      error_rates.eer(scores.genuine, scores.impostor)
    )
  assert models['correlation, on drawn_palms']['eer']['value'] < 0.5
  assert {'eer/correlation', 'rank1', 'fta'} <= models[name].keys()
  # Palms that are drawn in memory have one device a session.
  assert 'network, across devices' not in models
  assert name.capitalize() in (run / 'report.html').read_text()


def test_drawn_palms_can_all_be_read(run):
  models = json.loads((run / 'metrics.json').read_text())['models']
  for name, palms in (('network', 24), ('network, on drawn_palms', 12)):
    for rate in ('fte', 'fta'):
      interval = models[name][rate]
      assert interval['value'] == interval['low'] == 0
      # The rule of 3, of all palms of the set.
      assert interval['high'] == pytest.approx(1 - 0.05 ** (1 / palms))


@pytest.mark.parametrize('arm', ['losses', 'backbones', 'attention'])
def test_every_column_of_a_sweep_is_measured(run, arm):
  models = json.loads((run / 'metrics.json').read_text())['models']
  timed = {'ms/image'}  # Of run.json: no two runs take the same time.
  assert {*metric_config.columns(arm)} - timed <= models['network'].keys()
  assert 'ms_per_image' in json.loads((run / 'run.json').read_text())


def test_every_stage_was_trained(run):
  rows = [json.loads(line) for line in (run / 'metrics.jsonl').open()]
  rows = [row for row in rows if 'loss/softmax' in row]
  assert rows[0]['loss/softmax'] > 0 == rows[0]['loss/semi_hard']
  assert rows[-1]['loss/semi_hard'] > 0 == rows[-1]['loss/softmax']


def test_the_export_tells_how_to_compare(run):
  export = run / 'network' / 'export'
  preprocess = json.loads((export / 'preprocess.json').read_text())
  assert preprocess['metric'] == 'euclidean'
  model = json.loads((export / 'model.json').read_text())['model']
  assert model['name'] == 'resnet18_small_gdconv'
  assert model['loss'] == 'softmax+arcface+semi_hard'


def test_report_has_the_sections_of_the_standard(run):
  text = (run / 'report.html').read_text()
  for words in ('ISO/IEC 19795-1', 'FNIR at FPIR', '20% erased', 'Correlation'):
    assert words in text
  assert not re.search(r'(src|href)="https?:', text)


def test_same_bytes_after_sigkill(run, palmjax_command, tmp_path, arguments):
  process = palmjax_command(*arguments, f'--workdir={tmp_path}')
  kills.kill_after(process, tmp_path / 'metrics.jsonl', most=2)
  process = palmjax_command(*arguments, f'--workdir={tmp_path}')
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  for name in (
    'metrics.json',
    'network/export/weights.npz',
    'network/export/model.json',
    'network/export/preprocess.json',
  ):
    assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name
