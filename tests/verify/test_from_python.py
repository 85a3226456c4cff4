"""The same answers from Python."""

import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from palmjax.inference import palm_files, verifier
from palmjax.networks import export, shipped
from palmjax.networks import palm as palm_networks


def test_embeddings_of_any_size(pictures, trained):
  grey, wide = pictures(1, 3, (32, 32))[0], pictures(1, 4, (32, 50))[0]
  embed = verifier.load(trained).embed
  images = [
    grey,
    grey[..., None],
    np.repeat(grey[..., None], 3, axis=-1),
    wide,
    wide[:, 9:41],
    wide[:3, :2],
    wide.repeat(20, axis=0),
  ]
  got = embed(images)
  assert got.shape == (7, 16)
  assert got.dtype == np.float32
  np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1.0, atol=1e-5)
  # Grey in each of its shapes; of the wide one, its middle.
  for a, b in ((0, 1), (0, 2), (3, 4)):
    np.testing.assert_allclose(got[a], got[b], atol=1e-5)
  assert np.abs(got[0] - got[3]).max() > 1e-3
  # Some CPUs round a batch otherwise than one image.
  for image, embedding in zip(images, got, strict=True):
    np.testing.assert_allclose(embed([image])[0], embedding, atol=1e-5)


def test_no_image_has_no_embedding(trained):
  empty = verifier.load(trained).embed([])
  assert (empty.shape, empty.dtype) == ((0, 16), np.float32)


@pytest.mark.parametrize(
  'images, message',
  [
    (
      [np.zeros((8, 8), np.uint8), np.zeros((8, 8))],
      r'images\[1\]: float64 pixels',
    ),
    ([np.zeros((8, 8, 4), np.uint8)], r'images\[0\]: shape \(8, 8, 4\)'),
    # The rows of one image would pass for grey images.
    (np.zeros((8, 8, 3), np.uint8), 'give a list of images'),
  ],
)
def test_what_cannot_be_embedded(trained, images, message):
  with pytest.raises(ValueError, match=message):
    verifier.load(trained).embed(images)


def test_the_weights_of_the_package_by_another_path(
  trained, tmp_path, monkeypatch
):
  copy = tmp_path / 'copy'
  shutil.copytree(shipped.PALM, copy)
  monkeypatch.chdir(shipped.PALM.parent)
  for path in (shipped.PALM, copy, shipped.PALM.name):
    assert verifier.load(path).turns
  assert not verifier.load(trained).turns


def test_decisions_from_python(answer, save, trained):
  paths = save('a.png'), save('b.png', seed=8)
  want = answer(*paths)
  v = verifier.load(trained, score='network')
  palms = [np.asarray(Image.open(path)) for path in paths]
  comparison = v.compare(*palms)
  assert comparison.decision == want['decision'] == 'different'
  assert comparison.score == pytest.approx(want['score'], abs=1e-6)
  assert comparison.threshold == pytest.approx(want['threshold'])
  assert comparison.set_on == '31,125 impostor pairs: blurred noise'
  assert comparison.same_side is None
  assert v.compare(palms[0], palms[0]).decision == 'same'
  scores = v.scores(palms, palms)
  assert (scores.shape, scores.dtype) == ((2, 2), np.float32)
  same = scores >= v.threshold(fmr=1e-3)
  assert same.tolist() == [[True, False], [False, True]]
  with pytest.raises(ValueError, match='no threshold for an FMR of 1e-4'):
    v.compare(*palms, fmr=1e-4)
  with pytest.raises(ValueError, match='no palm to compare'):
    v.scores([], palms)


def test_whole_hands_are_warned_of(trained, pictures):
  v = verifier.load(trained, score='network')
  hand = np.full((64, 64, 3), (180, 182, 184), np.uint8)
  hand[12:, 16:48] = (200, 150, 120)
  wide = pictures(1, 4, (32, 50))[0]
  palm = pictures(1, 3, (64, 64))[0]
  for image, doubt in (
    (hand, 'seems to show a whole hand'),
    (wide, 'is no square cut-out'),
  ):
    with pytest.warns(
      UserWarning, match=rf'^images\[1\] {doubt}; cut palms'
    ) as w:
      v.compare(palm, image)
    assert len(w) == 1
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      v.compare(palm, palm_files.Palm(hand))  # Cut out by us.
      v.compare(palm, palm)


def test_a_network_without_thresholds_embeds_and_scores(
  pictures, trained, tmp_path
):
  for name in ('weights.npz', 'model.json', 'preprocess.json'):
    shutil.copy(trained / name, tmp_path)
  v = verifier.load(tmp_path, score='network')
  palms = list(pictures(2, 3))
  assert v.scores(palms, palms).shape == (2, 2)
  with pytest.raises(ValueError, match=r'calibration\.json is missing'):
    v.compare(*palms)


def test_logits_of_a_network_with_a_margin(pictures, trained, tmp_path):
  network = palm_networks.load(trained)
  palms = np.repeat(pictures(3, 3, (32, 32))[..., None], 3, axis=-1)
  # Its class weights are zero, and so are all cosines.
  np.testing.assert_array_equal(network.classify(palms), np.zeros((3, 2)))
  exported = export.load(trained)
  model = {k: v for k, v in exported.model.items() if k != 'scale'}
  for loss, message in (
    ('arcface', 'does not tell its scale'),
    ('triplet', 'has no logits to classify with'),
  ):
    export.save(
      tmp_path,
      variables=exported.variables,
      model={**model, 'loss': loss},
      preprocess=exported.preprocess,
    )
    with pytest.raises(ValueError, match=message):
      palm_networks.load(tmp_path).classify(palms)
  with pytest.raises(ValueError, match='has no class weights'):
    palm_networks.load(shipped.PALM).classify(palms)
