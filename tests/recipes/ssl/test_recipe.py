"""The recipe in real processes: what it leaves behind, and after kills."""

import json
import random
import re
import shutil
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs import ssl as ssl_config
from palmjax import verify
from palmjax.evals import bootstrap
from palmjax.evals.recognition import verification
from palmjax.inference import uncalibrated, verifier
from palmjax.networks import export
from palmjax.networks import palm as palm_networks
from palmjax.recipes.shared import palm_images
from palmjax.recipes.ssl import labels as ssl_labels
from palmjax.recipes.ssl import recipe as ssl_recipe

SMOKE = '--config=configs/ssl.py:smoke'
STAGES = ('cnn1', 'gan', 'soft_labels', 'cnn2', 'control')


@pytest.fixture(scope='module')
def smoke_run(palmjax_command, tmp_path_factory):
  """The workdir of an undisturbed run of configs/ssl.py:smoke."""
  workdir = tmp_path_factory.mktemp('smoke')
  process = palmjax_command(SMOKE, f'--workdir={workdir}')
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  return workdir


def _results(workdir):
  """Bytes of everything that must not depend on interruptions."""
  paths = [workdir / 'metrics.json']
  paths += sorted(workdir.glob('*/export/*'))
  paths += sorted(workdir.glob('*/DONE.json'))
  return {str(p.relative_to(workdir)): p.read_bytes() for p in paths}


def _progress(workdir):
  """Bytes logged and stages finished: grows with the work of a run."""
  log = workdir / 'metrics.jsonl'
  done = len(list(workdir.glob('*/DONE.json')))
  return (log.stat().st_size if log.exists() else 0, done)


@pytest.mark.slow
def test_same_bytes_after_three_sigkills(
  smoke_run, palmjax_command, tmp_path, record_property
):
  """Kills wherever it happens to be, three times, then lets it finish."""
  seed = random.SystemRandom().randrange(10**6)
  record_property('seed', seed)
  moments = random.Random(seed)
  workdir, killed_at = tmp_path / '0', []
  while len(killed_at) < 3:
    workdir.mkdir(exist_ok=True)
    before = _progress(workdir)
    process = palmjax_command(SMOKE, f'--workdir={workdir}')
    # Not before it has done something: imports need no test.
    begun = time.monotonic()
    while _progress(workdir) == before and process.poll() is None:
      assert time.monotonic() - begun < 600
      time.sleep(0.05)
    time.sleep(moments.uniform(0, 12))
    process.kill()
    output, _ = process.communicate()
    if process.returncode == 0:
      # It was done before: from the start.
      workdir, killed_at = tmp_path / f'after {workdir.name}', []
      continue
    assert process.returncode == -signal.SIGKILL, output
    killed_at.append(sorted(path.name for path in workdir.iterdir()))
  process = palmjax_command(SMOKE, f'--workdir={workdir}')
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, (seed, output)

  expected, resumed = _results(smoke_run), _results(workdir)
  assert set(resumed) == set(expected), seed
  assert len(resumed) >= 1 + 5 + 4 * 3 + 2
  different = [name for name in resumed if resumed[name] != expected[name]]
  assert different == [], (seed, killed_at)


@pytest.mark.slow
def test_metrics_json_has_the_three_models_and_honest_gaps(smoke_run):
  results = json.loads((smoke_run / 'metrics.json').read_text())
  assert results['recipe'] == 'ssl'
  assert results['seed'] == 0
  for name in ('cnn1', 'cnn2', 'control'):
    cells = results['models'][name]
    assert 0 <= cells['eer']['low'] <= cells['eer']['value']
    assert cells['eer']['value'] <= cells['eer']['high'] <= 1
    # 1,056 impostor pairs: the rule of 30 forbids FAR 1e-3.
    assert cells['tar@far=1e-3']['value'] is None
    assert 'not measurable' in cells['tar@far=1e-3']['reason']
  ratio = results['models']['cnn2']['eer/control']['value']
  assert ratio == pytest.approx(
    results['models']['cnn2']['eer']['value']
    / results['models']['control']['eer']['value']
  )
  assert not (smoke_run / 'metrics.json').read_text().count('second')
  run = json.loads((smoke_run / 'run.json').read_text())
  assert set(run['seconds']) == set(STAGES)


@pytest.mark.slow
def test_report_is_whole_and_needs_nothing_else(smoke_run):
  text = (smoke_run / 'report.html').read_text()
  assert 'CNN-2' in text
  assert 'not measurable with 1056 pairs' in text
  assert text.count('data:image/png') >= 20
  assert not re.search(r'(src|href)="https?:', text)


@pytest.mark.slow
def test_export_gives_the_embeddings_that_were_measured(smoke_run):
  """Loads as a user would: the numbers of metrics.json come out again."""
  config = ssl_config.get_config('smoke')
  key = ssl_recipe.data_key(config)
  palms = palm_images.load(config, key)
  embeddings = palm_networks.load(smoke_run / 'cnn2' / 'export').embed(
    palms.evaluation.images
  )
  again = verification.evaluate(
    embeddings,
    palms.evaluation.labels,
    fars=[0.1],
    resampling=bootstrap.Resampling(draws=100),
  )
  results = json.loads((smoke_run / 'metrics.json').read_text())
  assert again['eer'] == results['models']['cnn2']['eer']


