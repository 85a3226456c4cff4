"""Arguments, one-line errors and the start of JAX, for all commands.

Exit codes that all commands share: 0 done; 1 it cannot go on, the last line of
standard error says why; 2 the command line is wrong; 130 stopped by Ctrl-C;
141 nobody reads the output any more, as of `… | head`.
"""

import argparse
import contextlib
import difflib
import functools
import importlib.metadata
import os
import pathlib
import re
import sys
import tomllib

import jax

from palmjax import compile_cache
from palmjax.engine import allocator
from palmjax.networks import shipped

# What palmjax's programs are made with. Environment variables of JAX could
# change each of these: other types, other random numbers, or errors.
_NUMBERS = {
  'jax_enable_x64': False,
  'jax_default_prng_impl': 'threefry2x32',
  'jax_threefry_partitionable': True,
  'jax_numpy_dtype_promotion': 'standard',
  'jax_numpy_rank_promotion': 'allow',
}


class Parser(argparse.ArgumentParser):
  """An `ArgumentParser` for `palmjax` and for `python -m palmjax.NAME`.

  Epilog and description keep their line ends. Options cannot be shortened. An
  error is one line, 'palmjax: …', and exit code 2.
  """

  def __init__(self, name, **options):
    """Takes the name of the command's module, and options of its parent."""
    super().__init__(
      prog=as_called(f'python -m palmjax.{name}'),
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
      **options,
    )
    self._given = ()  # Arguments as they were typed.
    self.register('type', int, _whole)
    self.register('type', float, _number)
    self.add_argument(
      '--version', action='version', version=f'palmjax {version()}'
    )

  def parse_args(self, args=None, namespace=None):
    """As of `argparse`; an unknown option is told with the nearest one."""
    self._given = sys.argv[1:] if args is None else args
    args, rest = self.parse_known_args(args, namespace)
    if rest:
      known = [one.lstrip('-') for one in self._option_string_actions]
      dashed = rest[0].startswith('-')
      option = rest[0].partition('=')[0]
      if option in self._option_string_actions:
        self.error(f'{option} is unknown after a command: give it before')
      near = nearest(option.lstrip('-'), known) if dashed else ''
      self.error(f'unrecognized arguments: {" ".join(rest)}{near}')
    return args

  def format_help(self):
    """The help, with commands as this one was called."""
    return as_called(super().format_help())

  def error(self, message):
    """Ends the process with one line and exit code 2."""
    if message.startswith('the following arguments are required'):
      # Perhaps one of them was mistyped: that is the nearer error.
      options = [x.partition('=')[0] for x in self._given]
      known = self._option_string_actions
      for option in options:
        if option.startswith('--') and option not in known:
          names = [name.lstrip('-') for name in known]
          near = nearest(option.lstrip('-'), names)
          if near:
            message = f'unrecognized arguments: {option}{near}'
            break
    if given := _NO_VALUE.fullmatch(message):
      message = f'{given[1]} takes no value, not {given[2]}'
    complain(message)
    self.exit(2)


# What `argparse` says of --photos=3.
_NO_VALUE = re.compile(r'argument (.*): ignored explicit argument (.*)')


def _whole(text):
  try:
    return int(text)
  except ValueError as error:
    raise argparse.ArgumentTypeError(
      f'give a whole number, not {text!r}'
    ) from error


def _number(text):
  try:
    return float(text)
  except ValueError as error:
    raise argparse.ArgumentTypeError(f'give a number, not {text!r}') from error


def as_called(text):
  """`text` with the commands in it as this one was called.

  Installed ones are `palmjax` and `palmjax-NAME`, and others stay
  `python -m palmjax.NAME`.
  """
  if not pathlib.Path(sys.argv[0]).name.startswith('palmjax'):
    return text
  text = text.replace('python -m palmjax.main', 'palmjax')
  return text.replace('python -m palmjax.', 'palmjax-')


def nearest(name, names):
  """Returns '; did you mean --NAME?' of the most alike name, or ''.

  Args:
    name: that an option was given, without its dashes.
    names: of all options.
  """
  matches = difflib.get_close_matches(name, names, 1)
  return f'; did you mean --{matches[0]}?' if matches else ''


