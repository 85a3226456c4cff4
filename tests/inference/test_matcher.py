import json

import numpy as np
import pytest

from palmjax.evals.recognition import streaming
from palmjax.inference import matcher, parts
from palmjax.networks import export

NETWORK = {
  'variables': {'params': {'a': np.arange(3, dtype=np.float32)}},
  'model': {},
  'preprocess': {},
}


def scores(count, seed=0):
  return np.random.default_rng(seed).normal(size=count).astype(np.float32)


@pytest.fixture
def weights(tmp_path):
  """An export folder."""
  export.save(tmp_path, **NETWORK)
  return tmp_path


def calibrate(count=3000, **changes):
  arguments = {'comparison': 'cosine', 'dataset': 'noise', **changes}
  return matcher.calibrate(scores(count), **arguments)


def test_thresholds_keep_the_rate_and_the_rule_of_30():
  calibration = calibrate(fmrs=(1e-3, 1e-1, 1e-2))
  # 1e-3 would need 30,000 pairs.
  assert [fmr for fmr, _ in calibration.thresholds] == [1e-1, 1e-2]
  assert calibration.impostor_pairs == 3000
  for fmr, threshold in calibration.thresholds:
    assert np.sum(scores(3000) >= threshold) == 3000 * fmr


def test_a_rate_without_threshold_names_those_with_one():
  calibration = calibrate(fmrs=(1e-1, 1e-2))
  assert calibration.threshold(0.01) == calibration.thresholds[1][1]
  with pytest.raises(
    ValueError, match=r'3,000 .*30\) those for 1e-1, 1e-2; give --fmr=1e-2$'
  ):
    calibration.threshold(1e-3)


def test_too_few_pairs_for_any_rate():
  with pytest.raises(ValueError, match='1e-2 needs 3,000 impostor pairs'):
    calibrate(2999, fmrs=(1e-3, 1e-2))


def test_counted_pairs_give_the_threshold_of_listed_ones():
  similarities = np.tanh(scores(4000))
  counts = streaming.Counts(
    np.bincount(streaming.bin_of(similarities), minlength=streaming.BINS),
    *(np.empty(0),) * 3,
  )
  counted, listed = (
    matcher.calibrate(pairs, comparison='cosine', dataset='', fmrs=(1e-2,))
    for pairs in (counts, similarities)
  )
  assert counted.impostor_pairs == listed.impostor_pairs
  assert counted.threshold(1e-2) == pytest.approx(
    listed.threshold(1e-2), abs=2**-15
  )


def test_fusion_golden():
  standard = matcher.standardise([1.0, 3.0], [0.0, 0.2])
  assert standard == ((2.0, 0.1), (1.0, 0.1))
  # ½ (1 + 2) and ½ (−1 + 0).
  np.testing.assert_allclose(
    matcher.fuse([3.0, 1.0], [0.3, 0.1], standard), [1.5, -0.5]
  )


def embed(images):
  """Unit vectors that know rotations and mirrors."""
  embeddings = images[:, :2, :3].reshape(len(images), -1).astype(np.float32)
  return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def test_turns_are_the_mean_score_over_rotations_and_mirrors():
  a, b = np.random.default_rng(0).integers(1, 255, (2, 1, 5, 5, 3), np.uint8)
  turns = [
    lambda x: x,
    lambda x: x[:, ::-1, ::-1],
    lambda x: x[:, ::-1],
    lambda x: x[:, :, ::-1],
    lambda x: x.transpose(0, 2, 1, 3),
    lambda x: x.transpose(0, 2, 1, 3)[:, ::-1],
    lambda x: x.transpose(0, 2, 1, 3)[:, :, ::-1],
    lambda x: x.transpose(0, 2, 1, 3)[:, ::-1, ::-1],
  ]
  each = [(embed(turn(a)) @ embed(turn(b)).T).item() for turn in turns]
  assert len({round(score, 6) for score in each}) == 8
  first, second = (matcher.embed_turns(embed, image) for image in (a, b))
  assert (first @ second.T).item() == pytest.approx(np.mean(each), abs=1e-6)
  assert np.linalg.norm(first) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
  'options, name',
  [
    ({}, 'cosine'),
    ({'turns': True}, 'cosine, 8 views'),
    (
      {'turns': True, 'correlation': True},
      'cosine, 8 views, with correlation',
    ),
  ],
)
def test_names_of_scores(options, name):
  assert matcher.comparison(**options) == name


def test_file_round_trip(weights):
  plain = calibrate(fmrs=(1e-2,))
  fused = calibrate(
    comparison='cosine, with correlation',
    standard=parts.Standard((0.1, 0.2), (0.3, 0.4)),
  )
  matcher.save(weights, [plain, fused])
  for calibration in (plain, fused):
    assert matcher.load(weights, calibration.comparison) == calibration
  content = json.loads((weights / 'calibration.json').read_text())
  assert content['calibrations'][0] == {
    'comparison': 'cosine',
    'set': 'noise',
    'impostor_pairs': 3000,
    'thresholds': [{'fmr': 0.01, 'threshold': plain.thresholds[0][1]}],
    'standard': None,
  }


def test_two_calibrations_of_one_comparison(weights):
  with pytest.raises(ValueError, match='two calibrations of one comparison'):
    matcher.save(weights, [calibrate(), calibrate()])


def test_another_comparison_names_those_that_are_there(weights):
  matcher.save(weights, [calibrate()])
  with pytest.raises(
    ValueError, match="no thresholds for 'cosine, 8 views', but for 'cosine'"
  ):
    matcher.load(weights, 'cosine, 8 views')


@pytest.mark.parametrize(
  'changes',
  [
    {'variables': {'params': {'a': np.ones(3, np.float32)}}},
    {'preprocess': {'image_size': 48}},
  ],
)
def test_thresholds_of_another_network_are_refused(weights, changes):
  matcher.save(weights, [calibrate()])
  export.save(weights, **{**NETWORK, **changes})
  with pytest.raises(ValueError, match='of other weights or another pre-proc'):
    matcher.load(weights, 'cosine')


@pytest.mark.parametrize(
  'change, message',
  [
    (lambda text: text[:-20], 'is damaged'),
    (lambda text: text.replace('"thresholds"', '"levels"'), 'is damaged'),
    (lambda text: text.replace('"format": 1', '"format": 2'), 'has format 2'),
    (lambda _: '[]', 'has format None'),
  ],
)
def test_damaged_file(weights, change, message):
  matcher.save(weights, [calibrate()])
  path = weights / 'calibration.json'
  path.write_text(change(path.read_text()))
  with pytest.raises(ValueError, match=message) as caught:
    matcher.load(weights, 'cosine')
  assert '\n' not in str(caught.value)


def test_missing_file(weights):
  with pytest.raises(
    matcher.NotCalibratedError, match=r'calibration.json is missing'
  ):
    matcher.load(weights, 'cosine')


@pytest.mark.parametrize('count', [0, 1, 4, 7])
def test_turns_of_many_images_are_seen_in_pieces(monkeypatch, count):
  generator = np.random.default_rng(count)
  images = generator.integers(0, 256, (count, 4, 4, 3), np.uint8)
  seen = []

  def embed(batch):
    seen.append(len(batch))
    rows = batch[:, :2].reshape(len(batch), 24).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)

  whole = matcher.embed_turns(embed, images)
  monkeypatch.setattr(matcher, 'CHUNK', 3)
  seen.clear()
  np.testing.assert_array_equal(matcher.embed_turns(embed, images), whole)
  assert whole.shape == (count, 8 * 24)
  assert max(seen) <= 3 * matcher.TURNS
