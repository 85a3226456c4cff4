"""Learns a camera from palms, so that decisions hold there.

python -m palmjax.calibrate DIR --out=cohort.npz
python -m palmjax.calibrate DIR --out=cohort.npz --photos
python -m palmjax.calibrate DIR --out=cohort.npz --known

DIR holds 30 palms or more, better 250, all taken by the camera in use. Of 30 to
35 palms verify needs --fmr=1e-2: the FMR of 1e-3, its default, takes 36. Give
one image of each palm, <image> or <identity>/<image>; a left and a right hand
are two palms. With --known a folder <identity> holds several images of one
palm: the first is used as above, and all of them measure how often a palm is
not recognised (FNMR). An image shows a palm as python -m palmjax.verify takes
it; with --photos it is a photo of a whole hand. Without --photos a folder is
refused if more than half of its images seem to show whole hands.

The output is a cohort, for `palmjax.verify --cohort`, and a report beside it.
Without --out they are cohort.npz and cohort.html in the current folder. Missing
folders are made. The cohort holds templates of the palms and no images. Palms
can be recognised by templates: they are biometric data. From Python:

  v = palmjax.inference.verifier.load().with_cohort(images)
  v.save_cohort('cohort.npz')

Exit codes: 0 done; 1 there is no cohort (the last line says why and what to
do); 2 the command line is wrong; 3 done, but some images were left out.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import shlex
import sys
import warnings

from PIL import Image

from palmjax import compile_cache, file_names, files, terminal
from palmjax.evals.recognition import error_rates
from palmjax.inference import (
  cohort_file,
  cohort_study,
  cohort_words,
  palm_files,
  palm_turn,
  palm_warnings,
  verifier,
)
from palmjax.networks import shipped
from palmjax.report import cohort as cohort_report

_FMR = 1e-3  # That palmjax.verify takes by default.
_EXAMPLES = """examples:
  palmjax-calibrate palms --out=cohort.npz
  palmjax-calibrate photos --photos --known --out=door/cohort.npz
  palmjax-calibrate palms --export=runs/metric/network/export
"""


@terminal.command
def main(argv=None):
  """The command line; returns the exit code."""
  args = _parse(argv)
  terminal.start(cache=not args.no_cache)
  # Too large ones are refused in our own words; damaged tags are none.
  warnings.simplefilter('ignore', Image.DecompressionBombWarning)
  warnings.filterwarnings('ignore', module=r'PIL\.')
  answer = _calibrate(args)
  for line in answer['warnings']:
    terminal.complain(f'warning: {line}')
  if args.json:
    print(json.dumps(answer, ensure_ascii=False))
  else:
    print(terminal.as_called(cohort_words.text(answer)))
  return 3 if answer['left_out'] else 0


def _parse(argv):
  summary, _, text = __doc__.partition('\n')
  parser = terminal.Parser(
    'calibrate', description=summary, epilog=f'{text}\n{_EXAMPLES}'
  )
  parser.add_argument(
    'palms', metavar='DIR', type=terminal.path, help='folder of palms'
  )
  parser.add_argument(
    '--out',
    metavar='FILE',
    type=terminal.path,
    default=cohort_file.NAME,
    help=f'the cohort, or a folder for {cohort_file.NAME}; default: '
    f'{cohort_file.NAME}',
  )
  parser.add_argument(
    '--report',
    metavar='FILE',
    type=terminal.path,
    help='the report; default: beside the cohort, .html',
  )
  parser.add_argument(
    '--known',
    action='store_true',
    help='images of one folder show one palm; also measures FNMR',
  )
  parser.add_argument('--json', action='store_true', help='print JSON')
  terminal.add_networks(parser)
  parser.add_argument(
    '--turns',
    action=argparse.BooleanOptionalAction,
    help='as for palmjax.verify, which then needs the same option',
  )
  compile_cache.add_argument(parser)
  args = parser.parse_args(argv)
  terminal.check_networks(parser, args)
  if os.path.isdir(args.out):
    args.out = os.path.join(args.out, cohort_file.NAME)
  if args.report is None:
    args.report = os.path.splitext(args.out)[0] + '.html'
  if os.path.realpath(args.report) == os.path.realpath(args.out):
    parser.error(f'--report={args.report}: the same file as the cohort')
  return args


def _calibrate(args):
  """Writes cohort and report; the answer as plain values."""
  judge = verifier.load(args.export, turns=args.turns)
  if not os.path.isdir(args.palms):
    raise ValueError(
      f'there is no folder {file_names.printable(args.palms)}; give the folder '
      'of the palms'
    )
  for path in (args.out, args.report):  # Before the work.
    files.make_folder(os.path.dirname(path) or '.')
  read = palm_files.reader(
    size=judge.image_size,
    photos=args.photos,
    detector=args.detector,
    palm_frame=args.palm_frame,
  )
  palm_folder = palm_files.read_gallery(
    args.palms, read, each_once=not args.known
  )
  palm_warnings.require_palms_alone(palm_folder.palms)
  folder = pathlib.Path(os.path.abspath(args.palms)).name
  study = cohort_study.study(
    judge,
    palm_folder.palms,
    dataset=f"palms of '{file_names.printable(folder)}'",
    known=args.known,
    network=_alone(args, judge),
  )
  summary = cohort_study.summary(study)
  cohort = study.cohort._replace(photos=args.photos)
  dataclasses.replace(judge, cohort=cohort).save_cohort(args.out)
  cohort_report.write(
    args.report, study, summary, notes=cohort_words.limits(summary)
  )
  return {
    **summary,
    'photos': args.photos,
    'left_out': list(palm_folder.left_out),
    'warnings': [
      *palm_warnings.lines(palm_folder.palms, palm_folder.pictures),
      *_lie(study.cohort),
    ],
    'cohort': file_names.printable(args.out),
    'report': file_names.printable(args.report),
    'next': _next(args, cohort),
  }


def _alone(args, judge):
  """The `Verifier` of the network alone; None if it came without thresholds."""
  try:
    network = verifier.load(args.export, turns=judge.turns, score='network')
  except ValueError:  # They are damaged: `verify --score=network` says so.
    return None
  return network if network.calibration else None


def _lie(cohort):
  """A line if the palms seem to lie on their side, else none."""
  text = palm_turn.warning(palm_turn.fit(cohort.means.fine), cohort.dataset)
  if text:
    yield (
      f'{text}: look at some; if they lie so, turn the images and calibrate '
      'again'
    )


def _next(args, cohort):
  """The command that uses the cohort, with the options that it needs."""
  words = ['A.jpg', 'B.jpg', f'--cohort={args.out}']
  for name, default in (
    ('export', shipped.PALM),
    ('detector', shipped.HAND),
    ('palm_frame', shipped.PALM_FRAME),
  ):
    if getattr(args, name) != default:
      words.append(f'--{name.replace("_", "-")}={getattr(args, name)}')
  rates = [fmr for fmr, _ in cohort.thresholds]
  if _FMR not in rates:
    words.append(f'--fmr={error_rates.short(rates[-1])}')
  if args.turns is not None:
    words.append('--turns' if args.turns else '--no-turns')
  if args.photos:
    words.append('--photos')
  line = ' '.join(shlex.quote(word) for word in words)
  return file_names.printable(f'python -m palmjax.verify {line}')


if __name__ == '__main__':
  sys.exit(main())
