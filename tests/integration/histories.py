"""Histories of a database that gets deltas: loads, kills, repeats and restores, through PostgreSQL.

Usage:
    @given(history=histories())
    def test_...(history):
        follow_history(history, database, folder)
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import strategies as st

import oracle
from comparison import assert_features
from delta_drops import Step, sequences
from delta_oracle import DeltaExpected, State, compute, follow
from experiment_features.command_run import open_source
from experiment_features.config import Settings
from experiment_features.contract import Mode
from experiment_features.errors import DropRefused, DropRejected
from experiment_features.load.database import connect
from experiment_features.load.ledger import find_last_load
from experiment_features.load.lifecycle import recorded
from experiment_features.load.loads import find_load
from experiment_features.load.state import is_as_left
from experiment_features.pipeline import Pipeline
from experiment_features.report.trace import trace_some
from experiment_features.reproduction import reproduce, run_fields
from experiment_features.run import STAGES, Result
from experiment_features.store import compaction
from integration.running import features_of, make_pipeline, run_stages
from integration.servers import Database
from stages import TODAY

ANY = {"max_removed_percent": 100, "max_rejected_percent": 100}

_LEDGER = "select * from features.pipeline_runs order by started_at"


class Events(NamedTuple):
    """What happens beside the load of a drop."""

    killed_after: str
    """The stage after which a first run of the drop is killed; empty for none."""
    is_cleared: bool
    """Whether the load is repeated."""
    restored: int | None
    """Which of the loads is restored after it; None for none."""


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Step, Events]]:
    """Draw drops, and what happens beside the load of each."""
    events = st.builds(
        Events,
        st.sampled_from(["", "", "", "extract", "validate", "transform"]),
        st.booleans(),
        st.none() | st.integers(0, 3),
    )
    return [(step, draw(events)) for step in draw(sequences(refused=True))]


def follow_history(
    history: Sequence[tuple[Step, Events]], database: Database, folder: Path
) -> None:
    """Asserts that after each load and restore all is as the oracle says, and can be computed again.

    Every second delta compacts what is below it.
    """
    with patch.object(compaction, "MOST_LAYERS", 2):
        _follow(history, database, folder)


def _follow(history: Sequence[tuple[Step, Events]], database: Database, folder: Path) -> None:
    state: State | None = None
    loaded: object = None
    loads: list[tuple[str, State, object, date]] = []
    today = TODAY
    for number, (step, events) in enumerate(history, start=1):
        today += timedelta(step.days)
        written = step.drop.write(folder / f"drop{number}")
        (folder / str(number)).mkdir()
        source = written.rename(folder / str(number) / str(state.number + 1 if state else 1))
        files = {path.name: path.read_bytes() for path in source.glob("*s*.csv*")}
        options = {
            "mode": step.mode,
            "today": today,
            "allow_empty": step.allow_empty,
            "max_rejected_percent": step.max_rejected_percent,
        }
        try:
            after = follow(state, source, step.mode, allow_empty=step.allow_empty)
        except oracle.RefusedError:
            with pytest.raises(DropRefused):
                run(database, folder, source, **options)
            continue
        if (step.mode, files) == loaded:
            continue
        expected = compute(after, today)
        if expected.is_rejected(step.max_rejected_percent):
            with pytest.raises(DropRejected):
                run(database, folder, source, **options)
            continue
        if events.killed_after:
            _run_until(events.killed_after, database, folder, source, **options)
        pipeline = pipeline_of(database, folder, source, **options)
        result = asdict(run_stages(pipeline, partial(pipeline.extract, open_source(str(source)))))
        state, loaded = after, (step.mode, files)
        loads.append((result["run_id"], state, loaded, today))
        assert_as_expected(expected, state, database, folder)
        figures = (result["rejected_rows"], result["warnings"], result["healed"])
        assert figures == (len(expected.rejected), expected.warnings, expected.healed)
        assert_reproducible(database, folder, result["run_id"])
        if events.is_cleared:
            before = features_of(database), database.query(_LEDGER)
            assert asdict(pipeline.load()) | {"seconds": {}} == result | {"seconds": {}}
            assert before == (features_of(database), database.query(_LEDGER))
        if events.restored is not None and events.restored < len(loads) - 1:
            run_id, state, loaded, then = loads[events.restored]
            restored = restore(database, folder, run_id)
            loads.append((restored.run_id, state, loaded, then))
            assert_as_expected(compute(state, then), state, database, folder)
            assert_reproducible(database, folder, restored.run_id)


def _run_until(last: str, database: Database, folder: Path, source: Path, **options: Any) -> None:
    """Runs the stages up to one of them, which changes nothing that is loaded."""
    before = features_of(database), open_issues(database)
    pipeline = pipeline_of(database, folder, source, **options)
    with recorded(pipeline.connect, pipeline.run, "extract"):
        pipeline.extract(open_source(str(source)))
    for stage in ("validate", "transform")[: STAGES.index(last)]:
        getattr(pipeline, stage)()
    assert before == (features_of(database), open_issues(database))


def restore(database: Database, folder: Path, run_id: str, **options: Any) -> Result:
    """Restores a load."""
    with connect(database.url()) as connection:
        load = find_load(connection, run_id)
    options = run_fields(load) | {"restored_run": load.run_id, **ANY, **options}
    pipeline = make_pipeline(database, folder / "workspaces", **options)
    restored: Result = run_stages(pipeline, lambda: pipeline.take(load))
    return restored


def assert_reproducible(database: Database, folder: Path, run_id: str) -> None:
    """Asserts that a load, computed again on the other engine, comes out the same."""
    with connect(database.url()) as connection:
        load = find_load(connection, run_id)
    options = run_fields(load) | {"max_rejected_percent": 100, "engine": "duckdb"}
    pipeline = make_pipeline(database, folder / "again", **options)
    object.__setattr__(pipeline, "is_dry_run", True)
    assert reproduce(pipeline, load).is_equal


def run(
    database: Database, folder: Path, source: Path, mode: Mode = "auto", **options: Any
) -> dict[str, Any]:
    """Runs all stages on a drop; returns the result."""
    pipeline = pipeline_of(database, folder, source, mode=mode, **options)
    return asdict(run_stages(pipeline, lambda: pipeline.extract(open_source(str(source)))))


def pipeline_of(database: Database, folder: Path, source: Path, **options: Any) -> Pipeline:
    """The pipeline of a run on a drop."""
    options = {"given_source": str(source), **ANY, **options}
    return make_pipeline(database, folder / "workspaces", **options)


def open_issues(database: Database) -> Counter[Any]:
    """The issues that hold, as the oracle tells them."""
    query = "select table_name, row_id, rule, column_name, value from features.latest_data_issues"
    found = Counter(tuple(row.values()) for row in database.query(query))
    last = "select issues_by_rule from features.pipeline_runs where status = 'loaded' "
    by_rule = Counter(f"{table}.{rule}" for table, _, rule, *_ in found.elements())
    for load in database.query(last + "order by finished_at desc limit 1"):
        assert load["issues_by_rule"] == by_rule
    return found


def assert_as_expected(
    expected: DeltaExpected, state: State, database: Database, folder: Path
) -> None:
    """Asserts that features, issues and the lines of every user are the oracle's.

    And that the hash which the load has recorded is that of what it left.
    """
    with connect(database.url()) as connection:
        last = find_last_load(connection)
        assert last
        assert is_as_left(connection, last)
    found = (features_of(database), features_of(database, "compound_features"))
    assert_features(expected, *found)
    assert open_issues(database) == expected.open_issues
    for user_id in expected.users:
        assert lines_of(database, folder, user_id) == {
            (row.file_name, row.line)
            for row in state.rows["user_experiments"]
            if row.cells and oracle.to_integer(row.cells["user_id"]) == user_id
        }


def lines_of(database: Database, folder: Path, user_id: int) -> set[tuple[str, int]]:
    """The places of a user's rows, each file under the folder of its drop; they are counted, too."""
    pipeline = make_pipeline(database, folder / "workspaces")
    with connect(database.url()) as connection:
        load = find_load(connection)
        store = parts_of(pipeline, connection)
        found = trace_some(connection, store, load, user_id, memory_limit=Settings.memory_limit)
    assert found.is_equal
    return {(f"{Path(row.source or load.source).name}/{row.file}", row.line) for row in found.rows}


def parts_of(pipeline: Pipeline, connection: Any) -> Any:
    """The parts of the database."""
    ((database_id,),) = connection.execute("select database_id from features.part_store").fetchall()
    connection.commit()
    return pipeline.parts_of(str(database_id))
