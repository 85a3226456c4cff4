"""Every network that a config can name: contract, width, attention."""

import jax
import jax.numpy as jnp
import pytest

from palmjax.models import backbones

NAMES = (
  'mobilefacenet',
  'vgg16',
  'vgg16_strided',
  'vgg16_pool',
  'vgg16_gdconv',
  'resnet18',
  'resnet18_small',
  'resnet18_small_gdconv',
  'resnet18_strided',
  'resnet18_gdconv',
  'separable18',
  'resnet50',
  'resnext50',
  'iresnet18',
  'iresnet50',
)


def build(name, *, width=0.25, attention=False, dtype=jnp.float32):
  return backbones.build(
    name, embedding_size=24, width=width, dtype=dtype, attention=attention
  )


def shapes(model):
  """Abstract variables of 64 px gray images, embeddings in train mode."""
  images = jax.ShapeDtypeStruct((3, 64, 64, 1), jnp.float32)

  def forward(key, images):
    return model.init_with_output(
      {'params': key, 'dropout': key}, images, train=True
    )

  return jax.eval_shape(forward, jax.random.key(0), images)


def count(variables):
  return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))


@pytest.mark.parametrize('name', NAMES)
def test_contract(name):
  plain = build(name)
  assert plain.embedding_size == 24
  embeddings, variables = shapes(plain)
  assert embeddings.shape == (3, 24)
  # Attention, in the activations' type, adds 98 weights, a scale and a shift.
  attentive = build(name, attention=True, dtype=jnp.bfloat16)
  embeddings, with_attention = shapes(attentive)
  assert embeddings.dtype == jnp.float32
  assert count(with_attention) == count(variables) + 100
  assert {leaf.dtype for leaf in jax.tree.leaves(with_attention)} == {
    jnp.dtype(jnp.float32)
  }


# Published counts scaled to one channel, 64 px and 24 dimensions: what a name
# stands for.
@pytest.mark.parametrize(
  'name, want',
  [
    # Stem 7²·3·64 → 7²·64, head 513_000 → 512·24 + 24.
    ('resnet18', 11_689_512 - 6_272 - 513_000 + 12_312),
    ('resnet18_small', 11_689_512 - 6_272 - 513_000 + 12_312 - 40 * 64),
    # An 8×8 window and BatchNorm on 512 channels.
    (
      'resnet18_small_gdconv',
      11_689_512 - 6_272 - 513_000 + 12_312 - 40 * 64 + 66 * 512,
    ),
    # A 1×1 shortcut and its BatchNorm in the first block.
    ('resnet18_strided', 11_689_512 - 6_272 - 513_000 + 12_312 + 4_224),
    # A 2×2 window and BatchNorm on 512 channels.
    ('resnet18_gdconv', 11_689_512 - 6_272 - 513_000 + 12_312 + 3_072),
    # The head has 2048 inputs.
    ('resnet50', 25_557_032 - 6_272 - 2_049_000 + 49_176),
    ('resnext50', 25_028_904 - 6_272 - 2_049_000 + 49_176),
  ],
)
def test_full_width_is_the_published_network(name, want):
  _, variables = shapes(build(name, width=1.0))
  assert count(variables) == want


def test_unknown_name_is_refused():
  with pytest.raises(
    ValueError, match="no network 'vgg19': choose one of ires"
  ):
    build('vgg19')
