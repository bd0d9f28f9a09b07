"""Creates the schema `features`, or upgrades it to this version.

Tables change through revisions (migrations/versions), each applied once. The columns of new
features, the views and the functions follow from definitions.py and need no revision; grants are
repeated each time. Changes made by hand are reported, not repaired.
"""

from collections import defaultdict
from pathlib import Path

import psycopg
from psycopg import sql

from experiment_features.definitions import RELATIONS
from experiment_features.errors import DatabaseRefused
from experiment_features.load.database import (
    Connection,
    check_written,
    columns_of,
    comma_separated,
    connect,
    database_errors,
    read_sql,
    take_load_lock,
)
from experiment_features.load.views import CONFIDENTIAL, define_views

_MIGRATIONS = Path(__file__).parent / "migrations"

_DOING = "migrate the schema"
_BY_HAND = "Its tables were changed by hand: change them back, and migrate again"
_START_ANEW = (
    "If the schema holds nothing that you need, drop it (`drop schema features cascade`), and "
    "migrate again; otherwise, restore it with all rows"
)
_LOCK_WAIT_SECONDS = 60
"""Rather than block every reader for longer."""


def migrate(url: str, revision: str = "head", *, adopt_store: bool = False) -> str:
    """Creates the schema `features`, or upgrades it to this version; safe to run again.

    The user must own the database or be allowed to create schemas in it, and must be allowed to
    create roles unless features_writer, features_reader and features_steward exist. Loads and
    migrations wait for each other.

    Args:
        url: of the database.
        revision: the one to upgrade to.
        adopt_store: whether a copy of a database takes over its parts: the original is gone.

    Returns:
        The revision that the schema is now at.

    Raises:
        DatabaseRefused: a privilege is missing, a newer version has migrated the schema, or a table
            is not what the revisions make of it.
        DatabaseUnavailable: as in database_errors.
    """
    # SQLAlchemy and Alembic take half a second to import, and only this needs them.
    from alembic.util import CommandError
    from sqlalchemy.exc import DBAPIError

    privilege = (
        "Migrate as the owner of the database, the schema and its tables; if you may not create "
        "roles, have an administrator run `create role features_writer nologin; "
        "create role features_reader nologin; create role features_steward nologin`"
    )
    with connect(url) as connection, database_errors(_DOING, privilege, connection, _BY_HAND):
        connection.execute(sql.SQL("set lock_timeout = {}").format(f"{_LOCK_WAIT_SECONDS}s"))
        take_load_lock(connection, _DOING, _LOCK_WAIT_SECONDS, "take_migration_lock")
        connection.execute("create schema if not exists features")
        connection.execute(read_sql("roles", _MIGRATIONS))
        connection.commit()
        try:
            reached = _upgrade(connection, revision)
        except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateColumn) as error:
            raise DatabaseRefused(
                f"cannot {_DOING}: {error.diag.message_primary}, but not according to "
                "features.schema_version, whose row is missing, as after a dump without rows, or "
                f"was changed by hand. {_START_ANEW}"
            ) from error
        except DBAPIError as error:
            raise error.orig or error from error
        except CommandError as error:
            raise DatabaseRefused(
                f"cannot {_DOING}: features.schema_version should have one row, the revision of "
                f"the schema ({error}). Remove the others, and migrate again"
            ) from error
        if revision == "head":
            _add_features(connection)
            columns = _compare_tables(connection)
            define_views(connection, columns["data_issues"])
            _grant(connection, columns)
            connection.execute(read_sql("name_database"))
            if adopt_store:
                values = {"location": None, "is_renamed": False}
                adopted = connection.execute(read_sql("set_part_store"), values).rowcount
                check_written("features.part_store", "update", 1, adopted)
            connection.commit()
        return reached


def _add_features(connection: Connection) -> None:
    """Adds the columns of new features; they are null until a load computes them."""
    add = sql.SQL("alter table {table} add column {name} {type}")
    for relation in RELATIONS:
        for table in (relation.name, relation.past):
            known = columns_of(connection, table)
            for feature in relation.features:
                if feature.name not in known:
                    connection.execute(
                        add.format(
                            table=sql.Identifier("features", table),
                            name=sql.Identifier(feature.name),
                            type=sql.SQL(feature.sql_type),
                        )
                    )


def _compare_tables(connection: Connection) -> dict[str, list[str]]:
    """Compares the tables with those that the same revisions make in an empty schema.

    Returns:
        The columns that the revisions make, by table, of those of which readers see some.

    Raises:
        DatabaseRefused: a table, column, constraint, index or trigger is missing or different.
    """
    found = _parts_of_tables(connection)
    with connection.transaction(force_rollback=True):  # so nobody else ever sees this
        connection.execute("alter schema features rename to features_found")
        connection.execute("create schema features")
        for script in sorted((_MIGRATIONS / "versions").glob("*.sql")):
            connection.execute(script.read_text("utf-8"))
        _add_features(connection)
        wanted = _parts_of_tables(connection)
        columns = {
            table: columns_of(connection, table) for table in ("pipeline_runs", "data_issues")
        }
    for kind in ("table", "persistence", "column", "constraint", "index", "trigger"):
        # Report no kind that depends on this one.
        if lacking := wanted[kind] - found[kind]:
            raise DatabaseRefused(
                f"cannot {_DOING}: its tables were changed by hand. Missing: {kind} "
                f"{'; '.join(sorted(lacking))}. Unknown: "
                f"{'; '.join(sorted(found[kind] - wanted[kind])) or 'nothing'}. Change them back, "
                "and migrate again"
            )
    return columns


def _grant(connection: Connection, columns: dict[str, list[str]]) -> None:
    """Gives each role its rights; readers see no column that may hold a cell, or is not ours."""
    ((database,),) = connection.execute("select current_database()").fetchall()
    runs = [c for c in columns["pipeline_runs"] if c != "message"]
    issues = [c for c in columns["data_issues"] if c not in CONFIDENTIAL]
    grants = read_sql("grants", _MIGRATIONS).format(
        database=sql.Identifier(database),
        run_columns=comma_separated(runs),
        issue_columns=comma_separated(issues),
    )
    connection.execute(grants)


def _parts_of_tables(connection: Connection) -> dict[str, set[str]]:
    """By kind, the tables of the schema, and their columns, constraints, indexes and triggers."""
    parts: dict[str, set[str]] = defaultdict(set)
    for kind, part in connection.execute(read_sql("select_parts_of_tables")):
        parts[kind].add(part)
    return parts


def _upgrade(connection: Connection, revision: str) -> str:
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import create_engine

    config = Config()
    config.set_main_option("script_location", "experiment_features.load:migrations")
    config.set_main_option("path_separator", "os")
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection)
    with engine.connect() as bound:
        config.attributes["connection"] = bound
        command.upgrade(config, revision)
        context = MigrationContext.configure(
            bound, opts={"version_table": "schema_version", "version_table_schema": "features"}
        )
        return str(context.get_current_revision())
