"""Writes a palm network for runtimes that know nothing of palmjax.

python -m palmjax.convert EXPORT --to=onnx --out=palm.onnx
python -m palmjax.convert EXPORT --to=stablehlo --out=palm.jax

EXPORT is the folder of a palm network; without it the one of the package is
taken. The file holds weights and pre-processing. It takes palms as RGB bytes,
uint8 [batch, S, S, 3], and gives their embeddings, float32 [batch, D], of unit
norm. S is the image size of the network, or --size. Palms are square, fingers
up; the file cuts out no palm and knows no threshold. Fused scores and cohorts
of palmjax.verify are not in it.

  onnx       for ONNX Runtime and what reads ONNX; to be written it needs
             pip install .[onnx] in the clone
  stablehlo  for jax.export.deserialize, on CPUs, GPUs and TPUs

Exit codes: 0 done; 1 there is no file (the last line says why and what to do);
2 the command line is wrong.
"""

import os
import sys

from palmjax import compile_cache, file_names, files, terminal
from palmjax.networks import palm, shipped
from palmjax.networks.portable import stablehlo

_EXAMPLES = """examples:
  python -m palmjax.convert --to=onnx --out=palm.onnx
  python -m palmjax.convert runs/1/export --to=stablehlo --out=palm.jax
"""


def _onnx(network, *, size):
  try:  # No requirement.
    from palmjax.networks.portable import onnx_file
  except ImportError as error:
    raise ValueError(
      f'--to=onnx needs the library onnx ({error}): in the clone of palmjax, '
      'pip install .[onnx]'
    ) from error
  return onnx_file.to_bytes(network, size=size)


_FORMATS = {'onnx': _onnx, 'stablehlo': stablehlo.to_bytes}


@terminal.command
def main(argv=None):
  """The command line; returns the exit code."""
  args = _parse(argv)
  terminal.start(cache=not args.no_cache)
  network = palm.load(args.export)
  files.make_folder(os.path.dirname(args.out) or '.')  # Before the work.
  content = _FORMATS[args.to](network, size=args.size)
  files.write_file(args.out, content)
  side = args.size or network.preprocess.image_size
  print(
    f'{file_names.printable(args.out)}: {len(content) / 1e6:.1f} MB, images '
    f'uint8 [batch, {side}, {side}, 3] to embeddings float32 [batch, '
    f'{network.embedding_size}]'
  )
  return 0


def _parse(argv):
  summary, _, text = __doc__.partition('\n')
  parser = terminal.Parser(
    'convert', description=summary, epilog=f'{text}\n{_EXAMPLES}'
  )
  parser.add_argument(
    'export',
    metavar='EXPORT',
    nargs='?',
    type=terminal.path,
    default=shipped.PALM,
    help='folder of a palm network; default: that of the package',
  )
  parser.add_argument(
    '--to', choices=sorted(_FORMATS), required=True, help='format'
  )
  parser.add_argument(
    '--out', metavar='FILE', type=terminal.path, required=True, help='the file'
  )
  parser.add_argument(
    '--size',
    metavar='S',
    type=int,
    help='side of the images; default: that of the network',
  )
  compile_cache.add_argument(parser)
  args = parser.parse_args(argv)
  if args.size is not None and args.size < 1:
    parser.error(f'--size={args.size}: give 1 or more')
  return args


if __name__ == '__main__':
  sys.exit(main())
