"""Palm networks as ONNX, run by onnxruntime."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

from palmjax.images import preprocess
from palmjax.networks import palm, shipped
from palmjax.networks.portable import onnx_file, program
from palmjax.ops import pixels
from tests.networks.portable import tiny_networks


def run(content, images):
  session = onnxruntime.InferenceSession(
    content, providers=['CPUExecutionProvider']
  )
  (output,) = session.run(None, {'images': images})
  return output


def test_shipped_weights_embed_as_before_in_batches_of_any_size():
  network = palm.load(shipped.PALM)
  side = network.preprocess.image_size
  images = np.random.default_rng(0).integers(
    0, 256, (3, side, side, 3), np.uint8
  )
  content = onnx_file.to_bytes(network)
  want = network.embed(images)
  got = run(content, images)
  np.testing.assert_allclose(got, want, atol=1e-4)
  np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-5)
  np.testing.assert_allclose(run(content, images[:1]), want[:1], atol=1e-4)
  model = onnx.load_from_string(content)
  said = {entry.key: entry.value for entry in model.metadata_props}
  assert said['comparison'] == 'cosine'
  assert json.loads(said['digests']) == network.digests
  # As Where an activation takes more than half of the time.
  operations = {node.op_type for node in model.graph.node}
  assert 'PRelu' in operations
  assert 'Where' not in operations


def same(network):
  images = tiny_networks.IMAGES
  want = network.embed(images)
  # Images that one embedding would fit show nothing.
  assert np.abs(want[0] - want[1]).max() > 1e-2
  got = run(onnx_file.to_bytes(network), images)
  np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize(
  'name, number', [('resnet18_small', 2), ('vgg16', None)]
)
def test_other_kinds_with_attention(name, number):
  same(tiny_networks.make(name, attention=True, number=number))


@pytest.mark.slow
@pytest.mark.parametrize('attention', [False, True])
@pytest.mark.parametrize(
  'name, number',
  [
    ('mobilefacenet', None),
    ('mobilefacenet', 1),
    ('vgg16_strided', 2),
    ('vgg16_pool', None),
    ('vgg16_gdconv', 5),
    ('resnet18', None),
    ('resnet18_small_gdconv', 4),
    ('resnet18_strided', 1),
    ('separable18', None),
    ('resnet50', 3),
    ('resnext50', None),
    ('iresnet18', None),
    ('iresnet50', 4),
  ],
)
def test_every_kind(name, number, attention):
  same(tiny_networks.make(name, attention=attention, number=number))


@pytest.mark.slow
def test_colour_without_contrast():
  same(tiny_networks.make('mobilefacenet', channels='rgb', contrast='none'))


@pytest.mark.parametrize('side', [24, 50])
def test_images_of_another_size_are_resized(side):
  spec = preprocess.Preprocess(image_size=32)
  images = np.random.default_rng(side).integers(
    0, 256, (2, side, side, 3), np.uint8
  )

  def prepare(images):
    return spec.apply(pixels.to_float(images))

  network = tiny_networks.make('mobilefacenet')
  content = onnx_file.of_function(
    jax.vmap(lambda image: prepare(image[None])[0]),
    program.images(network, side),
    {},
  )
  np.testing.assert_allclose(run(content, images), prepare(images), atol=1e-4)


def test_bytes_depend_on_the_network_alone():
  content = onnx_file.to_bytes(tiny_networks.make('mobilefacenet'))
  again = onnx_file.to_bytes(tiny_networks.make('mobilefacenet'))
  assert content == again


def test_bfloat16_is_refused():
  network = tiny_networks.of_type(
    tiny_networks.make('mobilefacenet'), 'bfloat16'
  )
  with pytest.raises(ValueError, match=r'bfloat16 cannot .* --to=stablehlo'):
    onnx_file.to_bytes(network)


def test_what_is_not_written_is_refused_by_name():
  images = jax.ShapeDtypeStruct((2, 3), jnp.float32)
  with pytest.raises(ValueError, match=r'^sort cannot be written as ONNX'):
    onnx_file.of_function(lambda x: jnp.sort(x, axis=1), images, {})
