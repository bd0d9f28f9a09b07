"""The schema `features`, as Alembic revisions; each is a .sql file beside its Python file."""
