"""A capture device: it enrols people, recognises them, and learns on the way.

python -m palmjax.edge.device --store=FILE COMMAND

  join CODE          keeps the code that the server printed for this device
  sync               sends what waits, fetches labels and the newest student
  enrol NAME IMAGE…  enrols a palm; of several images the last checks updates
  identify IMAGE     says whose palm it is
  run FOLDER         identifies images as they come; or run --camera 0
  update             lets the student learn from kept samples, if it is time
  rollback           goes back to the student before
  forget NAME        removes every trace of somebody
  status             users, samples, student, what waits for the server
  rotate-key         seals the store with a fresh key
  rotate-token       takes another token from the server
  revoke-templates   makes all templates anew; stolen ones are worthless

All but join and sync work without a server, once the first student is there;
--package=FILE --public-key=KEY install one without any server. An image shows a
palm as python -m palmjax.verify takes it; with --photos it is a photo of a
whole hand. The key of the store lies in FILE.key unless you say otherwise: keep
it on another disk.

Exit codes: 0 done; 1 it cannot go on (the last line says why and what to do);
2 the command line is wrong; 3 done, but the server was not reached; 4 the palm
is nobody's.
"""

import pathlib
import shlex
import sys
import time

from palmjax import compile_cache, terminal
from palmjax.inference import finder, palm_files

try:
  from palmjax.edge import package
  from palmjax.edge.device import (
    capture,
    learning,
    models,
    people,
    store,
    sync,
    watch,
    words,
  )
except ModuleNotFoundError as error:
  raise SystemExit(
    f'palmjax: {error.name} is not installed: pip install palmjax[edge]'
  ) from error

_UNREACHED, _NOBODY = 3, 4


@terminal.command
def main(argv=None):
  """The command line; returns the exit code."""
  parser, args = _parse(argv)
  terminal.start(cache=not args.no_cache)
  device = store.open_(
    args.store,
    key_file=args.key_file,
    key_variable=args.key_variable,
    key_command=shlex.split(args.key_command) if args.key_command else None,
  )
  learning.finish(device)
  if args.package:
    if not args.public_key:
      parser.error('--package needs --public-key, which the server printed')
    content = pathlib.Path(args.package).read_bytes()
    read = package.read(content, public_key=args.public_key)
    learning.take_package(device, read)
  return _COMMANDS[args.command](device, args) or 0


def _parse(argv):
  summary, _, text = __doc__.partition('\n')
  parser = terminal.Parser('edge.device', description=summary, epilog=text)
  path = terminal.path
  parser.add_argument('--store', metavar='FILE', type=path, required=True)
  parser.add_argument(
    '--server', metavar='URL', default='http://127.0.0.1:8443'
  )
  parser.add_argument(
    '--certificate', metavar='FILE', type=path, help='of the server, to trust'
  )
  parser.add_argument(
    '--photos', action='store_true', help='images show whole hands'
  )
  keys = parser.add_mutually_exclusive_group()
  keys.add_argument('--key-file', metavar='FILE', type=path)
  keys.add_argument('--key-variable', metavar='NAME', help='of the environment')
  keys.add_argument('--key-command', metavar='COMMAND', help='prints the key')
  parser.add_argument('--package', metavar='FILE', type=path)
  parser.add_argument('--public-key', metavar='KEY')
  defaults = capture.KeepingRules()
  for name, text in (
    ('failures', 'failures in a row whose last image is kept'),
    ('ask', 'kept failures that are sent though the device is in use'),
    ('enough', 'samples that suffice for an update'),
    ('capacity', 'samples that are kept at most'),
  ):
    value = getattr(defaults, name)
    parser.add_argument(f'--{name}', type=int, default=value, help=text)
  compile_cache.add_argument(parser)
  commands = parser.add_subparsers(
    dest='command', metavar='COMMAND', required=True, parser_class=_Plain
  )
  commands.add_parser('join').add_argument('code')
  enrol = commands.add_parser('enrol')
  enrol.add_argument('name')
  enrol.add_argument('images', nargs='+', type=path)
  commands.add_parser('identify').add_argument('image', type=path)
  run = commands.add_parser('run')
  run.add_argument('folder', nargs='?', type=path)
  run.add_argument('--camera', type=int)
  run.add_argument('--once', action='store_true', help='end with the folder')
  commands.add_parser('update').add_argument(
    '--now', action='store_true', help='whether or not it is time'
  )
  commands.add_parser('forget').add_argument('name')
  for name in (
    *('sync', 'rollback', 'status', 'rotate-key', 'rotate-token'),
    'revoke-templates',
  ):
    commands.add_parser(name)
  args = parser.parse_args(argv)
  if args.command == 'run' and (args.folder is None) == (args.camera is None):
    parser.error('run needs a folder or --camera, one of both')
  for name in ('failures', 'ask', 'enough', 'capacity'):
    if getattr(args, name) < 1:
      parser.error(f'--{name}: give 1 or more')
  return parser, args


