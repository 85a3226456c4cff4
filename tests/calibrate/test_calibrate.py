"""palmjax.calibrate on drawn palms, as a user would run it."""

import html
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from palmjax import calibrate, verify
from palmjax.inference import verifier
from palmjax.networks import shipped, weights_file

PALMS = 41  # As many as the folders hold.


def test_a_cohort_of_a_folder_decides(ask, folders, untrained, flat_cohort):
  out, text = flat_cohort
  lines = text.splitlines()
  assert lines[0] == '41 palms, 820 pairs of different palms'
  assert lines[2].split()[0::2] == ['1e-1', 'measured']
  assert lines[3].split()[0::2] == ['1e-2', 'extrapolated']
  assert 'FNMR' not in text
  assert '41 palms: 1e-2 and 1e-3 extrapolated' in text
  assert '1e-3 takes 246 palms' in text
  assert f'{out}: templates of these palms, no images' in text
  assert f'python -m palmjax.verify A.jpg B.jpg --cohort={out}' in lines[-1]

  v = verifier.load(untrained).load_cohort(out)
  rates = [line.split()[:2] for line in lines[2:5]]
  for rate, threshold in rates:
    assert float(threshold) == pytest.approx(v.threshold(float(rate)), abs=1e-3)
  one, again, other = (
    folders / 'known' / name for name in ('p00/0.png', 'p00/1.png', 'p01/0.png')
  )
  for image, decision in ((again, 'same'), (other, 'different')):
    code, text, _ = ask(
      *(one, image, '--fmr=1e-2', f'--cohort={out}', '--json'), command=verify
    )
    answer = json.loads(text)
    assert (code, answer['decision']) == (0, decision)
    assert (
      answer['set_on'] == "820 pairs of 41 palms, extrapolated: palms of 'flat'"
    )

  page = out.with_suffix('.html').read_text()
  assert '41 palms measure false match rates down to 1e-1' in page
  for _, threshold in rates:
    assert f'{float(threshold):.2f}' in page
  assert 'Fused score without a cohort' in page
  assert 'Fine lines: mean directions of lines' in page
  assert 'To compare: drawn palms, fingers up' in page
  assert '<img' not in page


