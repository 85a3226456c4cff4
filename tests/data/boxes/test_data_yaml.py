import pytest

from palmjax.data.boxes import data_yaml


def _read(tmp_path, text, encoding='utf-8'):
  path = tmp_path / 'data.yaml'
  path.write_bytes(text.encode(encoding))
  return data_yaml.read(path)


@pytest.mark.parametrize(
  'text',
  [
    "names: [don't, one]\n",
    'names: ["don\'t", one]\n',
    "names:\n  - don't\n  - one\n",
    'names: {"0": "don\'t", "1": one}\n',
    "names:\n  '0': don't\n  '1': one\n",
    "names: &n\n  - don't\n  - one\nother: *n\n",
    '{"names": ["don\'t", "one"], "nc": 2}\n',
    "'names': [don't, one]\n",
    "---\nnames: [don't, one,]\n...\n",
    "names:  # See [1].\n  - don't # One.\n  - one\n",
    "names:\n  1: one\n  0: don't\n",
    "\ufeffnames:\r\n- don't\r\n- one\r\n",
    "path: x # names: [a]\nnames: [don't,\n  one]\ndownload: |\n  names: [x]\n",
  ],
)
def test_names_are_what_yaml_says(tmp_path, text):
  names = _read(tmp_path, text).names
  assert list(names.items()) == [(0, "don't"), (1, 'one')]


def test_other_encodings_and_odd_names(tmp_path):
  assert _read(tmp_path, 'names: [fünf]', 'utf-16').names == {0: 'fünf'}
  text = "names: {0: 'five #5', 3: 'hand: open', 4: 7}"
  assert _read(tmp_path, text).names == {0: 'five #5', 3: 'hand: open', 4: '7'}


@pytest.mark.parametrize(
  'text, message',
  [
    ('names: classes.txt', 'no class names; write them as'),
    ('names: {}', 'no class names'),
    ('just a text', 'no class names'),
    ('names: {0: yes, 1: no}', 'name of class 0 is True in YAML; put it in q'),
    ('names: [one, null]', 'name of class 1 is None in YAML'),
    ('names: [one, 2024-01-01]', 'name of class 1 is datetime'),
    ('names: [one, 2024-13-13]', 'cannot be read as YAML: month'),
    ('names: [[one], two]', r"name of class 0 is \['one'\] in YAML"),
    ('names: [one, "  "]', 'class 1 has no name'),
    ('names: {0: one, 0: two}', 'the key 0 stands twice'),
    ('names: {0: one, "0": two}', 'class 0 of names stands twice'),
    ('names: [one]\nnames: [two]', 'the key names stands twice'),
    ('names: {one: 0}', "class 'one' of names is no number"),
    ('names: {-1: one}', 'class -1 of names is no number'),
    ('names: {true: one}', 'class True of names is no number'),
    ('names: [one', 'cannot be read as YAML'),
    ('names: !!python/name:os.system x', 'cannot be read as YAML'),
    ('names: [a]\n---\nnames: [b]', 'cannot be read as YAML'),
    ('names: [a]\ntrain: 3', 'train: 3 is no folder'),
    ('names: [a]\nkpt_shape: 4', 'kpt_shape: 4; write it as'),
    ('names: [a]\nkpt_shape: [4, 5]', 'kpt_shape'),
    ('names: [a]\nkpt_shape: [0, 2]', 'kpt_shape'),
  ],
)
def test_what_is_refused(tmp_path, text, message):
  with pytest.raises(ValueError, match=rf'data\.yaml.*{message}') as error:
    _read(tmp_path, text)
  assert '\n' not in str(error.value)


def test_names_that_are_not_utf_8_are_refused(tmp_path):
  with pytest.raises(ValueError, match=r'data\.yaml cannot be read as YAML'):
    _read(tmp_path, 'names: [fünf]', 'latin-1')


def test_places_and_key_points(tmp_path):
  description = _read(
    tmp_path, 'path: ..\ntrain: [a, b]\nval: c\ntest:\nnames: [x]\n'
  )
  assert description.root == '..'
  assert description.places == {'train': ('a', 'b'), 'val': ('c',)}
  assert description.keypoints is None
  assert _read(tmp_path, 'names: [x]\nkpt_shape: [21, 3]').keypoints == (21, 3)
