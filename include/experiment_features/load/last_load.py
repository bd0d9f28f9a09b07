"""What a run has to know of the last load before it reads a drop."""

from experiment_features.definitions import DEFINITION_VERSION
from experiment_features.drop.base import Known, LastLoad
from experiment_features.load.database import Connection, database_errors, read_sql
from experiment_features.load.ledger import find_last_load
from experiment_features.load.state import is_as_left
from experiment_features.run import Run


def is_delta_source(connection: Connection, source: str) -> bool:
    """Whether the latest drop from a source that the ledger knows was a delta."""
    with database_errors("read the run ledger", connection=connection), connection.transaction():
        values = {"source": source}
        ((is_delta,),) = connection.execute(read_sql("is_known_delta"), values).fetchall()
        return bool(is_delta)


def find_last(connection: Connection) -> LastLoad | None:
    """The last load, as a run needs to know it that is about to read a drop.

    Nothing is said of whether its files can be unchanged: see can_be_unchanged.

    Raises:
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    with database_errors("read the run ledger", connection=connection), connection.transaction():
        last = find_last_load(connection)
        if last is None:
            return None
        load = _known(connection, last.result.run_id)
        if last.restored_run:
            load = Known(load.run_id, [*load.names, last.restored_run])
        return LastLoad(
            load=load,
            below=_known(connection, last.base_run_id) if last.base_run_id else None,
            source=str(last.result.source),
            mode=last.result.mode or "snapshot",
            layers=last.parts,
        )


def can_be_unchanged(connection: Connection, found: LastLoad, run: Run) -> bool:
    """Whether the files of the last load would give what the database has.

    Raises:
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    with database_errors("read the run ledger", connection=connection), connection.transaction():
        last = find_last_load(connection)
        if last is None or last.result.run_id != found.load.run_id:
            return False
        if run.force or last.definition_version != DEFINITION_VERSION:
            return False
        if last.restored_run:  # naming the source again ends the restore
            return False
        values = {"today": run.today.isoformat()}
        ((is_due,),) = connection.execute(read_sql("has_due_signup"), values).fetchall()
        return not is_due and is_as_left(connection, last)


def _known(connection: Connection, run_id: str) -> Known:
    found = connection.execute(read_sql("select_load_names"), {"run_id": run_id}).fetchall()
    return Known(run_id, next(iter(found))[0] or [run_id])