@pytest.mark.slow
def test_the_network_of_a_run_decides(smoke_run, tmp_path, capsys):
  """`verify A B --export`, plainly and by the thresholds that the run set."""
  config = ssl_config.get_config('smoke')
  palms = palm_images.load(config, ssl_recipe.data_key(config)).evaluation
  who = palms.labels[0]
  one, again = np.flatnonzero(palms.labels == who)[:2]
  chosen = one, again, np.flatnonzero(palms.labels != who)[0]
  paths = [str(tmp_path / f'{name}.png') for name in 'abc']
  for path, index in zip(paths, chosen, strict=True):
    Image.fromarray(palms.images[index]).save(path)
  export_folder = smoke_run / 'cnn2' / 'export'

  def ask(*arguments):
    code = verify.main([*arguments, f'--export={export_folder}'])
    output, errors = capsys.readouterr()
    assert (code, errors) == (0, '')
    return output

  plain = json.loads(ask(paths[0], paths[0], '--json'))
  assert plain['decision'] == 'same'
  # Drawn palms make no cohort, so the network takes no part.
  assert plain['set_on'] == uncalibrated.SET_ON
  assert plain['threshold'] == uncalibrated.threshold(1e-3)
  assert not plain['calibrated']
  assert plain['unused'].startswith(f'the network of {export_folder} takes no')
  assert 'not calibrated for this camera' in ask(*paths[:2])

  drawn = (
    '32,640 impostor pairs: 256 drawn palms, difficulty 0.3, none trained on, '
    'below 1e-3 extrapolated'
  )
  embeddings = palm_networks.load(export_folder).embed(
    palms.images[list(chosen)]
  )
  threshold = verifier.load(export_folder, score='network').threshold(1e-2)
  for other, path in enumerate(paths):
    answer = json.loads(
      ask(paths[0], path, '--score=network', '--fmr=1e-2', '--json')
    )
    assert answer['set_on'] == drawn
    assert answer['threshold'] == threshold
    cosine = float(embeddings[0] @ embeddings[other])
    assert answer['score'] == pytest.approx(cosine, abs=1e-4)
    same = answer['score'] >= threshold
    assert answer['decision'] == ('same' if same else 'different')
    assert not answer['calibrated']
    assert 'unused' not in answer
  text = ask(paths[0], paths[0], '--score=network', '--fmr=1e-1')
  assert text.startswith('same palm: score 1.0000, threshold ')
  assert f'set for an FMR of 1e-1 on {drawn} (cosine)' in text


@pytest.mark.slow
def test_what_the_export_stores_is_what_use_applies(smoke_run, tmp_path):
  """Another stored pre-processing gives other embeddings: it is in effect."""
  copy = tmp_path / 'export'
  shutil.copytree(smoke_run / 'cnn2' / 'export', copy)
  images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
  same = palm_networks.load(copy).embed(images)
  exported = export.load(copy)
  contrast = ssl_config.get_config('smoke').preprocess.contrast
  assert exported.preprocess['contrast'] == contrast
  export.save(
    copy,
    variables=exported.variables,
    model=exported.model,
    preprocess=exported.preprocess | {'contrast_sigma': 0.3},
  )
  other = palm_networks.load(copy).embed(images)
  np.testing.assert_array_equal(
    palm_networks.load(smoke_run / 'cnn2' / 'export').embed(images), same
  )
  assert np.abs(other - same).max() > 1e-3


@pytest.mark.slow
def test_weights_of_another_network_are_refused_in_one_line(
  smoke_run, tmp_path
):
  exported = export.load(smoke_run / 'cnn2' / 'export')
  export.save(
    tmp_path,
    variables=exported.variables,
    model=exported.model | {'embedding_size': 16},
    preprocess=exported.preprocess,
  )
  with pytest.raises(ValueError, match='does not fit the network') as caught:
    palm_networks.load(tmp_path)
  assert '\n' not in str(caught.value)


@pytest.mark.slow
def test_soft_labels_are_joined_by_id(smoke_run, tmp_path):
  source = smoke_run / 'soft_labels' / 'export'
  images, soft = ssl_labels.read_soft_labels(source)
  np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
  # The same rows in another order must give the same pairs.
  order = np.random.default_rng(0).permutation(len(images))
  with np.load(source / 'generated.npz') as drawn:
    np.savez(
      tmp_path / 'generated.npz',
      id=drawn['id'][order],
      image=drawn['image'][order],
    )
  (tmp_path / 'soft_labels.npz').write_bytes(
    (source / 'soft_labels.npz').read_bytes()
  )
  again, _ = ssl_labels.read_soft_labels(tmp_path)
  np.testing.assert_array_equal(again, images)


@pytest.mark.slow
def test_the_teacher_labelled_what_is_stored(smoke_run):
  """Recomputes the soft labels of the stored images from CNN-1's export."""
  images, soft = ssl_labels.read_soft_labels(
    smoke_run / 'soft_labels' / 'export'
  )
  teacher = palm_networks.load(smoke_run / 'cnn1' / 'export')
  logits = jnp.asarray(teacher.classify(images[:8]))
  temperature = ssl_config.get_config('smoke').soft.temperature
  np.testing.assert_allclose(
    jax.nn.softmax(logits / temperature), soft[:8], atol=1e-5
  )


@pytest.mark.slow
def test_a_loss_that_explodes_stops_the_run_and_keeps_what_was_saved(
  palmjax_command, smoke_run, tmp_path
):
  """An absurd rate for the GAN: CNN-1 is done by then, and must stay."""
  process = palmjax_command(
    '--config=configs/ssl.py:smoke',
    f'--workdir={tmp_path}',
    '--config.gan.learning_rate=1e30',
  )
  output, _ = process.communicate(timeout=600)
  assert process.returncode == 1, output
  assert 'lower the learning rate' in output.splitlines()[-1]
  kept = tmp_path / 'cnn1' / 'export' / 'weights.npz'
  expected = smoke_run / 'cnn1' / 'export' / 'weights.npz'
  assert kept.read_bytes() == expected.read_bytes()
