"""The whole of release.palm_weights in miniature, against `palmjax.verify`."""

import functools
import json
import shutil
import types

import jax
import numpy as np
import pytest
from PIL import Image

from palmjax import verify
from palmjax.data.palms import palms
from palmjax.evals.recognition import streaming
from palmjax.inference import matcher
from palmjax.networks import export
from palmjax.networks import palm as palm_networks
from release import made_by, palm_weights, record
from tests.release import small_palm_run

pytestmark = pytest.mark.slow

SCORES = [
  {'turns': turns, 'correlation': correlation}
  for turns in (False, True)
  for correlation in (False, True)
]
CONTROLS = [
  name + kind
  for name in ('correlation', 'orientation code')
  for kind in ('', ', across sessions', ', turned')
]


@pytest.fixture(scope='module')
def packed(tmp_path_factory):
  """A finished `release.palm_weights`: its folder, and what it compared."""
  root = tmp_path_factory.mktemp('weights')
  small_palm_run.write_run(root / 'run')
  start = root / 'start'
  start.mkdir()
  for name in ('config.json', 'training.jsonl'):
    (start / name).write_text(f'{name} of the start')
  first = {'argv': ['first', '--workdir={workdir}/run'], 'seed': 4}
  made_by.write(
    start, {'name': 'start', 'about': [], 'files': [], 'commands': [first]}
  )
  # What thresholds were set on: embeddings by counts, else lists of scores.
  embeddings, lists = [], {}

  def count_pairs(vectors, labels):
    embeddings.append(vectors)
    return count(vectors, labels)

  def calibrate(impostor, *, comparison, **options):
    lists[comparison] = impostor
    return set_thresholds(impostor, comparison=comparison, **options)

  count, set_thresholds = streaming.count_pairs, matcher.calibrate
  # A network that is loaded anew is compiled anew.
  load = functools.cache(palm_networks.load)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(palms, 'draw_batch', small_palm_run.draw_batch)
    patch.setattr(palm_networks, 'load', load)
    patch.setattr(streaming, 'count_pairs', count_pairs)
    patch.setattr(matcher, 'calibrate', calibrate)
    palm_weights.main(
      [
        *(f'--run={root}/run', f'--out={root}/out'),
        *(
          f'--identities={small_palm_run.IDENTITIES}',
          f'--subset={small_palm_run.SUBSET}',
        ),
        *(
          f'--samples={small_palm_run.SAMPLES}',
          f'--size={small_palm_run.DRAWN}',
          '--seed=5',
        ),
      ]
    )
  return types.SimpleNamespace(
    root=root,
    out=root / 'out',
    embeddings=embeddings,
    lists=lists,
    load=load,
  )


@pytest.mark.parametrize('score', SCORES)
def test_verify_gives_the_score_of_the_calibration(
  packed, capsys, monkeypatch, score
):
  monkeypatch.setattr(palm_networks, 'load', packed.load)
  # The last palm of the subset has its last image in session 1.
  people = np.array([0, small_palm_run.SUBSET - 1])
  images = small_palm_run.draw_batch(
    jax.random.key(5),
    people,
    [0, small_palm_run.SAMPLES - 1],
    devices=people // 2 + [0, 1],
    size=small_palm_run.DRAWN,
    difficulty=1.0,
  )
  paths = [str(packed.root / f'{i}.png') for i in range(2)]
  for path, image in zip(paths, images, strict=True):
    Image.fromarray(image).save(path)
  kind = 'correlation' if score['correlation'] else 'network'
  options = [f'--score={kind}', *(['--turns'] if score['turns'] else [])]
  code = verify.main(
    [*paths, f'--export={packed.out}', '--json', '--fmr=1e-2', *options]
  )
  assert code == 0
  answer = json.loads(capsys.readouterr().out)
  name = matcher.comparison(**score)
  if score['correlation']:
    # Pairs of image 0 come first, those with its own palm left out.
    want = packed.lists[name][
      (small_palm_run.SUBSET - 1) * small_palm_run.SAMPLES - 1
    ]
  else:
    vectors = packed.embeddings[1 if score['turns'] else 0]
    want = (
      vectors[0] @ vectors[small_palm_run.SUBSET * small_palm_run.SAMPLES - 1]
    )
  assert answer['score'] == pytest.approx(want, abs=1e-5)
  assert answer['comparison'] == name


@pytest.mark.parametrize('score', SCORES)
def test_thresholds_say_what_they_were_set_on(packed, score):
  calibration = matcher.load(packed.out, matcher.comparison(**score))
  identities = (
    small_palm_run.SUBSET if score['correlation'] else small_palm_run.IDENTITIES
  )
  assert calibration.dataset == (
    f'{identities} drawn palms × 6, 48 px, difficulty 1, seed 5'
  )
  assert calibration.impostor_pairs == 36 * identities * (identities - 1) // 2
  assert [fmr for fmr, _ in calibration.thresholds] == [1e-2]


