"""Runs the notebooks of this folder and keeps what they show.

python -m launch.colab [NAME …] [--size=smoke]

The notebooks run one after the other, each in an empty folder. Progress, which
has times of this machine, is not kept. Open launch/colab/NAME.ipynb in Colab or
in Jupyter to run one by hand. Needs requirements-dev.txt.
"""

import argparse
import os
import pathlib
import sys
import tempfile

import nbclient
import nbformat

FOLDER = pathlib.Path(__file__).parent
ROOT = FOLDER.parents[1]
NAMES = tuple(sorted(path.stem for path in FOLDER.glob('*.ipynb')))
# Seconds that a cell may take.
_LONGEST = 3600


def main(argv=None):
  """The command line."""
  summary, _, text = __doc__.partition('\n')
  parser = argparse.ArgumentParser(
    prog='python -m launch.colab',
    description=summary,
    epilog=text,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('names', nargs='*', metavar='NAME', default=NAMES)
  parser.add_argument('--size', default='smoke', help='SIZE of the notebooks')
  args = parser.parse_args(argv)
  for name in args.names:
    if name not in NAMES:
      parser.error(f'no notebook {name!r}: choose of {", ".join(NAMES)}')
  for name in args.names:
    path = FOLDER / f'{name}.ipynb'
    with tempfile.TemporaryDirectory() as folder:
      book = execute(path, size=args.size, folder=folder)
    nbformat.write(book, path)
    print(f'{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes')


def execute(path, *, size, folder):
  """Runs a notebook.

  Args:
    path: of the notebook.
    size: its SIZE.
    folder: that it runs in; its runs stay there.

  Returns:
    The notebook with what its cells showed, without progress.

  Raises:
    nbclient.exceptions.CellExecutionError: a cell failed.
  """
  book = nbformat.read(path, as_version=4)
  client = nbclient.NotebookClient(
    book,
    timeout=_LONGEST,
    kernel_name='python3',
    record_timing=False,
    coalesce_streams=True,
    resources={'metadata': {'path': str(folder)}},
  )
  paths = [str(ROOT), os.environ.get('PYTHONPATH', '')]
  client.execute(
    env={
      **os.environ,
      'PALMJAX_SIZE': size,
      'PYTHONPATH': os.pathsep.join(filter(None, paths)),
    }
  )
  for cell in book.cells:
    if cell.cell_type == 'code':
      cell.outputs = [
        output for output in cell.outputs if not _is_progress(output)
      ]
  # The versions of this machine's Python are no part of the notebook.
  book.metadata.language_info = {'name': 'python'}
  return book


def _is_progress(output):
  """Standard error, or a line of `engine.logs` as notebooks show it."""
  return output.get('name') == 'stderr' or 'text/html' in output.get('data', {})


if __name__ == '__main__':
  sys.exit(main())
