import base64
import dataclasses
import html.parser
import io
import re

import jinja2
import numpy as np
import pytest
from PIL import Image

from palmjax.report import html as report
from palmjax.report import plots, score_plots

HOSTILE = '<script>alert("$1$")</script>&x'
VOID = {'meta', 'img', 'br', 'link', 'input', 'hr'}


class Checker(html.parser.HTMLParser):
  """Balance of tags, ids, attributes and text of a document."""

  def __init__(self, document):
    super().__init__()
    self.open, self.starts, self.words = [], [], []
    self.feed(document)
    self.close()
    assert self.open == []

  def handle_starttag(self, tag, attrs):
    self.starts.append((tag, dict(attrs)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.starts.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] != 'style':
      self.words.append(data)

  @property
  def text(self):
    return ' '.join(' '.join(self.words).split())

  def all(self, tag):
    return [attrs for name, attrs in self.starts if name == tag]


def full_report(path, *, name='cnn2', tone='good'):
  """Every kind of section, `name` in all places where a user's text can be."""
  generator = np.random.default_rng(0)
  fmr = np.linspace(0.01, 1.0, 50)
  curve = (fmr, 0.1 * (1 - fmr))
  steps = np.arange(100)
  image = generator.integers(0, 256, (8, 8, 3), np.uint8)
  eer = {'value': 0.042, 'low': 0.03, 'high': 0.05}
  missing = {'value': None, 'reason': 'not measurable with 250 pairs'}
  report.write(
    path,
    title=f'run of {name}',
    headline=f'{name} is better.',
    tone=tone,
    summary=f'About {name}.',
    highlights=[report.Highlight(name, '0.81 ×', f'note on {name}')],
    sections=[
      report.Table(
        f'Error rates {name}',
        [
          report.Column('eer', 'EER', '%', better='lower'),
          report.Column('tar@far=1e-3', 'TAR', '%', 1),
          report.Column('params', 'Parameters'),
        ],
        {
          name: {'eer': eer, 'tar@far=1e-3': missing, 'params': 12345},
          'control': {'eer': {'value': 0.08, 'low': 0.07, 'high': 0.09}},
        },
        text=f'All pairs of {name}.',
      ),
      report.Figures(
        'Curves',
        [
          dataclasses.replace(
            score_plots.det({'control': curve, name: curve}), caption=name
          ),
          score_plots.histogram(
            generator.normal(1, 1, 99),
            generator.normal(0, 1, 99),
            title=name,
            threshold=0.5,
          ),
          plots.losses({name: (steps, 1 / (1 + steps))}, title='Loss'),
          plots.intervals({'control': eer, name: missing}, title='EER'),
        ],
      ),
      report.Grid(
        'Palms',
        {
          f'Real {name}': [report.tile(image, alt=f'palm of {name}')],
          'Generated': [
            report.tile(
              image[:, :, :1],
              alt='generated palm',
              caption=name,
              shares=[(name, 0.75), ('other', 0.25)],
            )
          ],
        },
      ),
      report.Values(
        'Config', {'data': {name: name, 'sizes': (1, 2)}, 'x': 0.5}
      ),
    ],
    footer=name,
  )
  return path.read_text(encoding='utf-8')


def test_document_is_well_formed(tmp_path):
  document = full_report(tmp_path / 'report.html')
  page = Checker(document)
  assert document.startswith('<!doctype html>')
  assert [attrs['lang'] for attrs in page.all('html')] == ['en']
  assert len(page.all('h1')) == 1
  ids = [attrs['id'] for _, attrs in page.starts if 'id' in attrs]
  assert len(ids) > 20
  assert len(set(ids)) == len(ids)
  links = re.findall(r'(?:url\(|href=")#([^")]+)', document)
  assert links
  assert set(links) <= set(ids)


def test_nothing_is_loaded_from_elsewhere(tmp_path):
  document = full_report(tmp_path / 'report.html')
  assert 'http' not in document
  page = Checker(document)
  for tag in ('script', 'link', 'iframe', 'object'):
    assert not page.all(tag)
  for _, attrs in page.starts:
    for key in ('src', 'href'):
      assert attrs.get(key, '#').startswith(('#', 'data:image/png;base64,'))
  assert '@import' not in document


def test_hostile_names_stay_text(tmp_path):
  document = full_report(tmp_path / 'report.html', name=HOSTILE)
  page = Checker(document)
  assert not page.all('script')
  # Title, headline, summary, highlight (2), table (3), captions (2), plots
  # (histogram title, DET and interval labels), grid (3), values (2), footer.
  assert page.text.count(HOSTILE) >= 15
  assert any(attrs['alt'] == f'palm of {HOSTILE}' for attrs in page.all('img'))


def test_every_picture_has_words(tmp_path):
  page = Checker(full_report(tmp_path / 'report.html'))
  images = page.all('img')
  assert len(images) == 2
  assert all(attrs['alt'] for attrs in images)
  figures = [attrs for attrs in page.all('div') if attrs.get('role') == 'img']
  assert len(figures) == len(page.all('svg')) == 4
  assert [attrs['aria-label'] for attrs in figures] == [
    'DET: curves of control, cnn2.',
    'cnn2: score histograms of genuine and impostor pairs.',
    'Loss over training steps: cnn2.',
    'EER: control 0.04 [0.03, 0.05]; cnn2 not measurable with 250 pairs.',
  ]


def test_table_has_headers_and_reasons(tmp_path):
  page = Checker(full_report(tmp_path / 'report.html'))
  scopes = [attrs['scope'] for attrs in page.all('th')]
  assert scopes == ['col'] * 4 + ['row'] * 2
  assert len(page.all('caption')) == 1
  assert '4.20\N{NO-BREAK SPACE}%'.replace('\xa0', ' ') in page.text
  assert '[3.00, 5.00]' in page.text
  assert 'not measurable with 250 pairs' in page.text
  assert '12,345' in page.text
  best = [attrs for attrs in page.all('td') if attrs.get('class') == 'best']
  assert [attrs['data-label'] for attrs in best] == ['EER']


def test_only_long_words_break_a_line(tmp_path):
  path = tmp_path / 'report.html'
  words = 'some attack: 12, another attack: 9, others: 19'
  report.write(
    path,
    title='t',
    headline='h',
    summary='s',
    highlights=[],
    sections=[
      report.Table(
        'Attacks',
        [report.Column('a', 'A'), report.Column('b', 'B')],
        {'plain': {'a': words, 'b': '39.0 %'}},
        text='',
      )
    ],
  )
  document = path.read_text()
  assert f'<span class="number long">{words}<' in document
  assert '<span class="number">39.0' in document


def test_same_arguments_same_bytes(tmp_path):
  assert full_report(tmp_path / 'a.html') == full_report(tmp_path / 'b.html')


def test_values_are_flattened():
  section = report.Values(
    'Config',
    {'a': {'b': 1, 'c': {'d': 0.5}}, 'e': [1, 2], 'f': {}, 'g': None}
    | {'h': '', 'i': []},
  )
  assert section.flat() == [
    ('a.b', '1'),
    ('a.c.d', '0.5'),
    ('e', '1, 2'),
    ('f', '{}'),
    ('g', 'None'),
    ('h', 'none'),
    ('i', 'none'),
  ]


@pytest.mark.parametrize('shape', [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_tile_keeps_every_pixel(shape):
  image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  source = report.tile(image, alt='palm').source
  data = base64.b64decode(source.removeprefix('data:image/png;base64,'))
  decoded = np.asarray(Image.open(io.BytesIO(data)))
  np.testing.assert_array_equal(decoded, image.squeeze())


def test_tile_wants_bytes():
  with pytest.raises(ValueError, match='uint8, got float32'):
    report.tile(np.zeros((4, 4, 3), np.float32), alt='palm')


def test_write_into_nowhere_keeps_the_old_report(tmp_path):
  with pytest.raises(OSError, match='a folder of this path is missing'):
    report.write(tmp_path / 'no' / 'report.html', title='t', headline='h')
  report.write(tmp_path / 'report.html', title='t', headline='first')
  with pytest.raises(jinja2.UndefinedError):
    report.write(
      tmp_path / 'report.html', title='t', headline='h', sections=[object()]
    )
  assert 'first' in (tmp_path / 'report.html').read_text()
  assert len(list(tmp_path.iterdir())) == 1


def test_names_that_are_not_utf_8_are_escaped(tmp_path):
  path = tmp_path / 'report.html'
  report.write(path, title='t', headline='read from d\udce9')
  assert r'read from d\udce9' in path.read_text()
