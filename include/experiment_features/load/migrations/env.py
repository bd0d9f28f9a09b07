"""Runs the revisions on the connection that load.migrate passes in."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    version_table="schema_version",
    version_table_schema="features",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
