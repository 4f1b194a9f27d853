"""Runs migrations on the connection that `search/storage/schema.py` provides. Alembic executes this file."""

from alembic import context

from search.storage.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,  # Optuna stores its own version in the same database
    render_as_batch=True,  # SQLite can't alter tables in place
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
