"""The server of palmjax' devices: it labels their samples and ships students.

python -m palmjax.edge.server --teacher=DIR --student=DIR
python -m palmjax.edge.server --teacher=DIR --student=DIR --add-device=LABEL
python -m palmjax.edge.server --teacher=DIR --student=DIR --new-admin-token

TEACHER and STUDENT are exports of one run of configs/distill.py, e.g.
runs/distill/teacher/export and runs/distill/student_distilled/export. The first
start makes the folder --data with a SQLite database and keys, and prints the
administrator's token once. With --add-device the program prints one line for
the device and ends. With --new-admin-token it prints another token and ends;
the old token and its logins are no longer good. A server may run meanwhile.
Open the server's address in a browser to see devices, versions, samples and
updates.

Exit codes: 0 ended; 1 it cannot go on (the last line says why and what to do);
2 the command line is wrong.
"""

import os
import sys

from palmjax import compile_cache, files, terminal
from palmjax.inference import palm_files
from palmjax.networks import export as exports

try:
  import uvicorn

  from palmjax.edge import protocol
  from palmjax.edge.server import (
    addresses,
    app,
    database,
    drawn,
    logs,
    service,
    tokens,
  )
except ModuleNotFoundError as error:
  raise SystemExit(
    f'palmjax: {error.name} is not installed: in the clone of palmjax, pip '
    'install .[edge]'
  ) from error


@terminal.command
def main(argv=None):
  """The command line; returns the exit code."""
  args = _parse(argv)
  if args.add_device or args.new_admin_token:
    _change(args)
    return 0
  # Mistakes show before palms are drawn.
  with addresses.bind(args.host, args.port) as bound:
    server, token = _start(args)
    _tell(token)
    _serve(server, bound, args)
  return 0


def _change(args):
  server, token = _start(args)
  with database.session(server.engine) as session:
    if args.new_admin_token:
      token = tokens.new_admin(session)
    if args.add_device:
      _, device_token = tokens.add_device(
        session, args.add_device, database.now()
      )
      code = protocol.join_code(device_token, server.public_key)
  _tell(token)
  if args.add_device:
    print(
      'a second device on one machine needs another --store; for a device on '
      'another machine start the server with --host, --tls-cert and --tls-key'
    )
    print(
      'on the device: python -m palmjax.edge.device '
      f'--server={_url(args, addresses.to_ask(args.host))} '
      f'--store=palm.db join {code}'
    )


def _tell(token):
  if token:
    print(f"the administrator's token, told this once: {token}", flush=True)


def _start(args):
  for export in (args.teacher, args.student):
    exports.load(export)
  terminal.start(cache=not args.no_cache)
  given = _read(args.impostors) if args.impostors else None
  folder = files.make_folder(args.data)
  if not drawn.are_kept(folder):
    print('drawing palms for thresholds: only at the first start', flush=True)
  impostors, rehearsed = drawn.palms(folder)
  return service.start(
    folder=folder,
    teacher=args.teacher,
    student=args.student,
    impostors=impostors if given is None else given,
    rehearsed=rehearsed,
    fmr=args.fmr,
    scale=args.scale,
    database_url=args.database,
    limits=service.Limits(
      rate=args.rate, burst=4 * args.rate, waiting=args.waiting
    ),
  )


def _serve(server, bound, args):
  if not args.tls_cert and not addresses.is_local(bound):
    terminal.complain(
      f'warning: --host={args.host} without --tls-cert: others can read tokens '
      'and palms on the way'
    )
  print(f'serving {_url(args, args.host)}', flush=True)
  config = uvicorn.Config(
    app.create(server),
    ssl_certfile=args.tls_cert,
    ssl_keyfile=args.tls_key,
    access_log=False,  # It would hold paths and addresses.
    log_level='warning',
    server_header=False,
  )
  uvicorn.Server(config).run(sockets=[bound])
  logs.log('ended')


def _parse(argv):
  summary, _, text = __doc__.partition('\n')
  parser = terminal.Parser('edge.server', description=summary, epilog=text)
  path = terminal.path
  parser.add_argument('--teacher', metavar='DIR', type=path, required=True)
  parser.add_argument('--student', metavar='DIR', type=path, required=True)
  parser.add_argument(
    '--data',
    metavar='DIR',
    type=path,
    default='palmjax-server',
    help='folder of keys and database',
  )
  parser.add_argument(
    '--database', metavar='URL', help='another database, e.g. postgresql://…'
  )
  parser.add_argument(
    '--impostors',
    metavar='DIR',
    type=path,
    help='palms that thresholds are set on, one image of each; all devices '
    'get them; default: palms drawn by a program',
  )
  parser.add_argument(
    '--fmr', type=float, default=1e-3, help='of devices and teacher'
  )
  parser.add_argument(
    '--scale',
    type=float,
    help="of the teacher's logits, where its export does not tell it",
  )
  parser.add_argument('--host', default='127.0.0.1')
  parser.add_argument('--port', type=int, default=8443)
  parser.add_argument('--tls-cert', metavar='FILE', type=path)
  parser.add_argument('--tls-key', metavar='FILE', type=path)
  parser.add_argument(
    '--rate', type=float, default=50.0, help='requests a second of a device'
  )
  parser.add_argument(
    '--waiting',
    type=int,
    default=10_000,
    help='images that may wait for the teacher',
  )
  parser.add_argument('--add-device', metavar='LABEL')
  parser.add_argument(
    '--new-admin-token', action='store_true', help='ends the old one'
  )
  compile_cache.add_argument(parser)
  args = parser.parse_args(argv)
  if not 1 <= args.port <= 65535:
    parser.error(f'--port={args.port}: give a port from 1 to 65535')
  if args.add_device is not None and not protocol.is_label(args.add_device):
    parser.error('--add-device: give a label of 1 to 80 characters')
  if bool(args.tls_cert) != bool(args.tls_key):
    parser.error('--tls-cert and --tls-key belong together: give both')
  for name in ('tls_cert', 'tls_key'):
    file = getattr(args, name)
    if file and not os.path.isfile(file):
      parser.error(f'--{name.replace("_", "-")}={file}: there is no such file')
  if not 0 < args.fmr < 1:
    parser.error(f'--fmr={args.fmr}: give a rate between 0 and 1')
  if args.scale is not None and args.scale <= 0:
    parser.error(f'--scale={args.scale}: give a number above 0')
  if args.rate <= 0 or args.waiting < 1:
    parser.error('--rate and --waiting: give numbers above 0')
  return args


def _read(folder):
  read = palm_files.reader(size=drawn.SIZE, photos=False)
  gallery = palm_files.read_gallery(folder, read, each_once=True)
  for line in gallery.left_out:
    terminal.complain(f'warning: {line}')
  return [palm.image for palm in gallery.palms.values()]


def _url(args, host):
  return addresses.url(host, args.port, tls=bool(args.tls_cert))


if __name__ == '__main__':
  sys.exit(main())
