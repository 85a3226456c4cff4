"""A capture device: it enrols people, recognises them, and learns on the way.

python -m palmjax.edge.device --store=FILE COMMAND

  join CODE          keeps the code that the server printed for this device,
                     with --server=URL and --certificate=FILE
  sync               sends what waits, fetches labels and the newest student
  enrol NAME IMAGE…  enrols a palm; of several images the last checks updates
  identify IMAGE     says whose palm it is
  run FOLDER         identifies images as they come; or run --camera 0
  update             lets the student learn from kept samples, if it is time;
                     with --now at once
  rollback           goes back to the student before
  forget NAME        removes every trace of somebody
  status             users, samples, student, what waits for the server
  rotate-key         seals the store with a fresh key
  rotate-token       takes another token from the server
  revoke-templates   makes all templates anew; stolen ones are worthless

All but join and sync work without a server, once the first student is there;
--package=FILE --public-key=KEY install one without any server. An image shows a
palm as python -m palmjax.verify takes it; with --photos it is a photo of a
whole hand. Options stand before COMMAND; --photos, --server and --certificate
may stand after it, too. The key of the store lies in FILE.key unless you say
otherwise: keep it on another disk.

Exit codes: 0 done; 1 it cannot go on (the last line says why and what to do);
2 the command line is wrong; 3 all is kept here, but the server was not reached;
4 the palm is nobody's.
"""

import pathlib
import shlex
import sys
import time

from palmjax import file_names, terminal
from palmjax.inference import finder, palm_files, palm_warnings

try:
  from palmjax.edge import package
  from palmjax.edge.device import (
    arguments,
    capture,
    client,
    enrolment,
    joining,
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
    f'palmjax: {error.name} is not installed: in the clone of palmjax, pip '
    'install .[edge]'
  ) from error

_UNREACHED, _NOBODY = 3, 4


@terminal.command
def main(argv=None):
  """The command line; returns the exit code."""
  args = arguments.parse(argv, __doc__)
  terminal.start(cache=not args.no_cache)
  device = store.open_(
    args.store,
    key_file=args.key_file,
    key_variable=args.key_variable,
    key_command=shlex.split(args.key_command) if args.key_command else None,
  )
  learning.finish(device)
  if args.package:
    content = pathlib.Path(args.package).read_bytes()
    read = package.read(content, public_key=args.public_key)
    learning.take_package(device, read)
  try:
    return _COMMANDS[args.command](device, args) or 0
  except client.UnreachableError as error:
    terminal.complain(error)
    return _UNREACHED


def _student(device):
  name = models.current(device.folder)
  if name is None:
    raise ValueError(
      'this device has no student yet: run `sync`, or give --package and '
      '--public-key'
    )
  return models.load(device.folder, name)


def _reader(args, student):
  """path → image uint8 [S, S, 3]; warns of what may be no palm alone."""
  read = palm_files.reader(size=student.size, photos=args.photos)

  def image(path):
    palm = read(path)
    for line in palm_warnings.lines({file_names.printable(path): palm}):
      terminal.complain(f'warning: {line}')
    return palm.image

  return image


def _join(device, args):
  joined = joining.read_code(
    device, args.code, url=args.server, certificate=args.certificate
  )
  # A server that is reached and refuses: the old code, if any, stays.
  try:
    joining.connect(joined, tries=1).latest()
  except client.UnreachableError as error:
    joining.keep(device, joined)
    raise client.UnreachableError(
      f'the code is kept, but not checked: {error}; then run sync'
    ) from error
  joining.keep(device, joined)
  print(f'joined {joined.url}; now run sync')


def _server(device, args):
  """(`joining.Joined`, `client.Server`) of the command line and the store."""
  joined = joining.kept(device, url=args.server, certificate=args.certificate)
  return joined, joining.connect(joined)


def _sync(device, args):
  joined, server = _server(device, args)
  rules = arguments.keeping_rules(args)
  done = sync.run(device, server, joined.public_key, rules, time.time())
  print(words.synced(done))


def _enrol(device, args):
  student = _student(device)
  read = _reader(args, student)
  images = [read(path) for path in args.images]
  with device.session() as session:
    done = enrolment.enrol(device, session, student, args.name, images)
  for path, other in zip(args.images, done.others, strict=True):
    if other:
      path = file_names.printable(path)
      terminal.complain(f'warning: {words.alike(path, args.name, other)}')
  print(words.enrolled(args.name, len(images), done.count))


def _identify(device, args):
  student = _student(device)
  return _say(device, student, _reader(args, student)(*args.image), args)


def _run(device, args):
  student = _student(device)
  if args.camera is None:
    read = _reader(args, student)
    if not args.once:
      print(f'watching {args.folder}; Ctrl-C ends it', flush=True)
    for path in watch.folder(args.folder, once=args.once):
      student = _moved(device, student)
      try:
        image = read(path)
      except ValueError as error:
        terminal.complain(error)
        continue
      print(f'{path.name}: ', end='')
      _say(device, student, image, args)
    return
  find = finder.load() if args.photos else None
  print(f'watching camera {args.camera}; Ctrl-C ends it', flush=True)
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
      device,
      session,
      student,
      image,
      arguments.keeping_rules(args),
      time.time(),
    )
  print(words.decided(decision), flush=True)
  return 0 if decision.name else _NOBODY


def _update(device, args):
  student, rules = _student(device), arguments.keeping_rules(args)
  interval = capture.first_interval(student.preset, rules)
  with device.session() as session:
    due = learning.is_due(device, session, rules, time.time())
    samples = learning.usable(session)
  if not due and not args.now:
    print(words.not_due(samples, rules, interval))
    return
  if not samples:
    raise ValueError(
      f'no update without samples: {words.few(samples, rules, interval)}'
    )
  print(words.tried(learning.learn(device, student, time.time())))


def _rollback(device, _):
  print(words.tried(learning.roll_back(device)))


def _forget(device, args):
  with device.session() as session:
    people.forget(device, session, args.name)
  device.clean()
  print(f'{args.name} is forgotten here; the server forgets at the next sync')


def _status(device, args):
  with device.session() as session:
    print(words.status(device, session, arguments.keeping_rules(args)))


def _rotate_key(device, _):
  device.rotate_key()
  print('the store has a fresh key')


def _rotate_token(device, args):
  _, server = _server(device, args)
  joining.keep_token(device, server.rotate_token())
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
