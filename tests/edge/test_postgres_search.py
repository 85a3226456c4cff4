"""1:N search in a real PostgreSQL, beside the one in memory."""

import numpy as np
import pytest
import sqlalchemy

from palmjax.edge import postgres_search
from palmjax.inference import search

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def engine(postgres):
  url = sqlalchemy.make_url(postgres)
  engine = sqlalchemy.create_engine(url.set(drivername='postgresql+psycopg'))
  yield engine
  engine.dispose()


def units(count, seed, size=16):
  values = np.random.default_rng(seed).normal(size=(count, size))
  values /= np.linalg.norm(values, axis=1, keepdims=True)
  return values.astype(np.float32)


@pytest.mark.parametrize('k', [1, 5, 40])
def test_the_same_as_in_memory(engine, k):
  templates, probes = units(30, 0), units(6, 1)
  table = f'templates: "{k}", 5 %s; --'
  index = postgres_search.PostgresIndex.create(engine, table, templates)
  assert index.size == 30
  scores, indices = index.search(probes, k)
  want = search.TemplateIndex(templates, block=8).search(probes, k)
  np.testing.assert_array_equal(indices, want[1])
  np.testing.assert_allclose(scores, want[0], atol=1e-6)
  again = postgres_search.PostgresIndex(engine, table).search(probes, k)
  np.testing.assert_array_equal(again[0], scores)


def test_of_equal_scores_the_first_stands_first(engine, monkeypatch):
  """Also where they are sent in different blocks."""
  monkeypatch.setattr(postgres_search, 'BLOCK', 7)
  templates = np.tile(np.eye(4, dtype=np.float32), (10, 1))
  index = postgres_search.PostgresIndex.create(engine, 'equal', templates)
  _, indices = index.search(np.eye(4, dtype=np.float32), 3)
  np.testing.assert_array_equal(
    indices, np.arange(4)[:, None] + 4 * np.arange(3)
  )


def test_an_index_of_the_database_changes_nothing(engine):
  """An IVF index with one probe of its lists would miss neighbours."""
  templates, probes = units(2000, 2), units(20, 3)
  index = postgres_search.PostgresIndex.create(engine, 'listed', templates)
  with engine.begin() as connection:
    connection.execute(
      sqlalchemy.text(
        'CREATE INDEX ON listed USING ivfflat (template vector_ip_ops) '
        'WITH (lists = 100)'
      )
    )
    connection.execute(sqlalchemy.text('ANALYZE listed'))
    best = _by_its_index(connection, probes)
  _, want = search.TemplateIndex(templates).search(probes, 10)
  # It is used, and it would be wrong.
  assert np.any(best != want[:, 0])
  np.testing.assert_array_equal(index.search(probes, 10)[1], want)


def _by_its_index(connection, probes):
  connection.execute(sqlalchemy.text('SET LOCAL enable_seqscan = off'))
  statement = sqlalchemy.text(
    'SELECT id FROM listed ORDER BY template <#> CAST(:probe AS vector) LIMIT 1'
  )
  return [
    connection.execute(statement, {'probe': str(probe.tolist())}).scalar()
    for probe in probes
  ]


def test_what_cannot_be_done_is_one_line(engine):
  make = postgres_search.PostgresIndex
  with pytest.raises(ValueError, match='at least 1'):
    make.create(engine, 'x', np.zeros((0, 4)))
  with pytest.raises(ValueError, match='not finite'):
    make.create(engine, 'x', np.full((2, 4), np.nan))
  with pytest.raises(ValueError, match="no templates 'x'"):
    make(engine, 'x')
  index = make.create(engine, 'x', units(3, 0))
  with pytest.raises(ValueError, match='already exists'):
    make.create(engine, 'x', units(3, 0))
  with pytest.raises(ValueError, match='probes of shape'):
    index.search(units(2, 0, 8))
  with pytest.raises(ValueError, match='k=0'):
    index.search(units(2, 0), 0)
