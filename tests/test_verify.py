"""Two images, one answer, from the command line and from Python."""

import functools
import json
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from palmjax import verify
from palmjax.images import preprocess
from palmjax.inference import correlation, finder, matcher, verifier
from palmjax.models import backbones
from palmjax.networks import export, shipped
from palmjax.networks import palm as palm_networks

ROOT = pathlib.Path(__file__).parents[1]
SIZE = 32
NETWORK = {
  'name': 'mobilefacenet',
  'width': 0.125,
  'embedding_size': 16,
  'attention': False,
  'dtype': 'float32',
}
EVERY_SCORE = [
  [],
  ['--turns'],
  ['--correlation'],
  ['--turns', '--correlation'],
]


def pictures(count, seed, shape=(40, 40)):
  """Blurred noise, grey: uint8 [count, H, W]."""
  noise = np.random.default_rng(seed).normal(size=(count, *shape))
  noise = ndimage.gaussian_filter(noise, (0, 1.5, 1.5))
  return np.clip(128 + 200 * noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
  """The export of a network as it was drawn, calibrated on blurred noise."""
  directory = tmp_path_factory.mktemp('export')
  model = backbones.build(
    **{**NETWORK, 'dtype': np.dtype(NETWORK['dtype']).type}
  )
  spec = preprocess.Preprocess(image_size=SIZE)
  variables = jax.jit(functools.partial(model.init, train=False))(
    jax.random.key(0), np.zeros((1, *spec.shape), np.float32)
  )
  params = {'backbone': variables['params'], 'head': np.zeros((2, 16), 'f4')}
  export.save(
    directory,
    variables={'params': params, 'batch_stats': variables['batch_stats']},
    model={**NETWORK, 'loss': 'arcface', 'margin': 0.3, 'scale': 32.0},
    preprocess=spec.to_json(),
  )
  # 31,125 pairs: enough for an FMR of 1e-3, not for 1e-4.
  images = np.repeat(pictures(250, 1, (SIZE, SIZE))[..., None], 3, axis=-1)
  pairs = np.triu_indices(len(images), 1)
  templates = jax.jit(correlation.templates)(
    images[..., :1] / np.float32(127.5) - 1
  )
  correlations = np.asarray(jax.jit(correlation.all_similarities)(templates))[
    pairs
  ]
  network = palm_networks.load(directory)
  calibrations = []
  for views, embeddings in (
    (False, network.embed(images)),
    (True, matcher.embed_turns(network.embed, images)),
  ):
    cosines = (embeddings @ embeddings.T)[pairs]
    standard = matcher.standardise(cosines, correlations)
    calibrations += [
      matcher.calibrate(
        cosines,
        comparison=matcher.comparison(turns=views),
        dataset='blurred noise',
      ),
      matcher.calibrate(
        matcher.fuse(cosines, correlations, standard),
        comparison=matcher.comparison(turns=views, correlation=True),
        dataset='blurred noise',
        standard=standard,
      ),
    ]
  matcher.save(directory, calibrations)
  return directory


@pytest.fixture
def save(tmp_path):
  """Writes a picture, by default always the same one; returns its path."""

  def save(name, seed=7, change=lambda image: image, **options):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = change(Image.fromarray(pictures(1, seed, (48, 36))[0]))
    image.save(path, **options)
    return str(path)

  return save


_networks = {}
_of_export = palm_networks.of_export


def of_export_once(found, directory):
  """A network that is loaded anew is compiled anew."""
  key = (*found.digests.values(), str(found.model))
  if key not in _networks:
    _networks[key] = _of_export(found, directory)
  return _networks[key]


@pytest.fixture
def ask(trained, capsys, monkeypatch):
  """Runs the command; returns (code, stdout, stderr)."""
  monkeypatch.setattr(palm_networks, 'of_export', of_export_once)

  def ask(*arguments):
    code = verify.main([f'--export={trained}', *map(str, arguments)])
    return code, *capsys.readouterr()

  return ask


@pytest.fixture
def answer(ask):
  """The answer of a run that has one, parsed."""

  def answer(*arguments):
    code, output, errors = ask('--json', *arguments)
    assert (code, errors) == (0, '')
    return json.loads(output)

  return answer


@pytest.fixture
def refusal(ask):
  """The error of a run that has no answer: one line."""

  def refusal(*arguments):
    code, output, errors = ask(*arguments)
    assert (code, output) == (1, '')
    assert errors.startswith('palmjax: ')
    assert errors.count('\n') == 1
    return errors

  return refusal


@pytest.mark.parametrize('options', EVERY_SCORE)
def test_same_and_different(answer, save, options):
  one = save('a.png')
  # Sensor noise: hardly another picture.
  again = save('b.png', change=lambda image: image.rotate(1))
  other = save('c.png', seed=8)
  same = answer(one, again, *options)
  different = answer(one, other, *options)
  assert same['decision'] == 'same'
  assert different['decision'] == 'different'
  assert different['score'] < same['threshold'] <= same['score']
  assert same['comparison'] == matcher.comparison(
    turns='--turns' in options, correlation='--correlation' in options
  )


def test_what_the_threshold_was_set_on(ask, answer, save):
  images = save('a.png'), save('b.png', seed=8)
  strict, loose = answer(*images), answer(*images, '--fmr=1e-2')
  assert strict['threshold'] > loose['threshold']
  assert (strict['fmr'], strict['impostor_pairs']) == (1e-3, 31_125)
  assert strict['set'] == 'blurred noise'
  code, text, _ = ask(*images)
  assert code == 0
  assert text == (
    f'different palm: score {strict["score"]:.4f}, threshold '
    f'{strict["threshold"]:.4f}\n'
    'set for an FMR of 1e-3 on 31,125 impostor pairs: blurred noise (cosine)\n'
  )


def test_score_is_the_product_of_embeddings(answer, save, trained):
  images = pictures(2, 3)
  paths = [
    save(f'{i}.png', change=lambda _, image=image: Image.fromarray(image))
    for i, image in enumerate(images)
  ]
  first, second = verifier.load(trained).embed(list(images))
  assert answer(*paths)['score'] == pytest.approx(first @ second, abs=1e-5)


@pytest.fixture(scope='session')
def euclidean(trained, tmp_path_factory):
  """The same network, as a loss on Euclidean distances would store it."""
  directory = tmp_path_factory.mktemp('euclidean')
  found = export.load(trained)
  export.save(
    directory,
    variables=found.variables,
    model=found.model,
    preprocess={**found.preprocess, 'metric': 'euclidean'},
  )
  matcher.save(
    directory,
    [
      matcher.load(
        trained, matcher.comparison(turns=views, correlation=correlated)
      )
      for views in (False, True)
      for correlated in (False, True)
    ],
  )
  return directory


@pytest.mark.parametrize('options', [[], ['--turns']])
@pytest.mark.parametrize('seed, decision', [(7, 'same'), (8, 'different')])
def test_distances_of_a_network_trained_by_them(
  answer, save, euclidean, options, seed, decision
):
  images = save('a.png'), save('b.png', seed, lambda image: image.rotate(1))
  cosine = answer(*images, *options)
  found = answer(*images, *options, f'--export={euclidean}')
  assert (cosine['measure'], found['measure']) == ('score', 'distance')
  assert found['decision'] == cosine['decision'] == decision
  for name in ('score', 'threshold'):
    want = np.sqrt(2 - 2 * cosine[name])
    assert found[name] == pytest.approx(want, abs=1e-5)
  assert (found['score'] <= found['threshold']) == (decision == 'same')
  assert found['comparison'].startswith('euclidean')


def test_text_of_distances(ask, save, euclidean, tmp_path):
  images = [save(f'gallery/{i}.png', seed=i) for i in range(3)]
  _, text, _ = ask(images[0], images[1], f'--export={euclidean}')
  assert text.startswith('different palm: distance ')
  assert text.endswith(' (euclidean)\n')
  _, text, _ = ask(
    images[0], f'--gallery={tmp_path}/gallery', f'--export={euclidean}'
  )
  head, *rows = [line.split() for line in text.splitlines()[:4]]
  assert head == ['rank', 'distance', 'decision', 'image']
  assert rows[0][2:] == ['same', '0.png']
  # The most alike first: rising.
  distances = [float(row[1]) for row in rows]
  assert distances == sorted(distances)
  assert distances[0] < 2e-3


def test_a_score_with_correlation_is_no_distance(answer, save, euclidean):
  images = save('a.png'), save('b.png', seed=8)
  cosine = answer(*images, '--correlation')
  found = answer(*images, '--correlation', f'--export={euclidean}')
  assert found == cosine


def test_embeddings_of_any_size(trained):
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
    np.testing.assert_allclose(got[a], got[b], atol=1e-6)
  assert np.abs(got[0] - got[3]).max() > 1e-3
  for image, embedding in zip(images, got, strict=True):
    np.testing.assert_allclose(embed([image])[0], embedding, atol=1e-6)


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
  v = verifier.load(trained)
  palms = [np.asarray(Image.open(path)) for path in paths]
  found = v.compare(*palms)
  assert found.decision == want['decision'] == 'different'
  assert found.score == pytest.approx(want['score'], abs=1e-6)
  assert found.threshold == pytest.approx(want['threshold'])
  assert found.set_on == '31,125 impostor pairs: blurred noise'
  assert found.same_side is None
  assert v.compare(palms[0], palms[0]).decision == 'same'
  scores = v.scores(palms, palms)
  assert (scores.shape, scores.dtype) == ((2, 2), np.float32)
  same = scores >= v.threshold(fmr=1e-3)
  assert same.tolist() == [[True, False], [False, True]]
  with pytest.raises(ValueError, match='no threshold for an FMR of 1e-4'):
    v.compare(*palms, fmr=1e-4)
  with pytest.raises(ValueError, match='no palm to compare'):
    v.scores([], palms)


def test_a_network_without_thresholds_embeds_and_scores(trained, tmp_path):
  for name in ('weights.npz', 'model.json', 'preprocess.json'):
    shutil.copy(trained / name, tmp_path)
  v = verifier.load(tmp_path)
  palms = list(pictures(2, 3))
  assert v.scores(palms, palms).shape == (2, 2)
  with pytest.raises(ValueError, match=r'calibration\.json is missing'):
    v.compare(*palms)


def test_logits_of_a_network_with_a_margin(trained, tmp_path):
  network = palm_networks.load(trained)
  palms = np.repeat(pictures(3, 3, (SIZE, SIZE))[..., None], 3, axis=-1)
  # Its class weights are zero, and so are all cosines.
  np.testing.assert_array_equal(network.classify(palms), np.zeros((3, 2)))
  found = export.load(trained)
  for loss, message in (
    ('arcface', 'does not tell its scale'),
    ('triplet', 'has no logits to classify with'),
  ):
    export.save(
      tmp_path,
      variables=found.variables,
      model={**NETWORK, 'loss': loss},
      preprocess=found.preprocess,
    )
    with pytest.raises(ValueError, match=message):
      palm_networks.load(tmp_path).classify(palms)
  with pytest.raises(ValueError, match='has no class weights'):
    palm_networks.load(shipped.PALM).classify(palms)


def test_networks_of_another_kind(refusal, save):
  images = save('a.png'), save('b.png')
  error = refusal(*images, f'--export={shipped.HAND}')
  assert 'holds a hand detector; give the export of a palm network' in error


def grey_16_bit(image):
  return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def sideways(image):
  return image.transpose(Image.Transpose.ROTATE_90)


def exif(orientation):
  tags = Image.Exif()
  tags[0x0112] = orientation
  return tags


@pytest.mark.parametrize(
  'name, options',
  [
    ('16bit.png', {'change': grey_16_bit}),
    ('alpha.png', {'change': lambda image: image.convert('RGBA')}),
    # A camera that was turned: the viewer has to turn it back.
    ('exif.png', {'change': sideways, 'exif': exif(6)}),
    ('colour.bmp', {'change': lambda image: image.convert('RGB')}),
  ],
)
def test_one_picture_in_other_files_has_one_score(answer, save, name, options):
  upright, other = save('a.png'), save('b.png', seed=8)
  want = answer(upright, other)['score']
  assert answer(save(name, **options), other)['score'] == want


def test_cmyk_jpeg_is_the_picture_but_for_its_coding(answer, save):
  cmyk = save('a.jpg', change=lambda image: image.convert('CMYK'), quality=95)
  assert answer(cmyk, save('b.png'))['score'] > 0.999


def black(size):
  return lambda _: Image.new('RGB', size)


def test_images_without_an_answer(refusal, save, tmp_path):
  good = save('a.png')
  text = tmp_path / 'text.jpg'
  text.write_text('not a palm')
  # 100.02 megapixels in 13 kB.
  huge = save('huge.png', change=lambda _: Image.new('1', (10_002, 10_000), 1))
  for bad, message in (
    (text, 'text.jpg: cannot identify image file'),
    (tmp_path / 'none.jpg', 'none.jpg: not a file'),
    (tmp_path, 'not a file'),
    (huge, 'huge.png: 10002 × 10000 pixels are more than 100 megapixels'),
    (save('black.png', change=black((64, 64))), 'black.png: one colour'),
    (save('pixel.png', change=black((1, 1))), 'pixel.png: one colour'),
    (save('red.png', change=lambda _: Image.new('RGB', (9, 9), 'red')), 'one'),
  ):
    assert message in refusal(good, bad)
    assert message in refusal(bad, good)


def test_gallery_of_identities(ask, answer, save, tmp_path):
  probe = save('probe.png', seed=1)
  for who in range(1, 5):
    for image in range(2):
      save(
        f'gallery/p{who}/{image}.png',
        seed=who,
        change=lambda image, turn=image: image.rotate(2 * turn),
      )
  (tmp_path / 'gallery' / 'p1' / 'broken.png').write_bytes(b'')
  save('gallery/p1/.hidden.png')
  found = answer(probe, f'--gallery={tmp_path}/gallery', '--top=3')
  assert (found['identities'], found['images']) == (4, 8)
  assert len(found['left_out']) == 1
  assert 'broken.png' in found['left_out'][0]
  assert [row['rank'] for row in found['ranks']] == [1, 2, 3]
  # The better one of its two images.
  assert found['ranks'][0]['image'] == 'p1/0.png'
  assert found['ranks'][0]['score'] == pytest.approx(1.0, abs=1e-5)
  assert found['ranks'][0]['decision'] == 'same'
  falling = [row['score'] for row in found['ranks']]
  assert falling == sorted(falling, reverse=True)
  assert {row['identity'] for row in found['ranks']} <= {'p1', 'p2', 'p3', 'p4'}

  code, text, _ = ask(probe, f'--gallery={tmp_path}/gallery', '--top=1')
  lines = text.splitlines()
  assert code == 0
  assert lines[1].split() == ['1', '1.0000', 'same', 'p1/0.png']
  assert 'broken.png' in lines[2]
  assert lines[-1].startswith('4 palms, 8 images: at most 0.008 of strangers')


def test_a_palm_of_the_gallery_that_cannot_be_read(ask, save, tmp_path):
  probe = save('probe.png', seed=1)
  save('gallery/p1/0.png', seed=1)
  save('gallery/p2/0.png', change=black((8, 8)))
  code, text, _ = ask(probe, f'--gallery={tmp_path}/gallery')
  # Nobody can be found to be p2: an answer, but not of the whole gallery.
  assert code == 3
  assert text.splitlines()[1].endswith('p1/0.png')
  assert 'left out: p2: no image of this palm can be read' in text


def test_equal_scores_are_ranked_by_name(answer, save, tmp_path):
  probe = save('probe.png')
  for name in ('b', 'c', 'a'):
    save(f'gallery/{name}.png')
  found = answer(probe, f'--gallery={tmp_path}/gallery')
  assert [row['image'] for row in found['ranks']] == ['a.png', 'b.png', 'c.png']
  # A palm and itself: no cosine is above 1.
  assert all(0.999 < row['score'] <= 1.0 for row in found['ranks'])


@pytest.mark.parametrize('options', EVERY_SCORE)
def test_gallery_scores_are_those_of_pairs(answer, save, tmp_path, options):
  probe = save('probe.png')
  paths = {f'{i}.png': save(f'flat/{i}.png', seed=i) for i in range(3)}
  found = answer(probe, f'--gallery={tmp_path}/flat', *options)
  assert len(found['ranks']) == 3
  for row in found['ranks']:
    pair = answer(probe, paths[row['image']], *options)
    assert row['identity'] == row['image']
    assert row['score'] == pytest.approx(pair['score'], abs=1e-5)


def test_galleries_without_an_answer(refusal, save, tmp_path):
  probe = save('a.png')
  (tmp_path / 'empty' / 'p1').mkdir(parents=True)
  (tmp_path / 'empty' / 'readme.txt').write_text('no image')
  save('dark/p1/1.png', change=black((8, 8)))
  for directory, message in (
    ('empty', 'no image in'),
    ('nowhere', 'there is no folder'),
    ('dark', 'no image of the gallery can be compared'),
  ):
    assert message in refusal(probe, f'--gallery={tmp_path / directory}')


def test_rate_that_no_pairs_support(refusal, save):
  error = refusal(save('a.png'), save('b.png'), '--fmr=1e-4')
  assert 'no threshold for an FMR of 1e-4' in error
  assert '31,125 impostor pairs support those for 1e-2, 1e-3' in error


def test_score_without_threshold(refusal, save, trained, tmp_path):
  for name in ('weights.npz', 'model.json', 'preprocess.json'):
    content = (trained / name).read_bytes()
    (tmp_path / name).write_bytes(content)
  images = save('a.png'), save('b.png')
  assert 'calibration.json is missing' in refusal(
    *images, f'--export={tmp_path}'
  )
  matcher.save(tmp_path, [matcher.load(trained, 'cosine')])
  assert "no thresholds for 'cosine, 8 views'" in refusal(
    *images, f'--export={tmp_path}', '--turns'
  )


def test_package_without_weights(refusal, save, tmp_path, monkeypatch):
  monkeypatch.setattr(shipped, 'PALM', tmp_path / 'none')
  message = 'holds no weights: install palmjax again, or train'
  assert message in refusal(
    save('a.png'), save('b.png'), f'--export={tmp_path / "none"}'
  )
  with pytest.raises(FileNotFoundError, match=message):
    verifier.load()


def test_export_that_is_none(refusal, save, tmp_path):
  error = refusal(save('a.png'), save('b.png'), f'--export={tmp_path}')
  assert 'model.json is missing' in error


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['a.png'], 'give two images, or one and --gallery=DIR'),
    (['a.png', 'b.png', 'c.png'], 'give two images'),
    (['a.png', 'b.png', '--gallery=G'], 'give two images'),
    (['a.png', 'b.png', '--fmr=2'], '--fmr=2.0: give a rate'),
    (['a.png', 'b.png', '--fmr=nan'], '--fmr=nan: give a rate'),
    (['a.png', '--gallery=G', '--top=0'], '--top=0: give 1 or more'),
  ],
)
def test_wrong_command_line(ask, capsys, arguments, message):
  with pytest.raises(SystemExit) as stop:
    ask(*arguments)
  assert stop.value.code == 2
  assert message in capsys.readouterr().err


