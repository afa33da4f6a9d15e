"""Runs migrations on the connection that `operations.store.upgrade` hands over."""

from alembic import context

from operations.store.schema import metadata
from operations.store.upgrade import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