class _Plain(terminal.Parser):
  """Parser of a command: --help shows its arguments alone."""

  def __init__(self, *, prog, **options):
    super().__init__('edge.device', **options)
    self.prog = prog


def _settings(args):
  return capture.KeepingRules(
    failures=args.failures,
    ask=args.ask,
    enough=args.enough,
    capacity=args.capacity,
  )


def _student(device):
  name = models.current(device.folder)
  if name is None:
    raise ValueError(
      'this device has no student yet: run `sync`, or give --package and '
      '--public-key'
    )
  return models.load(device.folder, name)


def _reader(args, student):
  return palm_files.reader(size=student.size, photos=args.photos)


def _join(device, args):
  sync.join(device, args.code)
  print('joined; now run sync')


def _sync(device, args):
  token, public_key = sync.credentials(device)
  server = sync.Server(args.server, token, verify=args.certificate or True)
  try:
    done = sync.run(device, server, public_key, _settings(args), time.time())
  except sync.UnreachableError as error:
    terminal.complain(error)
    return _UNREACHED
  print(words.synced(done))
  return 0


def _enrol(device, args):
  student = _student(device)
  read = _reader(args, student)
  images = [read(path).image for path in args.images]
  with device.session() as session:
    capture.enrol(device, session, student, args.name, images)
  print(f'{args.name} is enrolled with {len(images)} images')


def _identify(device, args):
  student = _student(device)
  return _say(device, student, _reader(args, student)(args.image).image, args)


def _run(device, args):
  student = _student(device)
  if args.camera is None:
    read = _reader(args, student)
    for path in watch.folder(args.folder, once=args.once):
      student = _moved(device, student)
      try:
        image = read(path).image
      except ValueError as error:
        terminal.complain(error)
        continue
      print(f'{path.name}: ', end='')
      _say(device, student, image, args)
    return
  find = finder.load() if args.photos else None
  for image in watch.palms(args.camera, student.size, find):
    student = _moved(device, student)
    _say(device, student, image, args)


def _moved(device, student):
  """The student in use: an update may have come from another process."""
  if models.current(device.folder) == student.name:
    return student
  return _student(device)


def _say(device, student, image, args):
  with device.session() as session:
    decision = capture.identify(
      device, session, student, image, _settings(args), time.time()
    )
  print(words.decided(decision), flush=True)
  return 0 if decision.name else _NOBODY


def _update(device, args):
  student = _student(device)
  with device.session() as session:
    due = learning.is_due(device, session, _settings(args), time.time())
  if not due and not args.now:
    print('it is not time for an update; see status, or give --now')
    return
  print(words.tried(learning.learn(device, student, time.time())))


def _rollback(device, _):
  print(words.tried(learning.roll_back(device)))


def _forget(device, args):
  with device.session() as session:
    people.forget(device, session, args.name)
  device.clean()
  print(f'{args.name} is forgotten here; the server forgets at the next sync')


def _status(device, _):
  with device.session() as session:
    print(words.status(device, session))


def _rotate_key(device, _):
  device.rotate_key()
  print('the store has a fresh key')


def _rotate_token(device, args):
  token, _ = sync.credentials(device)
  server = sync.Server(args.server, token, verify=args.certificate or True)
  sync.rotate_token(device, server)
  print('this device has another token')


def _revoke_templates(device, _):
  student = _student(device)
  with device.session() as session:
    capture.revoke_templates(device, session, student)
  device.clean()
  print('all templates are new')


_COMMANDS = {
  'join': _join,
  'sync': _sync,
  'enrol': _enrol,
  'identify': _identify,
  'run': _run,
  'update': _update,
  'rollback': _rollback,
  'forget': _forget,
  'status': _status,
  'rotate-key': _rotate_key,
  'rotate-token': _rotate_token,
  'revoke-templates': _revoke_templates,
}


if __name__ == '__main__':
  sys.exit(main())
