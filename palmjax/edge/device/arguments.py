"""The command line of a device."""

import argparse

from palmjax import compile_cache, terminal
from palmjax.edge.device import capture, client

_COUNTS = (
  ('failures', 'failures in a row whose last image is kept'),
  ('ask', 'kept failures that are sent though the device is in use'),
  ('enough', 'samples that suffice for an update'),
  ('capacity', 'samples that are kept at most'),
)


def parse(argv, text):
  """Reads a command line.

  Args:
    argv: arguments; None: those of the process.
    text: of --help, a summary in its first line.

  Returns:
    `argparse.Namespace`. A wrong command line ends the process with code 2.
  """
  parser = _parser(text)
  args = parser.parse_args(argv)
  if args.command == 'run' and (args.folder is None) == (args.camera is None):
    parser.error('run needs a folder or --camera, one of both')
  if args.command == 'identify' and len(args.image) > 1:
    parser.error('identify takes one image; for many: run FOLDER')
  for name, _ in _COUNTS:
    if getattr(args, name) < 1:
      parser.error(f'--{name}: give 1 or more')
  if args.package and not args.public_key:
    parser.error('--package needs --public-key, which the server printed')
  return args


def keeping_rules(args):
  """The `capture.KeepingRules` of a command line."""
  return capture.KeepingRules(
    **{name: getattr(args, name) for name, _ in _COUNTS}
  )


def _parser(text):
  summary, _, text = text.partition('\n')
  parser = terminal.Parser('edge.device', description=summary, epilog=text)
  path = terminal.path
  parser.add_argument('--store', metavar='FILE', type=path, required=True)
  _add_server(parser, default=None)
  _add_photos(parser, default=False)
  keys = parser.add_mutually_exclusive_group()
  keys.add_argument('--key-file', metavar='FILE', type=path)
  keys.add_argument('--key-variable', metavar='NAME', help='of the environment')
  keys.add_argument('--key-command', metavar='COMMAND', help='prints the key')
  parser.add_argument('--package', metavar='FILE', type=path)
  parser.add_argument('--public-key', metavar='KEY')
  defaults = capture.KeepingRules()
  for name, words in _COUNTS:
    value = getattr(defaults, name)
    parser.add_argument(f'--{name}', type=int, default=value, help=words)
  compile_cache.add_argument(parser)
  _add_commands(parser)
  return parser


def _add_commands(parser):
  commands = parser.add_subparsers(
    dest='command', metavar='COMMAND', required=True, parser_class=_Plain
  )
  made = {
    name: commands.add_parser(name)
    for name in (
      *('join', 'sync', 'enrol', 'identify', 'run', 'update', 'rollback'),
      *('forget', 'status', 'rotate-key', 'rotate-token', 'revoke-templates'),
    )
  }
  path = terminal.path
  made['join'].add_argument('code')
  made['enrol'].add_argument('name')
  made['enrol'].add_argument('images', nargs='+', type=path)
  made['identify'].add_argument('image', nargs='+', type=path, help='just one')
  made['run'].add_argument('folder', nargs='?', type=path)
  made['run'].add_argument('--camera', type=int)
  made['run'].add_argument(
    '--once', action='store_true', help='end with the folder'
  )
  made['update'].add_argument(
    '--now', action='store_true', help='whether or not it is time'
  )
  made['forget'].add_argument('name')
  # After the command, too; the default is that of the whole command line.
  for name in ('join', 'sync', 'rotate-token'):
    _add_server(made[name], default=argparse.SUPPRESS)
  for name in ('enrol', 'identify', 'run'):
    _add_photos(made[name], default=argparse.SUPPRESS)


def _add_server(parser, default):
  parser.add_argument(
    '--server',
    metavar='URL',
    type=_address,
    default=default,
    help='kept by join; at first http://127.0.0.1:8443',
  )
  parser.add_argument(
    '--certificate',
    metavar='FILE',
    type=terminal.path,
    default=default,
    help='of the server, to trust; kept by join',
  )


def _add_photos(parser, default):
  parser.add_argument(
    '--photos',
    action='store_true',
    default=default,
    help='images show whole hands',
  )


def _address(text):
  try:
    return client.address(text)
  except ValueError as error:
    raise argparse.ArgumentTypeError(error) from error


class _Plain(terminal.Parser):
  """Parser of a command: --help shows its arguments alone."""

  def __init__(self, *, prog, **options):
    super().__init__('edge.device', **options)
    self.prog = prog
