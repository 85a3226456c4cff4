"""All real palm print sets by name, and how one is prepared."""

from palmjax.data.sets import turns
from palmjax.data.sets.builders import (
  casia,
  coep,
  hands11k,
  iitd,
  mpd,
  polyu,
  real_palms,
  tongji,
  write,
  xjtu_up,
)

BUILDERS = {
  'casia': casia.Casia,
  'coep': coep.Coep,
  'hands11k': hands11k.Hands11k,
  'iitd': iitd.Iitd,
  'mpd': mpd.Mpd,
  'polyu': polyu.Polyu,
  'tongji': tongji.Tongji,
  'xjtu_up': xjtu_up.XjtuUp,
}


def prepare(name, data_dir, *, source, turn=None):
  """Reads a real set into a folder under `data_dir`; one that is there is kept.

  Args:
    name: one of `BUILDERS`.
    data_dir: folder of all data sets.
    source: folder that holds the set as its owners hand it out.
    turn: degrees clockwise that bring its palms upright; None: what the builder
      says of the owners' images.

  Returns:
    The path of the prepared set, another one where the source's files are
    others. Names of unreadable images are in its metadata.

  Raises:
    layout.LayoutError: the folder is laid out otherwise.
    ValueError: too many unreadable images, fewer than two palms, or no turn.
    OSError: no such folder, or `data_dir` cannot be written.
  """
  build = BUILDERS[name]
  records = build.find(source)
  turn = build.turn(records) if turn is None else turn
  turns.require(turn)
  return write.write(
    build(
      data_dir=data_dir,
      config=real_palms.make_config(source, records, turn=turn),
      file_format='array_record',
    )
  )
