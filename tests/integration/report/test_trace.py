"""Trace on real parts and a real database: the lines behind every user's number."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, example, given, settings

import oracle
from cases import cases
from drops import Drop, drops, every_fault
from experiment_features.load.database import connect
from experiment_features.load.loads import find_load
from experiment_features.load.part_store import find_database_id
from experiment_features.report.trace import count_compounds, trace
from integration.running import make_pipeline, run_drop
from integration.servers import Database

ANY = {"max_rejected_percent": 100, "max_removed_percent": 100, "allow_empty": True}
TABLE = "user_experiments"

Line = tuple[str, int, Any, set[str], set[Any]]
"""File, line, experiment_id, the rules that the row breaks, and its compounds if it breaks none."""


def lines_of(folder: Path) -> dict[int, list[Line]]:
    """By user, what the oracle finds, in the order of the files."""
    expected = oracle.compute(folder)
    found: dict[int, list[Line]] = {user_id: [] for user_id in expected.users}
    for row in oracle.read_table(folder, TABLE):
        user_id = oracle.to_integer(row.cells.get("user_id", ""))
        if user_id is None:
            continue
        text = row.cells["experiment_id"]
        number = oracle.to_integer(text)
        place = (TABLE, row.file_name, row.line)
        rules = {issue[3] for issue in expected.issues if issue[:3] == place}
        ids = set() if rules else oracle.to_ids(row.cells)
        experiment_id = number if number is not None else text or None
        found.setdefault(user_id, []).append((row.file_name, row.line, experiment_id, rules, ids))
    return found


def trace_all(database: Database, run_id: str, folder: Path) -> dict[int, list[Line]]:
    """By user, the lines that a trace of each user finds; each must add up."""
    pipeline = make_pipeline(database, folder.parent / "workspaces")
    found = {}
    with connect(database.url("analyst")) as connection:
        load = find_load(connection, run_id)
        store = pipeline.parts_of(find_database_id(connection))
        for user_id in lines_of(folder):
            traced = trace(connection, store, load, user_id, memory_limit="256MiB")
            assert traced.is_equal, traced
            used = Counter(
                id_ for row in traced.rows if not row.rules for id_ in set(row.compound_ids)
            )
            counts = count_compounds(connection, store, load, user_id, memory_limit="256MiB")
            assert counts == sorted(used.items(), key=lambda item: (-item[1], item[0]))
            found[user_id] = [
                (
                    *(row.file, row.line, row.experiment_id, set(row.rules)),
                    set() if row.rules else set(row.compound_ids),
                )
                for row in traced.rows
            ]
    return found


@settings(max_examples=cases(5), deadline=None, suppress_health_check=list(HealthCheck))
@given(drop=drops())
@example(drop=every_fault())
def test_lines_of_random_drops(drop: Drop, database: Database) -> None:
    """The lines of every user are the oracle's own, whatever the files are like."""
    with TemporaryDirectory() as name:
        folder = drop.write(Path(name) / "drop")
        try:
            expected = lines_of(folder)
        except oracle.RefusedError:
            return
        result = run_drop(database, folder, force=True, **ANY)
        assert trace_all(database, result["run_id"], folder) == expected
