"""1:N search in PostgreSQL with pgvector, for galleries beyond one memory.

The interface of `inference.search.TemplateIndex`, and the same exact search: an
inner product with every template. Equal scores are in the order of the gallery.
"""

import numpy as np
import sqlalchemy

from palmjax.inference import search

# Templates sent at once.
BLOCK = 16_384
_COPY_HEADER = b'PGCOPY\n\xff\r\n\0' + bytes(8)
_COPY_END = b'\xff\xff'


class PostgresIndex:
  """Templates in a table of a database.

  Attributes:
    size: N.
  """

  def __init__(self, engine, table):
    """Opens a table that `create` made.

    Args:
      engine: of SQLAlchemy, for PostgreSQL by psycopg.
      table: name.

    Raises:
      ValueError: there is no such table of templates.
    """
    self._engine, self._table = engine, _in_text(_quoted(engine, table))
    statement = (
      f'SELECT count(*), min(vector_dims(template)) FROM {self._table}'
    )
    try:
      with engine.connect() as connection:
        self.size, self._dimensions = connection.execute(
          sqlalchemy.text(statement)
        ).one()
    except sqlalchemy.exc.ProgrammingError as error:
      raise ValueError(
        f'the database has no templates {table!r} ({_first(error)}); make them '
        'with PostgresIndex.create'
      ) from error

  @classmethod
  def create(cls, engine, table, templates):
    """Makes a table of templates, whole or not at all.

    Args:
      engine: see above; pgvector must be installed in the server.
      table: name of a table that is not there yet.
      templates: float [N, D], N at least 1; unit norm for cosines.

    Returns:
      `PostgresIndex`.

    Raises:
      ValueError: as `search.check_templates`, a table that is there already,
        or no pgvector.
    """
    templates = search.check_templates(templates)
    name = _quoted(engine, table)
    try:
      with engine.begin() as connection:
        for statement in (
          'CREATE EXTENSION IF NOT EXISTS vector',
          f'CREATE TABLE {_in_text(name)} (id integer PRIMARY KEY, '
          f'template vector({templates.shape[1]}) NOT NULL)',
        ):
          connection.execute(sqlalchemy.text(statement))
        cursor = connection.connection.cursor()
        with cursor.copy(
          f'COPY {name} (id, template) FROM STDIN (FORMAT BINARY)'
        ) as copy:
          copy.write(_COPY_HEADER)
          for start in range(0, len(templates), BLOCK):
            copy.write(_rows(templates[start : start + BLOCK], start))
          copy.write(_COPY_END)
    except sqlalchemy.exc.DBAPIError as error:
      raise ValueError(
        f'the templates {table!r} cannot be made: {_first(error)}; install '
        'pgvector in the server, or give another name'
      ) from error
    return cls(engine, table)

  def search(self, probes, k=1):
    """The k most alike templates of each probe.

    Args:
      probes: float [P, D].
      k: at least 1.

    Returns:
      (scores float32 [P, k], falling; indices int32 [P, k]), with k at most N.

    Raises:
      ValueError: as `search.check_probes`.
    """
    probes = search.check_probes(probes, k, self._dimensions)
    statement = sqlalchemy.text(
      'SELECT id, template <#> CAST(:probe AS vector) AS distance '
      f'FROM {self._table} ORDER BY distance, id LIMIT :k'
    )
    shape = len(probes), min(k, self.size)
    scores, indices = np.empty(shape, np.float32), np.empty(shape, np.int32)
    with self._engine.begin() as connection:
      # An index of pgvector, if somebody made one, finds most and not all.
      connection.execute(sqlalchemy.text('SET LOCAL enable_indexscan = off'))
      for row, probe in enumerate(probes):
        text = '[' + ','.join(f'{value:.9g}' for value in probe) + ']'
        answer = connection.execute(statement, {'probe': text, 'k': k}).all()
        # pgvector gives the negative product, so that the best comes first.
        scores[row] = [-distance for _, distance in answer]
        indices[row] = [index for index, _ in answer]
    return scores, indices


def _rows(templates, start):
  """Rows as COPY reads them in binary form."""
  count, size = templates.shape
  rows = np.zeros(
    count,
    [
      ('columns', '>i2'),
      ('id_bytes', '>i4'),
      ('id', '>i4'),
      ('vector_bytes', '>i4'),
      ('size', '>i2'),
      ('unused', '>i2'),
      ('values', '>f4', (size,)),
    ],
  )
  rows['columns'], rows['id_bytes'] = 2, 4
  rows['id'] = np.arange(start, start + count)
  rows['vector_bytes'], rows['size'] = 4 + 4 * size, size
  rows['values'] = templates
  return rows.tobytes()


def _quoted(engine, table):
  return engine.dialect.identifier_preparer.quote(table)


def _in_text(name):
  """A name within `sqlalchemy.text`, which takes colons for parameters."""
  return name.replace(':', r'\:')


def _first(error):
  return str(error.orig).strip().partition('\n')[0]
