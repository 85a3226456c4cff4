"""Students of a device: one folder each, and a pointer to the one in use.

  STORE.d/students/NAME/     export, device.json; NAME: of weights and package
  STORE.d/palms-P.npz        of package P: impostors, and palms to rehearse
  STORE.d/current            NAME, replaced by one atomic rename
  STORE.d/previous           the one before

A student is written whole before the pointer moves. Whatever kills this, the
pointer names a whole student, the old one or the new one.
"""

import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np

from palmjax import files
from palmjax.edge import package, rules, thresholds
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks
from palmjax.networks import weights_file

_STUDENTS, _CURRENT, _PREVIOUS = 'students', 'current', 'previous'
_FACTS, _LOCK = 'device.json', 'lock'
_SHORT = 16  # Hexadecimal digits of a digest in a name.


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Student:
  """A student in use.

  Attributes:
    name: of its folder; templates are tied to it.
    network: `PalmNetwork` up to the exit that is used.
    whole: `PalmNetwork` with all exits, to be trained.
    export: `networks.export.Export` of it.
    preset: score that a capture must reach.
    package: digest of the package that it came from.
    version: of that package.
    impostors: uint8 [W, S, S, 3], that thresholds are set on.
    rehearsed: uint8 [R, S, S, 3], for updates.
  """

  name: str
  network: palm_networks.PalmNetwork
  whole: palm_networks.PalmNetwork
  export: exports.Export
  preset: float
  package: str
  version: int
  fmr: float
  impostors: np.ndarray
  rehearsed: np.ndarray

  @property
  def size(self):
    """Side of an image in pixels."""
    return self.network.preprocess.image_size


def changing(folder):
  """Lock of those who change the student in use, as a context: one at a time.

  Raises:
    OSError: one line with the path and what to do.
  """
  return files.lock(pathlib.Path(folder) / _LOCK, wait=True)


def install(folder, read):
  """Writes the student of a package; the pointer does not move.

  Args:
    folder: of the store.
    read: `package.Package`.

  Returns:
    Name of the student.

  Raises:
    ValueError, OSError: it cannot be used; nothing changed.
  """
  folder = pathlib.Path(folder)
  name = _name_of(read.files['model.json'], read.digest)
  path = folder / f'palms-{read.digest}.npz'
  if not path.exists():
    palms = {'impostors': read.impostors, 'rehearsed': read.rehearsed}
    files.write_file(path, weights_file.pack(palms))
  return _keep(
    folder,
    name,
    lambda directory: package.unpack(read, directory),
    read.impostors,
    {'package': read.digest, 'version': read.version, 'fmr': read.fmr},
  )


def keep_trained(folder, student, trained):
  """Writes a student that the device trained; the pointer does not move.

  Args:
    folder: of the store.
    student: `Student` that it came from.
    trained: `PalmNetwork` with all exits.

  Returns:
    Name of the new student.
  """
  folder = pathlib.Path(folder)

  def save(directory):
    exports.save(
      directory,
      variables={
        'params': {'backbone': trained.params['backbone']},
        **trained.stats,
      },
      # The class weights and the end of its training were the server's.
      model={k: v for k, v in student.export.model.items() if k != 'ended'},
      preprocess=student.export.preprocess,
    )

  fresh = folder / _STUDENTS / 'fresh'
  shutil.rmtree(fresh, ignore_errors=True)
  save(fresh)
  name = _name_of((fresh / 'model.json').read_bytes(), student.package)
  shutil.rmtree(fresh)
  facts = {
    'package': student.package,
    'version': student.version,
    'fmr': student.fmr,
  }
  return _keep(folder, name, save, student.impostors, facts)


def load(folder, name):
  """A `Student` by its name.

  Raises:
    ValueError, OSError: its folder is damaged; one line.
  """
  folder = pathlib.Path(folder)
  directory = folder / _STUDENTS / name
  export = exports.load(directory)
  device_json = json.loads((directory / _FACTS).read_text())
  path = folder / f'palms-{device_json["package"]}.npz'
  whole = palm_networks.whole(export, directory)
  return Student(
    name=name,
    network=palm_networks.of_export(export, directory),
    whole=whole,
    export=export,
    **weights_file.unpack(path.read_bytes(), path),
    **device_json,
  )


def facts(folder):
  """{'package', 'version', 'fmr', 'preset'} of the student in use."""
  directory = pathlib.Path(folder) / _STUDENTS / current(folder)
  return json.loads((directory / _FACTS).read_text())


def current(folder):
  """Name of the student in use, or None before the first package."""
  return _pointer(folder, _CURRENT)


def previous(folder):
  """Name of the student before that one, or None."""
  return _pointer(folder, _PREVIOUS)


def switch(folder, name):
  """Moves the pointer to a student; the other one becomes the previous."""
  folder = pathlib.Path(folder)
  old = current(folder)
  if old == name:
    return  # Again, after a kill.
  if old:
    files.write_file(folder / _PREVIOUS, old)
  files.write_file(folder / _CURRENT, name)
  # What neither pointer names is of no use.
  for path in (folder / _STUDENTS).iterdir():
    if path.name not in (old, name):
      shutil.rmtree(path)
  used = {
    json.loads((path / _FACTS).read_text())['package']
    for path in (folder / _STUDENTS).iterdir()
  }
  for path in folder.glob('palms-*.npz'):
    if path.stem.partition('-')[2] not in used:
      path.unlink()


def discard(folder, name):
  """Removes a student that is not taken, unless a pointer names it."""
  if name not in (current(folder), previous(folder)):
    shutil.rmtree(pathlib.Path(folder) / _STUDENTS / name)


def preset_of(network, impostors, fmr):
  """Score that impostors pass at a false match rate.

  Args:
    network: `PalmNetwork` that embeds.
    impostors: uint8 [W, S, S, 3].
    fmr: false match rate.

  Raises:
    ValueError: too few impostors for the rate.
  """
  least = thresholds.cosine(network.embed(impostors), fmr)
  return float(rules.score(least))


def _keep(folder, name, write, impostors, facts):
  """Writes a student's folder whole, with the facts that it is used with."""
  students = files.make_folder(folder / _STUDENTS)
  directory = students / name
  if name in (current(folder), previous(folder)):
    return name
  # What a kill left may be half of it.
  shutil.rmtree(directory, ignore_errors=True)
  partial = students / f'{name}.partial'
  shutil.rmtree(partial, ignore_errors=True)
  write(partial)
  preset = preset_of(palm_networks.load(partial), impostors, facts['fmr'])
  files.write_json(partial / _FACTS, {'preset': preset, **facts})
  os.replace(partial, directory)
  return name


def _name_of(model_json, package_digest):
  """Equal weights have another preset score with other impostors."""
  weights = json.loads(model_json)['weights_sha256']
  return f'{weights[:_SHORT]}-{package_digest[:_SHORT]}'


def _pointer(folder, name):
  path = pathlib.Path(folder) / name
  return path.read_text() if path.exists() else None
