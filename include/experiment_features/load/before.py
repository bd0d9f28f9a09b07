"""What the last load has left for a delta on top of it."""

import logging
from collections.abc import Mapping

from experiment_features.contract import COMPOUNDS, TABLES, position_of
from experiment_features.definitions import DEFINITION_VERSION
from experiment_features.drop.files import parts_of
from experiment_features.load.database import Connection, database_errors, read_sql
from experiment_features.load.ledger import Entry, find_last_load
from experiment_features.load.state import is_as_left
from experiment_features.run import Extracted
from experiment_features.store.before import Before
from experiment_features.store.layers import Layers
from experiment_features.store.parts import READER_VERSION, reader_version
from experiment_features.visible_text import escape

log = logging.getLogger(__name__)


def find_before(connection: Connection, extracted: Extracted, layers: Layers) -> Before | None:
    """Reads what a delta on top of the last load changes.

    Args:
        connection: of a user with the role features_writer, not in a transaction.
        extracted: what the delta is computed on.
        layers: the same.

    Returns:
        None if everything is to be computed: the last load has other features or was read by
        another version of the reader, another drop has been loaded since, or the features or issues
        are not those that the last load has left.

    Raises:
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    with (
        database_errors("read what was loaded before", connection=connection),
        connection.transaction(force_rollback=True),
    ):
        connection.execute("set transaction isolation level repeatable read")
        last = find_last_load(connection)
        if last is None or last.result.run_id != extracted.last_run_id:
            return None
        if last.definition_version != DEFINITION_VERSION or last.totals is None:
            return None
        if any(reader_version(part) != READER_VERSION for part in parts_of(last.parts)):
            return None
        if not is_as_left(connection, last):
            log.warning(
                "features or issues are not as run %s left them: computing everything",
                escape(last.result.run_id),
            )
            return None
        before = _read(connection, last, last.totals, layers)
    if before is None:
        log.warning(
            "an open issue is of a file that run %s was not computed on: computing everything",
            escape(last.result.run_id),
        )
    return before


def _read(
    connection: Connection, last: Entry, totals: Mapping[str, int], layers: Layers
) -> Before | None:
    files = [file for file in layers.files() if file.run_id]
    values = {
        "tables": [file.table for file in files],
        "run_ids": [file.run_id for file in files],
        "names": [file.name for file in files],
        "starts": [position_of(file.number, 0) for file in files],
    }
    issues: dict[str, list[tuple[int, ...]]] = {table.name: [] for table in TABLES}
    for table, *issue in connection.execute(read_sql("select_known_issues"), values):
        if issue[0] is None:
            return None
        if table in issues:  # those of deletions do not hold any more
            issues[table].append(tuple(issue))
    compound_ids = {"compound_ids": layers.touched_ids(COMPOUNDS)}
    return Before(
        today=last.today,
        issues={table: issues[table.name] for table in TABLES},
        compounds=connection.execute(read_sql("select_known_compounds")).fetchall(),
        users=connection.execute(read_sql("select_users_of_compounds"), compound_ids).fetchall(),
        totals=totals,
    )
