"""A prepared set in which an id stands twice is refused."""

import types

import pytest

from palmjax.data.sets import prepared


def _record(name):
  return {'label': 0, 'person': 0, 'session': 0, 'device': 0, 'id': name}


@pytest.mark.parametrize('ids', [(b'0/0', b'0/1'), (b'0/0', b'0/1', b'0/0')])
def test_ids_are_unique(monkeypatch, ids):
  features = {'image': types.SimpleNamespace(shape=(8, 8, 3)), 'label': None}
  stored = types.SimpleNamespace(
    info=types.SimpleNamespace(name='set', features=features, metadata={}),
    as_data_source=lambda *_, **__: list(map(_record, ids)),
  )
  monkeypatch.setattr(prepared, 'builder', lambda _: stored)
  if len(ids) == 2:
    assert prepared.Source('sets').ids == ('0/0', '0/1')
    return
  with pytest.raises(ValueError, match='sets: 2 images have the id 0/0; prep'):
    prepared.Source('sets')
