"""A recipe whose images stay on disk, against the same ones in memory."""

import jax
import numpy as np

from palmjax.data.sets import stored_images
from palmjax.engine import mesh
from palmjax.recipes.metric import recipe as metric_recipe
from palmjax.recipes.shared import palm_images


def test_a_set_that_stays_on_disk_gives_the_same_images(prepared):
  key = jax.random.key(0)
  held = palm_images.load(prepared, key)
  prepared.data.stream = True
  stored = palm_images.load(prepared, key)
  np.testing.assert_array_equal(
    stored.evaluation.images, held.evaluation.images
  )
  np.testing.assert_array_equal(stored.labelled.labels, held.labelled.labels)
  part, expected = (
    palm_images.turned(palms.labelled) for palms in (stored, held)
  )
  examples = stored_images.Examples(part.images, part.labels)
  assert len(examples) == len(expected.labels)
  for i in range(0, len(examples), 5):
    np.testing.assert_array_equal(examples[i]['image'], expected.images[i])
    assert examples[i]['label'] == expected.labels[i]
  stream = metric_recipe.batches(part, mesh.make(1), prepared.cnn, key)
  batch = next(stream(3))
  assert batch['image'].shape == (16, 32, 32, 3)
  images = np.asarray(batch['image'])
  for image, label in zip(images, np.asarray(batch['label']), strict=True):
    of_label = expected.images[expected.labels == label]
    assert any(np.array_equal(image, other) for other in of_label)
