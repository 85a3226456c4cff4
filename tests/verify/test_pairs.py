"""Two images, one answer."""

import numpy as np
import pytest
from PIL import Image

from palmjax.inference import matcher, verifier
from palmjax.networks import export


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
    turns='--turns' in options, correlation='--score=correlation' in options
  )


def test_what_the_threshold_was_set_on(ask, answer, save):
  images = save('a.png'), save('b.png', seed=8)
  strict, loose = answer(*images), answer(*images, '--fmr=1e-2')
  assert strict['threshold'] > loose['threshold']
  assert strict['fmr'] == 1e-3
  assert strict['set_on'] == '31,125 impostor pairs: blurred noise'
  assert strict['calibrated'] is False
  code, text, _ = ask(*images)
  assert code == 0
  assert text == (
    f'different palms: score {strict["score"]:.4f}, threshold '
    f'{strict["threshold"]:.4f}\n'
    'set for an FMR of 1e-3 on 31,125 impostor pairs: blurred noise (cosine)\n'
    'not calibrated for this camera; see python -m palmjax.calibrate\n'
  )


def test_score_is_the_product_of_embeddings(pictures, answer, save, trained):
  images = pictures(2, 3)
  paths = [
    save(f'{i}.png', change=lambda _, image=image: Image.fromarray(image))
    for i, image in enumerate(images)
  ]
  first, second = verifier.load(trained, score='network').embed(list(images))
  assert answer(*paths)['score'] == pytest.approx(first @ second, abs=1e-5)


@pytest.fixture(scope='session')
def euclidean(trained, tmp_path_factory):
  """The same network, as a loss on Euclidean distances would store it."""
  directory = tmp_path_factory.mktemp('euclidean')
  exported = export.load(trained)
  export.save(
    directory,
    variables=exported.variables,
    model=exported.model,
    preprocess={**exported.preprocess, 'metric': 'euclidean'},
  )
  matcher.save(
    directory,
    [
      matcher.load(
        trained, matcher.comparison(turns=turns, correlation=correlated)
      )
      for turns in (False, True)
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
  distance = answer(*images, *options, f'--export={euclidean}')
  assert (cosine['measure'], distance['measure']) == ('score', 'distance')
  assert distance['decision'] == cosine['decision'] == decision
  for name in ('score', 'threshold'):
    want = np.sqrt(2 - 2 * cosine[name])
    assert distance[name] == pytest.approx(want, abs=1e-5)
  assert (distance['score'] <= distance['threshold']) == (decision == 'same')
  assert distance['comparison'].startswith('euclidean')


def test_text_of_distances(ask, save, euclidean, tmp_path):
  images = [save(f'gallery/{i}.png', seed=i) for i in range(3)]
  _, text, _ = ask(images[0], images[1], f'--export={euclidean}')
  assert text.startswith('different palms: distance ')
  assert text.splitlines()[1].endswith(' (euclidean)')
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
  cosine = answer(*images, '--score=correlation')
  distance = answer(*images, '--score=correlation', f'--export={euclidean}')
  assert distance == cosine


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
