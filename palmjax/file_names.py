"""Names of files: as text that can be printed, and when two names are one.

A file's name is bytes. Python reads bytes that are not UTF-8 as lone
surrogates, which no terminal, text file or hash takes.
"""

import os
import re
import unicodedata

# Surrogates; and controls, which would move a terminal's cursor.
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f\ud800-\udfff]')


def printable(name):
  """A file's name or path as text: '\\xe9' for a byte that is not UTF-8.

  Names that are UTF-8 and hold no control character stay as they are.
  """
  return _UNPRINTABLE.sub(_escape, os.fspath(name))


def _escape(match):
  code = ord(match[0])
  if code < 0x80:
    return f'\\x{code:02x}'
  # Python's mark of a byte is the byte behind 0xdc00.
  return (
    f'\\x{code - 0xDC00:02x}' if 0xDC80 <= code < 0xDD00 else f'\\u{code:x}'
  )


def composed(name):
  """A name with every accent joined to its letter (Unicode NFC).

  Copies from a Mac hold the letter and the accent one after the other: another
  name to the file system, the same one to a reader.
  """
  return unicodedata.normalize('NFC', name)


def spelled(name):
  """`name`, with its letters' codes where it is not plain ASCII.

  Two names that look the same differ in it.
  """
  return name if name.isascii() else f'{name} ({ascii(name)[1:-1]})'
