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

try:
  import uvicorn

  from palmjax.edge import protocol
  from palmjax.edge.server import app, database, drawn, logs, service, tokens
except ModuleNotFoundError as error:
  raise SystemExit(
    f'palmjax: {error.name} is not installed: pip install palmjax[edge]'
  ) from error


@terminal.command
def main(argv=None):
  """The command line; returns the exit code."""
  args = _parse(argv)
  terminal.start(cache=not args.no_cache)
  impostors, rehearsed = drawn.palms(files.make_folder(args.data))
  server, token = service.start(
    folder=args.data,
    teacher=args.teacher,
    student=args.student,
    impostors=_read(args.impostors) if args.impostors else impostors,
    rehearsed=rehearsed,
    fmr=args.fmr,
    scale=args.scale,
    database_url=args.database,
    limits=service.Limits(
      rate=args.rate, burst=4 * args.rate, waiting=args.waiting
    ),
  )
  if args.new_admin_token:
    with database.session(server.engine) as session:
      token = tokens.new_admin(session)
  if token:
    print(f"the administrator's token, told this once: {token}", flush=True)
  if args.add_device:
    with database.session(server.engine) as session:
      _, token = tokens.add_device(session, args.add_device, database.now())
    code = protocol.join_code(token, server.public_key)
    print(
      'on the device: python -m palmjax.edge.device '
      f'--server={_address(args)} --store=palm.db join {code}'
    )
  if args.add_device or args.new_admin_token:
    return 0
  print(f'serving {_address(args)}', flush=True)
  uvicorn.run(
    app.create(server),
    host=args.host,
    port=args.port,
    ssl_certfile=args.tls_cert,
    ssl_keyfile=args.tls_key,
    access_log=False,  # It would hold paths and addresses.
    log_level='warning',
    server_header=False,
  )
  logs.log('ended')
  return 0


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


def _address(args):
  return f'{"https" if args.tls_cert else "http"}://{args.host}:{args.port}'


if __name__ == '__main__':
  sys.exit(main())
