"""Runs migrations on the connection that `database.connect` gives."""

import alembic.context

from palmjax.edge.server import database

alembic.context.configure(
  connection=alembic.context.config.attributes['connection'],
  target_metadata=database.ServerTable.metadata,
)
alembic.context.run_migrations()
