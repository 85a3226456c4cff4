"""SQLite as the server and the devices use it: durable, and one writer."""

from sqlalchemy import event

# Option of a connection whose transactions write nothing.
READS = 'palmjax_reads'
_PRAGMAS = (
  'journal_mode=WAL',
  # What was committed survives a power cut.
  'synchronous=FULL',
  'busy_timeout=30000',  # Milliseconds.
  'foreign_keys=ON',
  # Bytes that are deleted are written over.
  'secure_delete=ON',
)


def prepare(engine):
  """Sets up the connections and transactions of an engine of SQLAlchemy."""

  @event.listens_for(engine, 'connect')
  def on_connect(connection, record):
    del record
    # SQLAlchemy begins transactions itself, below.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
      connection.execute(f'PRAGMA {pragma}')

  @event.listens_for(engine, 'begin')
  def on_begin(connection):
    # A transaction that reads first and writes later would fail where another
    # one wrote in between. One that reads alone waits for nobody.
    reads = connection.get_execution_options().get(READS)
    connection.exec_driver_sql('BEGIN' if reads else 'BEGIN IMMEDIATE')