def test_as_a_program(trained, save):
  # Pillow warns of so many pixels: nothing of it may stand beside our line.
  huge = save('huge.png', change=lambda _: Image.new('1', (10_002, 10_000), 1))
  process = subprocess.run(
    [
      *(sys.executable, '-m', 'palmjax.verify'),
      *(save('a.png'), huge, f'--export={trained}'),
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert process.returncode == 1
  assert process.stdout == ''
  assert process.stderr.startswith('palmjax: ')
  assert process.stderr.count('\n') == 1


class Photos:
  """Photos of hands, and what stands in for their detector."""

  def __init__(self, directory):
    self.directory, self.hands = directory, {}

  def save(self, name, *palms):
    """Palms: (seed, side, changes of the `Hand`); returns the path."""
    # Told apart by their widths.
    photo = np.full((100, 60 * len(palms) + 20 + len(self.hands), 3), 90, 'u1')
    found = []
    for k, (seed, side, changes) in enumerate(palms):
      left = 10 + 60 * k
      photo[30:70, left : left + 40] = pictures(1, seed)[0][..., None]
      d = 40 / 1.8
      points = np.array([[-0.5, -0.1], [0.5, -0.1], [0.0, 2.2]]) * d
      points *= [1 if side == 'left' else -1, 1]
      hand = finder.Hand(
        np.array([left, 10, left + 40, 90], float),
        'five',
        0.9 - 0.1 * k,
        np.add(points, [left + 20, 30]),
        0.8,
      )
      found.append(hand._replace(**changes))
    self.hands[photo.shape] = found
    path = self.directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path)
    return str(path)

  def find(self, photo):
    return self.hands[photo.shape]


@pytest.fixture
def photos(tmp_path, monkeypatch):
  photos = Photos(tmp_path)
  monkeypatch.setattr(finder, 'load', lambda *_, **__: photos.find)
  return photos


def test_photos_are_compared_as_their_palms_are(answer, photos, tmp_path):
  one = photos.save('a.png', (7, 'left', {}))
  again = photos.save('b.png', (7, 'left', {}))
  other = photos.save('c.png', (8, 'left', {}))
  flat = [tmp_path / f'{seed}.png' for seed in (7, 8)]
  for seed, path in zip((7, 8), flat, strict=True):
    Image.fromarray(pictures(1, seed)[0]).save(path)
  want = answer(*flat)['score']
  same = answer(one, again, '--photos')
  assert (same['decision'], same['same_side']) == ('same', True)
  assert same['score'] == pytest.approx(1.0, abs=1e-5)
  different = answer(one, other, '--photos')
  assert different['decision'] == 'different'
  # Shrunk in another way.
  assert different['score'] == pytest.approx(want, abs=0.05)
  assert different['photos'] == [
    {
      'image': path,
      'hand': 'left',
      'gesture': 'five',
      'hand_score': 0.9,
      'palms': 1,
    }
    for path in (one, other)
  ]


def test_hands_of_two_sides_and_several_palms_are_told(ask, answer, photos):
  left = photos.save('a.png', (7, 'left', {}))
  both = photos.save('b.png', (8, 'right', {}), (7, 'left', {}))
  found = answer(left, both, '--photos')
  assert found['same_side'] is False
  assert [row['hand'] for row in found['photos']] == ['left', 'right']
  assert [row['palms'] for row in found['photos']] == [1, 2]
  _, text, _ = ask(left, both, '--photos')
  lines = text.splitlines()
  assert lines[2] == f"{left}: left hand, 'five' with a score of 0.90"
  assert lines[3].endswith('of 0.90; the best of 2 palms')
  assert lines[4].startswith('a left and a right hand: two palms')
  assert 'one of them is mirrored' in lines[4]
  # Without photos nobody knows.
  assert 'same_side' not in answer(left, both)


def test_two_sides_are_two_palms_however_alike(
  answer, photos, monkeypatch, tmp_path
):
  monkeypatch.setattr(
    verifier.Verifier,
    'scores',
    lambda self, probes, gallery: np.full((1, len(gallery)), 0.999),
  )
  left = photos.save('a.png', (7, 'left', {}))
  right = photos.save('gallery/p1/b.png', (8, 'right', {}))
  found = answer(left, left, '--photos')
  assert (found['decision'], found['score']) == ('same', 0.999)
  found = answer(left, right, '--photos')
  assert (found['decision'], found['score']) == ('different', 0.999)
  arguments = left, f'--gallery={tmp_path}/gallery', '--photos'
  (row,) = answer(*arguments)['ranks']
  assert (row['decision'], row['score']) == ('different', 0.999)


def test_photos_without_a_palm(refusal, photos, save):
  good = photos.save('a.png', (7, 'left', {}))
  for bad, message in (
    (photos.save('b.png'), 'b.png: no hand found; show a whole hand'),
    (
      photos.save('c.png', (7, 'left', {'facing': 0.1})),
      "c.png: no palm found, but the back of 'five'; show an open hand",
    ),
    (
      photos.save('d.png', (7, 'left', {'gesture': 'fist'})),
      "d.png: no palm found, but 'fist'",
    ),
    ('none.png', 'none.png: not a file'),
  ):
    assert message in refusal(good, bad, '--photos')
    assert message in refusal(bad, good, '--photos')


def test_galleries_of_photos(answer, ask, photos, tmp_path):
  probe = photos.save('probe.png', (1, 'right', {}))
  for seed, side in ((1, 'right'), (2, 'left')):
    photos.save(f'gallery/p{seed}/a.png', (seed, side, {}))
  photos.save('gallery/p2/b.png', (2, 'left', {'facing': 0.0}))
  arguments = probe, f'--gallery={tmp_path}/gallery', '--photos'
  found = answer(*arguments)
  assert [row['image'] for row in found['ranks']] == ['p1/a.png', 'p2/a.png']
  assert [row['hand'] for row in found['ranks']] == ['right', 'left']
  assert found['ranks'][0]['score'] == pytest.approx(1.0, abs=1e-5)
  assert 'b.png: no palm found' in found['left_out'][0]
  assert found['photos'][0]['hand'] == 'right'
  _, text, _ = ask(*arguments)
  lines = text.splitlines()
  assert lines[1].endswith('p1/a.png (right hand)')
  assert lines[-1].startswith(f'{probe}: right hand')


def test_photos_need_a_detector(refusal, save, tmp_path, monkeypatch):
  monkeypatch.setattr(shipped, 'HAND', tmp_path / 'none')
  images = save('a.png'), save('b.png')
  error = refusal(*images, '--photos', f'--detector={tmp_path / "none"}')
  assert 'holds no weights: install palmjax again, or train networks' in error
  error = refusal(*images, '--photos', f'--detector={tmp_path}')
  assert 'model.json is missing' in error


def test_another_reader_of_palm_frames_is_asked_for_by_name(
  refusal, save, tmp_path
):
  none = tmp_path / 'none'
  images = save('a.png'), save('b.png')
  error = refusal(*images, '--photos', f'--palm-frame={none}')
  assert f'{none}/model.json is missing' in error
