"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None


def upgrade():
  """Makes all tables."""
  moment = sa.DateTime(timezone=True)
  op.create_table(
    'setting',
    sa.Column('name', sa.String, primary_key=True),
    sa.Column('value', sa.String, nullable=False),
  )
  op.create_table(
    'device',
    sa.Column('id', sa.Uuid, primary_key=True),
    sa.Column('label', sa.String, nullable=False),
    sa.Column('token_hash', sa.String, nullable=False, unique=True),
    sa.Column('expires', moment, nullable=False),
    sa.Column('old_hash', sa.String, unique=True),
    sa.Column('old_expires', moment),
    sa.Column('revoked', sa.Boolean, nullable=False),
    sa.Column('made', moment, nullable=False),
    sa.Column('seen', moment),
  )
  for table, column in (
    ('reference', sa.Column('embedding', sa.LargeBinary)),
    ('sample', sa.Column('label', sa.String)),
  ):
    op.create_table(
      table,
      sa.Column(
        'device', sa.Uuid, sa.ForeignKey('device.id'), primary_key=True
      ),
      sa.Column('id', sa.Uuid, primary_key=True),
      sa.Column('state', sa.String, nullable=False, index=True),
      sa.Column('digest', sa.String, nullable=False),
      sa.Column('made', moment, nullable=False),
      sa.Column('image', sa.LargeBinary),
      column,
    )
  op.create_table(
    'report',
    sa.Column('device', sa.Uuid, sa.ForeignKey('device.id'), primary_key=True),
    sa.Column('id', sa.Uuid, primary_key=True),
    sa.Column('made', moment, nullable=False, index=True),
    sa.Column('body', sa.String, nullable=False),
  )
  op.create_table(
    'package',
    sa.Column('digest', sa.String, primary_key=True),
    sa.Column('version', sa.Integer, nullable=False, unique=True),
    sa.Column('made', moment, nullable=False),
    sa.Column('content', sa.LargeBinary, nullable=False),
  )


def downgrade():
  """Drops all tables."""
  for table in (
    'package',
    'report',
    'sample',
    'reference',
    'device',
    'setting',
  ):
    op.drop_table(table)
