"""What is told of palms that may mislead."""

import numpy as np
import pytest

from palmjax.inference import cut_out, palm_files, palm_warnings

IMAGE = np.zeros((64, 64, 3), np.uint8)


def test_images_that_may_be_whole_hands_are_named():
  palms = {
    'a': palm_files.Palm(IMAGE),
    'b': palm_files.Palm(IMAGE, doubt='is no square cut-out'),
    'c': palm_files.Palm(IMAGE, doubt=cut_out.HAND),
  }
  assert palm_warnings.lines({'a': palms['a']}) == []
  assert palm_warnings.lines({'b': palms['b']}) == [
    'b is no square cut-out; if an image shows a whole hand add --photos'
  ]
  assert palm_warnings.lines(palms) == [
    'b is no square cut-out, c seems to show a whole hand; if an image shows a '
    'whole hand add --photos'
  ]
  many = {f'p{i}': palms['c'] for i in range(7)}
  (line,) = palm_warnings.lines(many)
  assert 'p4 seems to show a whole hand and 2 more; if an image' in line


@pytest.mark.parametrize(
  'widths, line',
  [
    ([64.0, 200.0], None),
    (
      [200.0, 63.9, 64.0],
      'p1: the palm is 63 px wide and was enlarged to 64; hold the hand nearer '
      'to the camera',
    ),
    (
      [20.0, 30.5],
      'p0: the palm is 20 px wide and was enlarged to 64, and so was 1 more; '
      'hold the hand nearer to the camera',
    ),
    ([20.0, 30.5, 40.0], 'enlarged to 64, and so were 2 more; hold'),
  ],
)
def test_palms_that_were_enlarged_are_told(widths, line):
  palms = {
    f'p{i}': palm_files.Palm(IMAGE, width=width)
    for i, width in enumerate(widths)
  }
  texts = palm_warnings.lines(palms)
  assert len(texts) == (line is not None)
  assert not texts or line in texts[0]


def test_pictures_of_detect_are_told():
  (line,) = palm_warnings.lines({}, 2)
  assert line == (
    'pictures of palmjax.detect are passed over, as they are no palms: 2 '
    '*_boxes.jpg'
  )


def test_a_set_of_whole_hands_is_refused():
  palms = {f'p{i}': palm_files.Palm(IMAGE) for i in range(30)}
  # Of palms that are no squares the middle is taken.
  palms |= {f'x{i}': palm_files.Palm(IMAGE, doubt='odd') for i in range(10)}
  hand = palm_files.Palm(IMAGE, doubt=cut_out.HAND)
  palms |= {f'p{i}': hand for i in range(20)}
  palm_warnings.require_palms_alone(palms)
  palms['p20'] = hand
  with pytest.raises(ValueError, match=r'^21 of 40 images seem to show whole'):
    palm_warnings.require_palms_alone(palms)