def version():
  """The version of palmjax, of the checkout or of the installation."""
  project = pathlib.Path(__file__).parents[1] / 'pyproject.toml'
  # A checkout may be run where another version is installed.
  if project.is_file():
    return tomllib.loads(project.read_text())['project']['version']
  return importlib.metadata.version('palmjax')


def path(text):
  """A path as typed, `~` being the home folder: a `type` for `argparse`."""
  if not text.strip():
    raise argparse.ArgumentTypeError('give a path, not an empty text')
  return home(text)


def add_networks(parser):
  """Adds --photos and the folders of the networks that decide on palms."""
  parser.add_argument(
    '--photos', action='store_true', help='images show whole hands'
  )
  for name, default, text in (
    ('export', shipped.PALM, 'another trained network'),
    ('detector', shipped.HAND, 'with --photos: another detector'),
    (
      'palm-frame',
      shipped.PALM_FRAME,
      'with --photos: another reader of palm frames',
    ),
  ):
    parser.add_argument(
      f'--{name}', metavar='DIR', type=path, default=default, help=text
    )


def check_networks(parser, args):
  """Ends the process if networks of --photos are given without it."""
  for name, default in (
    ('detector', shipped.HAND),
    ('palm-frame', shipped.PALM_FRAME),
  ):
    given = getattr(args, name.replace('-', '_'))
    if given != default and not args.photos:
      parser.error(f'--{name}={given}: only with --photos; add it')


def home(text):
  """`text` with the home folder in place of a leading `~` or `~name`."""
  # The shell leaves --name=~/x as it is.
  return os.path.expanduser(text)


def complain(message):
  """Prints one line for the user to standard error."""
  with contextlib.suppress(OSError):
    sys.stdout.flush()
  line = ' '.join(as_called(str(message)).split()) or 'an error without words'
  # Names of files need not be UTF-8.
  line = line.encode(errors='backslashreplace').decode()
  with contextlib.suppress(OSError):
    print(f'palmjax: {line}', file=sys.stderr, flush=True)


def command(main):
  """Makes main(argv=None) → exit code a command that never ends in a traceback.

  Errors that name a user's mistake or the machine's limits end in one line.
  Other exceptions are mistakes of ours and keep their traceback.
  """

  @functools.wraps(main)
  def guarded(argv=None):
    if hasattr(sys.stdout, 'reconfigure'):  # Not so where tests read it.
      sys.stdout.reconfigure(errors='backslashreplace')
    try:
      try:
        return main(argv)
      finally:
        sys.stdout.flush()
    except BrokenPipeError:
      return 141
    except KeyboardInterrupt:
      complain('stopped')
      return 130
    except (ValueError, OSError) as error:
      complain(error)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
      complain(of_memory(error))
    finally:
      _drop_what_cannot_be_written()
    return 1

  return guarded


def of_memory(error):
  """The text of an error of JAX or Python, with advice if memory is short."""
  short = isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error)
  return f'out of memory; lower the batch sizes: {error}' if short else error


def _drop_what_cannot_be_written():
  """Python's last flush would fail again, with lines below our last one."""
  try:
    sys.stdout.flush()
  except OSError:
    with contextlib.suppress(OSError, ValueError):
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def start(*, cache=True):
  """Starts JAX as palmjax needs it; call it once the arguments are parsed.

  Args:
    cache: whether compiled programs are read and kept (`compile_cache`).

  Raises:
    ValueError: JAX cannot use the devices that JAX_PLATFORMS names.
  """
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  changed = [
    name
    for name, value in _NUMBERS.items()
    if getattr(jax.config, name) != value
  ]
  for name in changed:
    jax.config.update(name, _NUMBERS[name])
  if changed:
    complain(
      f'{", ".join(changed).upper()} of the environment: not used, palmjax '
      'computes in 32 bits and draws the same random numbers everywhere'
    )
  allocator.keep_freed_memory()
  compile_cache.start(use=cache)
  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:  # JAX without any plugin.
    first = str(error).strip().partition('\n')[0] or 'no such platform'
    raise ValueError(
      f'JAX_PLATFORMS={jax.config.jax_platforms or ""} cannot be used on this '
      f'machine: give JAX_PLATFORMS=cpu, or leave it out ({first})'
    ) from error
