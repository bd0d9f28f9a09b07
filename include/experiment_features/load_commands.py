"""The commands about loads: what is in force, where a number comes from, and the way back."""

import argparse
import sys
from dataclasses import asdict

from experiment_features import reproduction
from experiment_features import state as states
from experiment_features.command_run import load_or_plan, open_run
from experiment_features.load.database import connect
from experiment_features.load.loads import find_load
from experiment_features.load.part_store import (
    find_database_id,
    find_dependent_loads,
    find_store,
    remove_old_parts,
)
from experiment_features.output import print_json, writing_result
from experiment_features.report import trace as tracing
from experiment_features.report.export import export
from experiment_features.store.layers import Layers
from experiment_features.store.parts import location_of
from experiment_features.visible_text import escape, shown

_SHOWN = 20
"""The most runs that a question names."""


def trace(options: argparse.Namespace) -> int:
    """Shows the lines that a user's features are made of; 1 if they do not give the number."""
    with open_run(options, _url(options)) as pipeline, connect(_url(options)) as connection:
        found = tracing.trace(
            connection,
            pipeline.parts_of(find_database_id(connection)),
            find_load(connection, options.run),
            options.user_id,
            compound_id=options.compound,
            memory_limit=pipeline.settings.memory_limit,
        )
    with writing_result():
        if options.json:
            print_json(found.as_json())
        else:
            from experiment_features import terminal

            terminal.print_trace(found)
    return 0 if found.is_equal else 1


def reproduce(options: argparse.Namespace) -> int:
    """Computes a load again, and compares the outcome; 1 if it differs."""
    with connect(_url(options)) as connection:
        load = find_load(connection, options.run)
    fields = reproduction.run_fields(load) | {"max_rejected_percent": 100}
    with open_run(options, _url(options), engine=load.engine, **fields) as pipeline:
        found = reproduction.reproduce(pipeline, load)
    with writing_result():
        if options.json:
            print_json(found.as_json())
        else:
            from experiment_features import terminal

            terminal.print_reproduction(found)
    return 0 if found.is_equal else 1


def restore(options: argparse.Namespace) -> int:
    """Loads the parts of an earlier load again, as a new run."""
    with connect(_url(options)) as connection:
        load = find_load(connection, options.run)
    fields = reproduction.run_fields(load) | {"restored_run": load.run_id}
    with open_run(options, _url(options), **fields) as pipeline:
        return load_or_plan(options, pipeline, lambda _: pipeline.take(load))


def state(options: argparse.Namespace) -> int:
    """Shows what is in force, and what the store holds; or exports or verifies what is in force."""
    if options.export:
        return _export(options)
    if options.verify:
        return _verify(options)
    with open_run(options, _url(options)) as pipeline, connect(_url(options)) as connection:
        found = states.find_state(connection, pipeline.parts_of(find_database_id(connection)))
    with writing_result():
        if options.json:
            print_json(asdict(found))
        else:
            from experiment_features import terminal

            terminal.print_state(found)
    return 0


def _export(options: argparse.Namespace) -> int:
    """Writes the snapshot in force as the files of a drop."""
    with connect(_url(options)) as connection:
        load = find_load(connection)
    with open_run(options, _url(options), **reproduction.run_fields(load)) as pipeline:
        layers = Layers(pipeline.take(load).layers, pipeline.parts)
        spill = pipeline.workspace.folder / "spill"
        memory_limit = pipeline.settings.memory_limit
        files = export(layers, options.export, memory_limit=memory_limit, spill=spill)
    with writing_result():
        if options.json:
            listed = [file._asdict() for file in files]
            print_json({"run": load.run_id, "folder": str(options.export), "files": listed})
        else:
            from experiment_features import terminal

            terminal.print_files(files)
    return 0


def _verify(options: argparse.Namespace) -> int:
    """Computes what is in force as a whole, and compares the database with it; 1 if it differs."""
    with connect(_url(options)) as connection:
        load = find_load(connection)
    fields = reproduction.run_fields(load) | {"max_rejected_percent": 100}
    with open_run(options, _url(options), engine=load.engine, **fields) as pipeline:
        found = reproduction.verify(pipeline, load)
    with writing_result():
        if options.json:
            print_json(found.as_json())
        else:
            from experiment_features import terminal

            terminal.print_verification(found)
    return 0 if found.is_equal else 1


def prune(options: argparse.Namespace) -> int:
    """Removes the parts that only older runs need, after asking."""
    with open_run(options, _url(options)) as pipeline, connect(_url(options)) as connection:
        # Refuses a copy of a database, which would remove what the original needs.
        store = pipeline.parts_of(find_store(connection, location_of(pipeline.store)))
        lost = find_dependent_loads(connection, store)
        if lost and not (options.yes or _confirms(lost)):
            sys.stderr.write("nothing was removed\n")
            return 0
        removed = remove_old_parts(connection, store, 0, lost_loads=lost)
    with writing_result():
        sys.stdout.write(f"removed {removed} files from {escape(str(pipeline.store))}\n")
    return 0


def _confirms(runs: list[str]) -> bool:
    """Asks whether the parts of these runs may go."""
    more = f", and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    sys.stderr.write(
        "After this, these runs can no longer be traced, reproduced or restored: "
        f"{', '.join(map(shown, runs[:_SHOWN]))}{more}\n"
        "Remove the parts that only these runs need? [y/N] "
    )
    sys.stderr.flush()
    answer = sys.stdin.readline() if sys.stdin else ""
    return answer.strip().lower() in ("y", "yes")


def _url(options: argparse.Namespace) -> str:
    if not options.database_url:
        options.fail("--database-url is required")
    return str(options.database_url)