def _table(page, title):
  """[[text of each cell], …] of a table of the report."""
  section = page.partition(f'<h2>{title}</h2>')[2].partition('</table>')[0]
  rows = re.findall(r'<tr[^>]*>(.*?)</tr>', section, re.DOTALL)
  cells = [re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', x, re.DOTALL) for x in rows]
  return [
    [html.unescape(re.sub(r'<[^>]*>', '', x)).strip() for x in row]
    for row in cells
  ]


def test_the_network_s_own_thresholds_stand_beside_those_of_the_cohort(
  folders, untrained, flat_cohort
):
  v = verifier.load(untrained, score='network')
  camera = verifier.load(untrained).load_cohort(flat_cohort[0])
  paths = sorted((folders / 'flat').iterdir())
  images = [np.asarray(Image.open(path)) for path in paths]
  scores = v.scores(images, images)
  page = flat_cohort[0].with_suffix('.html').read_text()
  assert 'set on 31,125 impostor pairs: drawn palms of a test' in page
  assert 'Network alone: histograms of impostor pairs' in page
  head, *rows = _table(
    page, 'The network alone, by the thresholds that came with it'
  )
  assert head[1:3] == ['Network: threshold', 'Network: FMR of these pairs']
  assert head[3:] == ['Cohort: threshold', 'Cohort: FMR of these pairs']
  assert len(rows) == 2
  for row, fmr in zip(rows, (1e-2, 1e-3), strict=True):
    passed = sum(
      scores[i, j] >= v.threshold(fmr) for i in range(PALMS) for j in range(i)
    )
    assert 0 < passed < 820
    assert row[:4] == [
      f'{fmr:.0e}'.replace('e-0', 'e\N{NON-BREAKING HYPHEN}'),
      f'{v.threshold(fmr):.2f}',
      f'{100 * passed / 820:.3f}\xa0%',
      f'{camera.threshold(fmr):.2f}',
    ]
  # And the line of no cohort is there, too.
  assert _table(page, 'Without a cohort')[0][1] == 'Threshold'


@pytest.mark.slow
def test_known_palms_give_fnmr(ask, folders, flat_cohort, untrained, tmp_path):
  out = tmp_path / 'cohort.npz'
  code, text, _ = ask(folders / 'known', '--known', f'--out={out}', '--json')
  assert code == 0
  answer = json.loads(text)
  assert (answer['palms'], answer['pairs']) == (PALMS, 820)
  assert (answer['genuine_palms'], answer['genuine_pairs']) == (PALMS, PALMS)
  assert answer['cohort'] == str(out)
  fnmrs = [row['fnmr'] for row in answer['rates']]
  missed = [fnmr['missed'] for fnmr in fnmrs]
  assert missed == sorted(missed)
  assert missed[0] < PALMS / 4
  for fnmr in fnmrs:
    assert fnmr['value'] == fnmr['missed'] / fnmr['pairs']
    assert 0 <= fnmr['low'] <= fnmr['value'] < fnmr['high'] <= 1
  page = out.with_suffix('.html').read_text()
  assert 'DET' in page
  assert 'FNMR at 1e-3' in page

  # The first image of each palm is the cohort, whatever else is known.
  v = verifier.load(untrained).load_cohort(flat_cohort[0])
  for row in answer['rates']:
    assert row['threshold'] == v.threshold(row['fmr'])


def test_damaged_images_are_left_out(ask, bare, flat, tmp_path):
  (flat / 'p00.png').write_bytes(b'no image')
  out = tmp_path / 'out'
  out.mkdir()
  code, text, _ = ask(
    *(flat, f'--export={bare}', f'--out={out}', f'--report={tmp_path}/r.html')
  )
  assert code == 3
  lines = text.splitlines()
  assert lines[0].startswith('left out: ')
  assert 'p00.png: is no image that can be read' in lines[0]
  assert lines[1].startswith(f'{PALMS - 1} palms, ')
  assert (out / 'cohort.npz').exists()
  # A network without thresholds is no table of them.
  page = (tmp_path / 'r.html').read_text()
  assert 'Without a cohort' in page
  assert 'The network alone' not in page


def test_too_few_palms(refusal, flat):
  for path in sorted(flat.iterdir())[29:]:
    path.unlink()
  error = refusal(flat)
  assert '29 palms: a cohort needs 30 or more, 36 for the false match' in error


@pytest.mark.parametrize('palms', [35, 36])
def test_the_next_command_has_a_rate_that_is_known(ask, flat, tmp_path, palms):
  for path in sorted(flat.iterdir())[palms:]:
    path.unlink()
  out = tmp_path / 'c.npz'
  _, text, _ = ask(flat, f'--out={out}')
  line = text.splitlines()[-1]
  assert f' --cohort={out} ' in line
  assert line.endswith(' --fmr=1e-2') == (palms < 36)


def test_images_of_one_person(refusal, flat):
  image = Image.open(flat / 'p00.png')
  for i, path in enumerate(sorted(flat.iterdir())):
    image.rotate(i / 10).save(path)
  assert 'look like images of one palm' in refusal(flat)


def test_one_palm_twice_is_named_by_its_files(refusal, folders, flat):
  shutil.copy(folders / 'known' / 'p03' / '1.png', flat / 'again.png')
  error = refusal(flat)
  assert 'again.png and p03.png: look like one palm twice' in error
  assert '--known' in error


def test_images_that_are_there_twice_are_named(refusal, flat):
  for path in sorted(flat.iterdir())[8:]:
    path.unlink()
  for path in list(flat.iterdir()):
    for copy in 'abcd':
      shutil.copy(path, flat / f'{path.stem}{copy}.png')
  error = refusal(flat)
  assert 'p00.png and p00a.png, p00.png and p00b.png, ' in error
  assert ' and 27 more: one image twice; give each image once' in error


def test_what_is_no_palm_is_named_by_its_file(refusal, flat):
  stripes = np.tile(np.uint8([0, 0, 0, 0, 255, 255, 255, 255]), (64, 8))
  Image.fromarray(stripes).save(flat / 'stripes.png')
  error = refusal(flat)
  assert 'palmjax: stripes.png: unlike the other palms' in error


def test_folders_without_palms(refusal, tmp_path):
  (tmp_path / 'empty').mkdir()
  assert 'no image in' in refusal(tmp_path / 'empty')
  assert 'there is no folder' in refusal(tmp_path / 'nowhere')


def test_several_images_of_a_palm_need_known(refusal, folders):
  error = refusal(folders / 'known')
  assert '41 folders hold several images, such as p00: if the images' in error
  assert 'add --known' in error


def test_images_that_are_no_cut_outs_are_told(ask, flat, tmp_path):
  for name in ('p00.png', 'p01.png'):
    Image.open(flat / name).crop((0, 0, 64, 48)).save(flat / name)
  shutil.copy(flat / 'p02.png', flat / 'x_boxes.jpg')
  (flat / 'x.json').write_text('{}')
  code, text, errors = ask(flat, f'--out={tmp_path}/c.npz', '--json')
  assert code == 0
  assert json.loads(text)['palms'] == PALMS
  assert errors == (
    'palmjax: warning: p00.png is no square cut-out, p01.png is no square '
    'cut-out; if an image shows a whole hand add --photos\n'
    'palmjax: warning: pictures of palmjax.detect are passed over, as they are '
    'no palms: 1 *_boxes.jpg\n'
  )


def test_whole_hands_without_photos_are_refused(refusal, flat):
  for path in sorted(flat.iterdir())[:21]:
    image = Image.new('RGB', (64, 64), (180, 182, 184))
    image.paste((200, 150, 120), (16, 12, 48, 64))
    image.save(path)
  error = refusal(flat)
  assert '21 of 41 images seem to show whole hands, such as p00.png' in error
  assert 'add --photos' in error


def test_known_needs_two_images_of_a_palm(refusal, flat):
  assert 'no palm has two images' in refusal(flat, '--known')


def test_output_that_cannot_be_written(ask, folders, tmp_path):
  (tmp_path / 'file').write_text('')
  code, output, error = ask(
    folders / 'flat', f'--out={tmp_path}/file/cohort.npz'
  )
  assert (code, output) == (1, '')
  assert 'cannot make the folder' in error
  assert error.count('\n') == 1


def test_cohorts_that_are_not_for_use(ask, folders, flat_cohort, tmp_path):
  good, _ = flat_cohort
  pair = folders / 'flat' / 'p00.png', folders / 'flat' / 'p01.png'

  def refused(path, *options):
    code, output, error = ask(
      *pair, f'--cohort={path}', *options, command=verify
    )
    assert (code, output, error.count('\n')) == (1, '', 1)
    return error

  assert 'was made with other turns' in refused(good, '--turns')
  error = refused(good, f'--export={shipped.PALM}')
  assert 'was made with another network and other turns: make it' in error
  # Nobody's image is to be written over.
  error = refused(pair[0])
  assert error.endswith('calibrate DIR --out=cohort.npz\n')
  bad = tmp_path / 'bad.npz'
  arrays = weights_file.unpack(good.read_bytes(), 'good')
  bad.write_bytes(
    weights_file.pack({**arrays, 'thresholds': arrays['thresholds'] - 1})
  )
  assert 'is damaged or edited' in refused(bad)
  bad.write_bytes(good.read_bytes()[:-100])
  assert 'is no cohort, or damaged' in refused(bad)


@pytest.mark.parametrize(
  'arguments, message',
  [
    ([], 'the following arguments are required: DIR'),
    (['palms', 'more'], 'unrecognized arguments: more'),
    (['palms', '--out='], 'give a path'),
    (['palms', '--out=c.html'], '--report=c.html: the same file'),
    (['palms', '--fmr=1e-3'], 'unrecognized arguments: --fmr'),
  ],
)
def test_wrong_command_lines(capsys, arguments, message):
  with pytest.raises(SystemExit) as stop:
    calibrate.main(arguments)
  assert stop.value.code == 2
  errors = capsys.readouterr().err
  assert message in errors
  assert errors.count('\n') == 1