def test_nothing_is_shipped_that_nobody_needs(packed):
  files = {path.name: path.read_bytes() for path in packed.out.iterdir()}
  assert sorted(files) == [
    'README.md',
    'calibration.json',
    'config.json',
    'made_by.json',
    'model.json',
    'preprocess.json',
    'results.json',
    'start_config.json',
    'start_training.jsonl',
    'training.jsonl',
    'weights.npz',
  ]
  # With the head it would be more.
  assert sum(map(len, files.values())) <= 8_000_000
  with np.load(packed.out / 'weights.npz') as archive:
    assert all(
      name.startswith(('params/backbone/', 'batch_stats/'))
      for name in archive.files
    )
  assert not [
    name for name, text in files.items() if str(packed.root).encode() in text
  ]
  config = json.loads(files['config.json'])
  assert config['data']['name'] == 'drawn_palms'
  assert config['data']['dir'] == config['cnn']['start'] == ''
  assert files['training.jsonl'] == b'{"step": 50, "loss": 9.5}\n'
  assert files['start_training.jsonl'] == b'training.jsonl of the start'


def test_the_commands_that_made_it(packed):
  made = made_by.read(packed.out)
  assert made['commands'] == [
    {'argv': ['first', '--workdir={workdir}/start/run'], 'seed': 4},
    {
      'argv': [
        *('python', '-m', 'palmjax.prepare', '--dataset=drawn_palms'),
        *('--data_dir={workdir}/sets', '--identities=24', '--samples=4'),
        *('--size=32', '--difficulty=0.7', '--devices=8', '--seed=1'),
      ],
      'seed': 1,
    },
    {
      'argv': [
        *('python', '-m', 'palmjax.main'),
        '--config=configs/metric.py:weights',
        '--config.cnn.start={workdir}/start/weights/out',
        *('--config.cnn.steps=70', '--config.data.dir={set}'),
        '--workdir={workdir}/run',
      ],
      'seed': 0,
    },
    {
      'argv': [
        *('python', '-m', 'release.palm_weights', '--run={workdir}/run'),
        *('--out={workdir}/weights/out', '--seed=5'),
        *(
          f'--identities={small_palm_run.IDENTITIES}',
          f'--subset={small_palm_run.SUBSET}',
        ),
        *(
          f'--samples={small_palm_run.SAMPLES}',
          f'--size={small_palm_run.DRAWN}',
        ),
      ],
      'seed': 5,
    },
  ]
  assert (packed.out / 'README.md').read_text() == made_by.readme(made)


def test_a_chain_of_three_trainings_is_refused(packed, tmp_path):
  with pytest.raises(ValueError, match='train in one or two steps'):
    record.keep_start(packed.out, tmp_path)


def test_results_have_every_score_beside_the_control(packed):
  results = json.loads((packed.out / 'results.json').read_text())
  every, few = results['all, counted'], results['subset, listed']
  assert every['set'].startswith('16 drawn palms')
  assert few['set'].startswith('14 drawn palms')
  assert set(every) == {'set', 'cosine', 'cosine, 8 views', 'cosine, turned'}
  assert set(few) == {
    'set',
    *CONTROLS,
    'cosine, across sessions',
    *(matcher.comparison(**score) for score in SCORES),
  }
  assert {'eer', 'fnmr@fmr=1e-6', 'rank1', 'fnir@fpir=1e-2'} <= set(
    every['cosine']
  )
  for section in (every, few):
    for name, rates in section.items():
      assert name == 'set' or 0.0 <= rates['eer']['value'] <= 1.0


def test_turned_palms_lie_in_all_8_ways(packed):
  plain, _, turned = packed.embeddings
  ways = (
    np.repeat(np.arange(small_palm_run.IDENTITIES), small_palm_run.SAMPLES) % 8
  )
  same = np.abs(plain - turned).max(axis=1) < 1e-5
  np.testing.assert_array_equal(same, ways == 0)


def test_the_network_is_that_of_the_run(packed):
  shipped = export.load(packed.out)
  trained = export.load(packed.root / 'run' / 'network' / 'export')
  jax.tree.map(
    np.testing.assert_array_equal,
    {**shipped.variables, 'params': shipped.variables['params']['backbone']},
    {**trained.variables, 'params': trained.variables['params']['backbone']},
  )
  assert (shipped.model, shipped.preprocess) == (
    trained.model,
    trained.preprocess,
  )


def test_what_was_packed_is_measured_again(packed, monkeypatch, tmp_path):
  with pytest.raises(SystemExit, match='there is no such folder; give'):
    palm_weights.main([f'--out={tmp_path}/none'])
  monkeypatch.setattr(palms, 'draw_batch', small_palm_run.draw_batch)
  monkeypatch.setattr(palm_networks, 'load', lambda _: packed.load(packed.out))
  again = tmp_path / 'again'
  shutil.copytree(packed.out, again)
  names = 'results.json', 'calibration.json'
  for name in names:
    (again / name).unlink()
  words = [
    *(
      f'--out={again}',
      f'--identities={small_palm_run.IDENTITIES}',
      f'--subset={small_palm_run.SUBSET}',
    ),
    *(
      f'--samples={small_palm_run.SAMPLES}',
      f'--size={small_palm_run.DRAWN}',
      '--seed=5',
    ),
  ]
  palm_weights.main(words)
  for name in names:
    assert (again / name).read_text() == (packed.out / name).read_text()
  # The controls alone: the rest stays as it was.
  want = json.loads((again / 'results.json').read_text())
  kept = json.loads(json.dumps(want))
  for name in CONTROLS:
    del kept['subset, listed'][name]
  kept['all, counted']['cosine'] = 'of before'
  (again / 'results.json').write_text(json.dumps(kept))
  palm_weights.main([*words, '--controls'])
  results = json.loads((again / 'results.json').read_text())
  assert results['all, counted']['cosine'] == 'of before'
  assert results['subset, listed'] == want['subset, listed']
