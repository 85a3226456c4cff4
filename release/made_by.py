"""How shipped weights were made: made_by.json, and the README.md made from it.

made_by.json has these keys:

* 'name': the folder's name.
* 'about': sentences for the README.
* 'files': list of {'names': of files, 'what': they hold}.
* 'figures': names of the files with error rates.
* 'commands': what made the weights, in order. Each one has 'argv', its words,
  and 'seed'. Where a module had another name when the command ran, shipped
  weights have that name as 'ran_as'. Where an option had another name, they
  have it as 'ran_with', {name now: name then}.
* 'shipped_in', for shipped weights: the commits that brought them, and what is
  not known.

Paths are placeholders: {workdir} is the folder in which everything is made,
{boxes} the folder of real images with boxes, and {set} the set of drawn palms
that the nearest command before it has drawn. `release.rebuild` fills them in.
"""

import json
import re
import shlex

from palmjax import files

FILE = 'made_by.json'
_PLACEHOLDER = re.compile(r'\{(boxes|set|workdir)\}')
_MEANINGS = {
  'workdir': 'DIR is the folder in which everything is made.',
  'boxes': 'BOXES is the folder of real images with boxes.',
  'set': 'SET is the set that the command before it has drawn.',
}
_README = """# {name}
{about}

| file | what |
| --- | --- |
{rows}

Made by
```
{commands}
```
{meanings}
This command runs them one after the other:
`python -m release.rebuild --weights={name} --workdir=DIR{boxes}`
"""


def write(folder, made_by):
  """Writes made_by.json and README.md into a folder of weights."""
  files.write_json(folder / FILE, made_by)
  files.write_file(folder / 'README.md', readme(made_by))


def read(folder):
  """Returns what made_by.json of a folder holds.

  Raises:
    OSError: the folder has none.
  """
  return json.loads((folder / FILE).read_text())


def readme(made_by):
  """Returns the text of README.md for the content of a made_by.json."""
  commands = [command['argv'] for command in made_by['commands']]
  used = placeholders(commands)
  return _README.format(
    name=made_by['name'],
    about='\n'.join(made_by['about']),
    rows='\n'.join(
      f'| {", ".join(f"`{name}`" for name in row["names"])} | {row["what"]} |'
      for row in made_by['files']
    ),
    commands='\n'.join(_shell(argv) for argv in commands),
    meanings='\n'.join(
      meaning for name, meaning in _MEANINGS.items() if name in used
    ),
    boxes=' --boxes=BOXES' if 'boxes' in used else '',
  )


def placeholders(commands):
  """Names of the placeholders in lists of words: a set."""
  return {
    name for words in commands for name in _PLACEHOLDER.findall(' '.join(words))
  }


def fill(words, places):
  """Puts paths in place of placeholders.

  Args:
    words: list of str.
    places: {name of a placeholder: path}.

  Returns:
    list of str.
  """
  return [
    _PLACEHOLDER.sub(lambda match: str(places[match[1]]), word)
    for word in words
  ]


def row(names, what):
  """A row of 'files': names, separated by blanks, and what the files hold."""
  return {'names': names.split(), 'what': what}


def inside(commands, folder):
  """The same commands, with everything made in a folder of the workdir."""
  return [
    {
      **command,
      'argv': [
        word.replace('{workdir}', f'{{workdir}}/{folder}')
        for word in command['argv']
      ],
    }
    for command in commands
  ]


def _shell(argv):
  """Words as lines of a shell, with paths in capitals."""
  head, rest = argv[:3], argv[3:]
  lines = [' '.join(head)]
  for word in rest:
    word = _PLACEHOLDER.sub(
      lambda match: {'workdir': 'DIR'}.get(match[1], match[1].upper()), word
    )
    word = _quoted(word)
    # A value stands beside its option.
    if word.startswith('-') or lines[-1] == ' '.join(head):
      lines.append(word)
    else:
      lines[-1] += f' {word}'
  return ' \\\n  '.join(lines)


def _quoted(word):
  """A word for a shell, in double quotes where this can be read better."""
  if shlex.quote(word) == word:
    return word
  if re.search(r'["$`\\!]', word):
    return shlex.quote(word)
  option, equals, value = word.rpartition('=')
  return f'{option}{equals}"{value}"'
