"""Names of values say what a value is."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# They say where a value comes from, or nothing at all.
REFUSED = {'found', 'own', 'another', 'told', 'this'}


def refused_names(source):
  """What a module calls by a name of `REFUSED`.

  Returns:
    [(line, name)]: variables, arguments, fields, imports under a new name, and
    functions, which as fixtures of tests are values.
  """
  named = []
  for node in ast.walk(ast.parse(source)):
    match node:
      case (
        ast.Name(id=name, ctx=ast.Store())
        | ast.Attribute(attr=name, ctx=ast.Store())
        | ast.arg(arg=name)
        | ast.FunctionDef(name=name)
        | ast.ExceptHandler(name=name)
        | ast.alias(asname=name)
        | ast.MatchAs(name=name)
        | ast.MatchStar(name=name)
        | ast.MatchMapping(rest=name)
      ) if name in REFUSED:
        named.append((node.lineno, name))
  return sorted(named)


@pytest.mark.parametrize(
  'source, name',
  [
    ('found = 1', 'found'),
    ('own += 1', 'own'),
    ('told: int = 1', 'told'),
    ('class A:\n  this: int', 'this'),
    ('self.another = 1', 'another'),
    ('a, (found, *b) = c', 'found'),
    ('*own, a = b', 'own'),
    ('for a, told in b:\n  pass', 'told'),
    ('[a for this in b]', 'this'),
    ('{a: b for a, another in c}', 'another'),
    ('if found := a():\n  pass', 'found'),
    ('with a() as own:\n  pass', 'own'),
    ('try:\n  pass\nexcept ValueError as told:\n  pass', 'told'),
    ('import a as this', 'this'),
    ('def another():\n  pass', 'another'),
    ('def f(found):\n  pass', 'found'),
    ('def f(own, /, a):\n  pass', 'own'),
    ('def f(a, *, told=1):\n  pass', 'told'),
    ('def f(*this):\n  pass', 'this'),
    ('def f(**another):\n  pass', 'another'),
    ('lambda found: 1', 'found'),
    ('match a:\n  case [1, own]:\n    pass', 'own'),
    ('match a:\n  case [1, *told]:\n    pass', 'told'),
    ('match a:\n  case {**this}:\n    pass', 'this'),
  ],
)
def test_every_way_to_name_a_value_is_seen(source, name):
  assert [name for _, name in refused_names(source)] == [name]


@pytest.mark.parametrize(
  'source',
  [
    'print(found)',
    'a.found()',
    "{'found': 1}",
    'f(found=1)',
    'not_found = this_one = 1',
    '"""What another one told: found = own."""',
  ],
)
def test_words_that_name_no_value_are_allowed(source):
  assert refused_names(source) == []


@pytest.mark.parametrize(
  'root', ['palmjax', 'configs', 'launch', 'release', 'tests']
)
def test_values_are_named_by_what_they_are(root):
  paths = sorted((ROOT / root).rglob('*.py'))
  assert paths
  offenders = [
    f'{path.relative_to(ROOT)}:{line}: {name}'
    for path in paths
    for line, name in refused_names(path.read_text())
  ]
  assert offenders == [], 'name each by what it is: `scores`, not `found`'
