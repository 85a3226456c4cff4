"""Options of packing commands are recorded where they are no defaults."""

import pytest

from palmjax.networks import shipped
from release import hand_weights, made_by, palm_weights, record


def test_options_that_differ_from_their_defaults():
  parser = hand_weights.parser()
  given = ['--out=o', '--form=coco', '--boxes=/b', '--images=300', '--palms=9']
  given += ['--difficulty=0.25', '--smaller', '0.5', '0.25', '--seed=4']
  args = parser.parse_args(given)
  assert record.options(
    parser, args, names={'boxes': '{boxes}', 'out': None}
  ) == [
    *('--boxes={boxes}', '--form=coco', '--palms=9', '--difficulty=0.25'),
    *('--seed=4', '--smaller', '0.5', '0.25'),
  ]
  # The command gives the same arguments.
  words = record.options(parser, args, names={})
  assert parser.parse_args(words) == args


@pytest.mark.parametrize(
  'packer, options',
  [
    (hand_weights, ['--images=5', '--palms=3', '--difficulty=0.75']),
    (hand_weights, ['--form=voc']),
    (palm_weights, ['--identities=9', '--subset=3', '--samples=2']),
    (palm_weights, ['--size=96', '--difficulty=0.75']),
    (palm_weights, []),
  ],
)
def test_what_is_packed_tells_all_options(
  tmp_path, monkeypatch, packer, options
):
  """Up to the measures: what comes before them is replaced by nothing."""
  packed = {}

  class DoneError(Exception):
    pass

  def pack(*args, **keywords):
    packed.update(keywords)
    raise DoneError

  monkeypatch.setattr(packer, 'pack', pack)
  with pytest.raises(DoneError):
    packer.main(['--run=r', f'--out={tmp_path}/o', *options])
  assert packed['options'] == options
  assert packed['seed'] == 2


def test_the_shipped_commands_are_read_by_todays_parsers():
  for folder, packer in (
    (shipped.HAND, hand_weights),
    (shipped.PALM_FRAME, hand_weights),
    (shipped.PALM, palm_weights),
  ):
    words = made_by.read(folder)['commands'][-1]['argv']
    assert packer.parser().parse_args(words[3:]).seed == 2
