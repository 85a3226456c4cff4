"""Images that stay on disk: an index reads one, an array of them selects."""

import numpy as np

from palmjax.data.sets import stored_images

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)


class Source:
  """In place of a prepared set: remembers what was read."""

  def __init__(self):
    self.asked = []

  def __len__(self):
    return len(IMAGES)

  def __getitem__(self, index):
    self.asked.append(index)
    return {'image': IMAGES[index]}


def test_nothing_is_read_before_it_is_asked_for():
  source = Source()
  subset = stored_images.whole(source)[np.array([3, 1, 4])]
  assert (len(subset), source.asked) == (3, [])
  np.testing.assert_array_equal(subset[1], IMAGES[1])
  assert source.asked == [1]
  np.testing.assert_array_equal(subset.read(), IMAGES[[3, 1, 4]])


def test_selections_keep_their_turns():
  ways = np.array([0, 3, 4, 7, 1])
  turned = stored_images.StoredImages(Source(), np.arange(5), ways)
  part = turned[np.array([False, True, False, True, True])]
  assert part.ways.tolist() == [3, 7, 1]
  for image, index in zip(part.read(), (1, 3, 4), strict=True):
    expected = stored_images.turn(IMAGES[index], ways[index])
    np.testing.assert_array_equal(image, expected)


def test_examples_are_images_with_their_labels():
  labels = np.array([7, 7, 8, 9, 9])
  examples = stored_images.Examples(stored_images.whole(Source()), labels)
  assert len(examples) == 5
  assert examples[2]['label'] == 8
  np.testing.assert_array_equal(examples[2]['image'], IMAGES[2])


def test_the_8_turns_of_a_square_differ():
  """By hand: a quarter turn takes the first row to the first column."""
  turns = [stored_images.turn(IMAGES[0], way) for way in range(8)]
  assert len({turn.tobytes() for turn in turns}) == 8
  np.testing.assert_array_equal(turns[1][:, 0], IMAGES[0][0, ::-1])
  np.testing.assert_array_equal(turns[4], IMAGES[0][:, ::-1])
  np.testing.assert_array_equal(turns[6], IMAGES[0][::-1])
