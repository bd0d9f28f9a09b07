"""Runs the pipeline in this process, and reads what it leaves in a database."""

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from drops import Drop, Part, Row
from experiment_features.config import Settings
from experiment_features.drop.files import Layer
from experiment_features.drop.object_storage import AnyPath
from experiment_features.load.database import connect
from experiment_features.load.lifecycle import recorded
from experiment_features.load.load import load
from experiment_features.load.state import record_state
from experiment_features.pipeline import Pipeline
from experiment_features.run import Extracted, Run, Transformed, Validated
from experiment_features.store.parts import PartStore
from experiment_features.workspace import Workspace, folder_name
from integration.servers import Database

COMPOUNDS = {1: "Water", 2: "Ethanol", 3: "Methane"}

_numbers = itertools.count(1)


def make_drop(
    users: Mapping[int, str],
    experiments: Iterable[tuple[int, str, str]] = (),
    compounds: Mapping[int, str] = COMPOUNDS,
) -> Drop:
    """A drop with user names and compound names by id; experiments are (user, compounds, time)."""
    rows = {
        "users": [(str(i), name, "a@example.org", "2024-01-01") for i, name in users.items()],
        "compounds": [(str(i), name, "C") for i, name in compounds.items()],
        "user_experiments": [
            (str(number), str(user_id), ids, run_time)
            for number, (user_id, ids, run_time) in enumerate(experiments, start=1)
        ],
    }
    return Drop(tuple(Part(table, "", tuple(map(Row, cells))) for table, cells in rows.items()))


def store_folder() -> Path:
    """Returns the folder of the store of parts, which the command line uses too."""
    return Path(os.environ["EXPERIMENT_FEATURES_STORE"])


def new_run_id() -> str:
    """Returns a run id that has not been used."""
    return f"run_{os.getpid()}_{next(_numbers)}"


def make_pipeline(database: Database | None, folder: Path, **options: Any) -> Pipeline:
    """Returns a pipeline whose workspace, in the folder, is named after the run id.

    Options may be fields of Run, Pipeline or Settings.
    """
    run_id = options.pop("run_id", new_run_id())
    settings = {
        name: options.pop(name)
        for name in ("keep_days", "keep_parts_days", "keep_workspace_days")
        if name in options
    }
    of_pipeline = {
        name: options.pop(name)
        for name in ("engine", "timeout_seconds", "store", "open_source")
        if name in options
    }
    now = datetime.now(UTC)
    options = {"trigger": "manual", "started_at": now, "today": now.date(), **options}
    return Pipeline(
        run=Run(run_id=run_id, **options),
        workspace=Workspace(folder / folder_name(run_id)),
        connect=(lambda: connect(database.url())) if database else None,
        settings=Settings(workspaces=str(folder), source_roots=(), **settings),
        **{
            "engine": "pandas",
            "store": store_folder(),
            **of_pipeline,
        },
    )


def extract_drop(pipeline: Pipeline, source: AnyPath | Path) -> Extracted:
    """Runs the first stage of a run, which is entered in the ledger before."""
    connect = None if pipeline.is_dry_run else pipeline.connect
    with recorded(connect, pipeline.run, "extract"):
        return pipeline.extract(source)


def compute_drop(pipeline: Pipeline, source: AnyPath | Path) -> Pipeline:
    """Runs all stages except the load."""
    extract_drop(pipeline, source)
    pipeline.validate()
    pipeline.transform()
    return pipeline


def run_stages(pipeline: Pipeline, extract: Callable[[], Any]) -> Any:
    """Runs all stages, each recorded in the ledger."""
    stages = {
        "extract": extract,
        "validate": pipeline.validate,
        "transform": pipeline.transform,
        "load": pipeline.load,
    }
    for stage, call in stages.items():
        with recorded(pipeline.connect, pipeline.run, stage):
            done = call()
    return done


