"""Programs of trained networks: compiled faster, and kept between commands.

On a CPU most of the first answer is compilation. For the shipped palm network
and 16 images, level 1 of XLA's optimisation took 2.1 CPU-seconds in place of
3.9, gave the same bits and ran as fast (0.02 CPU-seconds). Level 0 took 1.5 and
ran three times as long. What stands around the networks runs as fast at level
0: 1.3 CPU-seconds in place of 2.5 for the detector's decoding. The older code
generator of XLA's makes as fast programs in two thirds of the time: a first
`verify --photos` took 15 CPU-seconds in place of 22.

JAX keeps compiled programs where `jax_compilation_cache_dir` says, but traces a
function to find its program. Of a second answer that is most of the time. Here
the traced program is kept, too (`jax.export`), in a folder below. It is found
by the sources of the package that it was made of, by the versions of JAX and
flax, by the module and by the shapes of the arguments. A second process that
finds and embeds one palm then took 2.8 CPU-seconds in place of 9.1.
"""

import functools
import hashlib
import pathlib

import flax
import jax
import jaxlib
from jax import export

from palmjax import files

_SOURCES = ('images', 'inference', 'models', 'networks', 'ops')


def network(function, *identity):
  """Compiles a network's forward pass: level 1 on a CPU.

  Args:
    function: pure, (arrays, …) → pytree of arrays.
    identity: what the function was made of besides the package's sources and
      its arguments: a name, the module, options. Their `repr` tells programs
      apart.

  Returns:
    A function of the same arguments.
  """
  return _Program(function, identity, level=1)


def small(function, *identity):
  """Compiles the code around a network: level 0 on a CPU; see `network`."""
  return _Program(function, identity, level=0)


class _Program:
  """Compiles a function for each shape of its arguments."""

  def __init__(self, function, identity, *, level):
    self._function = function
    self._identity = identity
    self._level = level
    self._compiled = {}

  def __call__(self, *arguments):
    leaves, tree = jax.tree.flatten(arguments)
    shapes = tuple((leaf.shape, leaf.dtype.name) for leaf in leaves)
    if (tree, shapes) not in self._compiled:
      self._compiled[tree, shapes] = self._compile(arguments, str(tree), shapes)
    return self._compiled[tree, shapes](*arguments)

  def _compile(self, arguments, tree, shapes):
    options = None
    # Where JAX optimises least already, it stays so.
    least = jax.config.values['jax_disable_most_optimizations']
    if jax.default_backend() == 'cpu' and not least:
      options = {'xla_backend_optimization_level': self._level, **_quick()}
    jit = functools.partial(jax.jit, compiler_options=options)
    folder = _folder()
    if folder is None:
      return jit(self._function)
    text = repr((self._identity, tree, shapes, jax.default_backend()))
    digest = hashlib.sha256(f'{_versions()} {text}'.encode()).hexdigest()
    path = folder / f'{digest}.stablehlo'
    try:
      return jit(export.deserialize(bytearray(path.read_bytes())).call)
    # What lies there is of no use, whatever is wrong with it: trace anew.
    except Exception:
      exported = export.export(jit(self._function))(*arguments)
    try:
      folder.mkdir(parents=True, exist_ok=True)
      files.write_file(path, exported.serialize())
    except OSError:
      pass  # It only costs the time of tracing next time.
    # As it will be read: the same program, and the same bits, every time.
    return jit(exported.call)


def _folder():
  """Where traced programs are kept, or None where nothing is kept."""
  folder = jax.config.jax_compilation_cache_dir
  if not folder or not jax.config.jax_enable_compilation_cache:
    return None
  if '://' in folder:  # A bucket: JAX keeps its programs there, we keep none.
    return None
  return pathlib.Path(folder) / 'traced'


@functools.cache
def _quick():
  """XLA's older code generator, where this version of XLA still has it."""
  options = {'xla_cpu_use_fusion_emitters': False}
  try:
    jax.jit(lambda x: x + 1, compiler_options=options)(0)
  except Exception:  # What it raises is not documented.
    return {}
  return options


@functools.cache
def _versions():
  """Digest of what programs are made of: sources, and versions of libraries."""
  root = pathlib.Path(__file__).parents[1]
  versions = jax.__version__, jaxlib.__version__, flax.__version__
  digest = hashlib.sha256(repr(versions).encode())
  for name in _SOURCES:
    for path in sorted((root / name).rglob('*.py')):
      digest.update(path.relative_to(root).as_posix().encode())
      digest.update(path.read_bytes())
  return digest.hexdigest()
