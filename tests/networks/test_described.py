"""What an export says of its network is checked, for every kind of network."""

import math

import numpy as np
import pytest

from palmjax.networks import export, generator, hand, palm, palm_frame, shipped

GENERATOR = {
  'name': 'generator',
  'image_size': 32,
  'latent_size': 8,
  'mapping_layers': 2,
  'fmap_base': 64,
  'fmap_max': 16,
  'dtype': 'float32',
  'ended': 'cap',
}


def draw_from(directory):
  return generator.load(directory, truncation=1.0)


# kind: (reads it, an export of the package)
KINDS = {
  'palm': (palm.load, shipped.PALM),
  'hand': (hand.load, shipped.HAND),
  'palm_frame': (palm_frame.load, shipped.PALM_FRAME),
  'generator': (draw_from, None),
}


@pytest.fixture(scope='module')
def values():
  """{kind: (model, preprocess)} of sound exports."""
  exports = {
    kind: export.load(directory)
    for kind, (_, directory) in KINDS.items()
    if directory
  }
  return {
    **{kind: (one.model, one.preprocess) for kind, one in exports.items()},
    'generator': (GENERATOR, {}),
  }


def load(directory, kind, model, preprocess):
  """Reads an export with these values, and no variables of a network."""
  export.save(
    directory,
    variables={'params': {'a': np.zeros(1, np.float32)}},
    model=model,
    preprocess=preprocess,
  )
  return KINDS[kind][0](directory)


@pytest.mark.parametrize('kind', ['palm', 'hand', 'palm_frame', 'generator'])
def test_missing_and_unknown_keys_are_named(tmp_path, values, kind):
  model, preprocess = values[kind]
  optional = {'batch_norm_momentum', 'ended', 'margin', 'scale', 'smaller'}
  for key in sorted(model.keys() - optional - {'name'}):
    less = {k: v for k, v in model.items() if k != key}
    with pytest.raises(
      ValueError, match=rf"model\.json: '{key}' is missing; export the network"
    ) as caught:
      load(tmp_path, kind, less, preprocess)
    assert str(tmp_path) in str(caught.value)
    assert '\n' not in str(caught.value)
  for key in sorted(preprocess.keys() - optional):
    less = {k: v for k, v in preprocess.items() if k != key}
    with pytest.raises(
      ValueError, match=rf"preprocess\.json: '{key}' is missing; export"
    ):
      load(tmp_path, kind, model, less)
  with pytest.raises(ValueError, match=r"model\.json: 'colour' is unknown to"):
    load(tmp_path, kind, {**model, 'colour': 1}, preprocess)
  with pytest.raises(ValueError, match=r"preprocess\.json: 'colour' is unkn"):
    load(tmp_path, kind, model, {**preprocess, 'colour': 1})


@pytest.mark.parametrize(
  'kind, key, value',
  [
    ('palm', 'name', 'mobilefacenet2'),
    ('palm', 'embedding_size', 0),
    ('palm', 'embedding_size', 128.0),
    ('palm', 'width', -1.0),
    ('palm', 'width', math.inf),
    ('palm', 'width', '0.5'),
    ('palm', 'attention', 1),
    ('palm', 'dtype', 'float64'),
    ('palm', 'loss', None),
    ('palm', 'scale', 0),
    ('palm', 'ended', 'yes'),
    ('palm', 'batch_norm_momentum', 1.0),
    ('hand', 'classes', []),
    ('hand', 'classes', ['one', 'one']),
    ('hand', 'classes', [1, 2]),
    ('hand', 'classes', 'one'),
    ('hand', 'depth', -1),
    ('hand', 'depth', True),
    ('hand', 'level', 9),
    ('hand', 'factor', 0),
    ('palm_frame', 'width', 0),
    ('palm_frame', 'dtype', None),
    ('generator', 'image_size', 34),
    ('generator', 'latent_size', 0),
    ('generator', 'mapping_layers', 2.5),
    ('generator', 'fmap_max', [16]),
    ('generator', 'dtype', ['float32']),
  ],
)
def test_impossible_values_of_models(tmp_path, values, kind, key, value):
  model, preprocess = values[kind]
  with pytest.raises(
    ValueError, match=rf'model\.json: (no network|{key}=).*; export the network'
  ) as caught:
    load(tmp_path, kind, {**model, key: value}, preprocess)
  assert str(value) in str(caught.value)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  'kind, key, value',
  [
    ('palm', 'image_size', 64.0),
    ('palm', 'channels', 'gray'),
    ('palm', 'value_range', [0.0, 1.0]),
    ('palm', 'value_range', None),
    ('palm', 'contrast', ['local']),
    ('palm', 'contrast_sigma', 0.0),
    ('palm', 'contrast_floor', 0),
    ('palm', 'contrast_clip', 'three'),
    ('palm', 'roi_frame', 'fingers down'),
    ('palm', 'metric', 'manhattan'),
    ('hand', 'image_size', 33),
    ('hand', 'channels', 'grey'),
    ('hand', 'fit', 'stretched'),
    ('hand', 'smaller', [1.5]),
    ('hand', 'smaller', 0.8),
    ('palm_frame', 'image_size', 0),
    ('palm_frame', 'value_range', [0.0, 1.0]),
    ('palm_frame', 'view_side', 2.0),
    ('palm_frame', 'view_centre', None),
  ],
)
def test_impossible_values_of_inputs(tmp_path, values, kind, key, value):
  model, preprocess = values[kind]
  with pytest.raises(
    ValueError, match=rf'preprocess\.json: {key}=.*; export the network again'
  ) as caught:
    load(tmp_path, kind, model, {**preprocess, key: value})
  assert '\n' not in str(caught.value)


def test_sound_values_come_to_the_variables(tmp_path, values):
  for kind in KINDS:
    model, preprocess = values[kind]
    with pytest.raises(ValueError, match='does not fit the network'):
      load(tmp_path, kind, model, preprocess)


def test_values_of_the_package_come_back_as_they_are(values):
  """Files of exports keep their bytes."""
  for kind, read in (
    ('hand', hand.HandInput),
    ('palm_frame', palm_frame.PalmFrameInput),
  ):
    preprocess = values[kind][1]
    assert read.from_json(preprocess).to_json() == preprocess
  assert 'smaller' not in hand.HandInput(image_size=64).to_json()