def run_drop(database: Database, source: Path, **options: Any) -> dict[str, Any]:
    """Runs all stages as etl, with workspaces next to the source; returns the result."""
    pipeline = make_pipeline(database, source.parent / "workspaces", **options)
    return asdict(compute_drop(pipeline, source).load())


def load_workspace(url: str, folder: Path, store: Path) -> str:
    """Loads a prepared workspace, whose parts are in this store, as a new run; returns its status."""
    now = datetime.now(UTC)
    run = Run(new_run_id(), "manual", started_at=now, today=now.date())
    with connect(url) as connection:
        workspace = Workspace(folder)
        database_id = workspace.found(Extracted).database_id
        parts = PartStore(store, database_id, workspace.scratch)
        return load(connection, workspace, run, store=parts, keep_days=90).status


def load_experiments(
    database: Database,
    folder: Path,
    experiments: Mapping[int, int],
    of_compounds: Mapping[int, int] | None = None,
    **options: Any,
) -> str:
    """Loads users by id and number of experiments, without reading a drop; returns the run id.

    Every experiment uses one compound, or the compounds have the given numbers. Ten times faster than a whole run. The volume guard is off,
    unless the options say otherwise.
    """
    pipeline = make_pipeline(database, folder, **{"max_removed_percent": 100, **options})
    workspace = pipeline.workspace
    workspace.fresh_folder(workspace.folder)
    ran = [number or None for number in experiments.values()]
    users = {
        "user_id": pa.array(experiments, pa.int64()),
        "user_name": pa.array([f"user {user_id}" for user_id in experiments], pa.string()),
        "total_experiments": pa.array(experiments.values(), pa.int64()),
        "average_experiment_run_time": pa.array([n and 1.0 for n in ran], pa.float64()),
        "average_compounds_per_experiment": pa.array([n and 1.0 for n in ran], pa.float64()),
        "most_common_compound_id": pa.array([n and 1 for n in ran], pa.int64()),
        "most_common_compound_name": pa.array([n and "Water" for n in ran], pa.string()),
        "most_common_compound_experiments": pa.array(ran, pa.int64()),
        "most_common_compound_ids": pa.array([n and [1] for n in ran], pa.list_(pa.int64())),
    }
    total = sum(experiments.values())
    of_compounds = {1: total} if of_compounds is None else of_compounds
    compounds = {
        "compound_id": pa.array(of_compounds, pa.int64()),
        "compound_name": pa.array(["Water"] * len(of_compounds), pa.string()),
        "total_experiments": pa.array(of_compounds.values(), pa.int64()),
        "total_users": pa.array([min(n, 1) for n in of_compounds.values()], pa.int64()),
    }
    pq.write_table(pa.table(users), workspace.features("user_features"))
    pq.write_table(pa.table(compounds), workspace.features("compound_features"))
    average = total / len(experiments) if experiments else None
    layer = Layer(run_id="", source="made", parts=[])
    with workspace.stage(Extracted) as extracted:
        extracted.finish(Extracted("made", is_unchanged=False, layers=[layer]))
    with workspace.stage(Validated) as validated:
        validated.finish(Validated(rejected={}, rejected_rows=0, warnings=0, rules={}))
    with workspace.stage(Transformed) as transformed:
        transformed.finish(
            Transformed(len(experiments), total, len(of_compounds), average, "pandas")
        )
    return pipeline.load().run_id


def record_as_left(database: Database, run_id: str) -> None:
    """Says that a load has left what was changed by hand."""
    with psycopg.connect(database.url()) as connection:
        record_state(connection, run_id)


def features_of(database: Database, relation: str = "user_features") -> list[dict[str, Any]]:
    """Returns all rows of a relation, ordered by their first column."""
    query = sql.SQL("select * from features.{} order by 1")
    return database.query(query.format(sql.Identifier(relation)))


def run_of(database: Database, run_id: str) -> dict[str, Any]:
    """Returns the ledger's entry for a run."""
    (row,) = database.query("select * from features.pipeline_runs where run_id = %s", run_id)
    return row
