"""A run of the command line: its source, its temporary workspace, its stages and its progress.

terminal.py is imported only where it is needed, because many runs have no terminal.
"""

import argparse
import getpass
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from experiment_features.config import Settings
from experiment_features.drop.allowed_source import resolved_path
from experiment_features.drop.local_path import LocalPath
from experiment_features.drop.object_storage import AnyPath, StoredPath, opening_errors, root_of
from experiment_features.errors import ConfigurationError, PipelineError
from experiment_features.load.database import connect
from experiment_features.load.lifecycle import recorded
from experiment_features.output import print_json, writing_result
from experiment_features.pipeline import Pipeline
from experiment_features.places import (
    is_stored,
    local_path,
    refuse_secret,
    require_utf8,
)
from experiment_features.reading.typed_file import Progress
from experiment_features.run import PARAMETERS, Run
from experiment_features.stored_workspace import StoredCopy
from experiment_features.temporary_folder import temporary_folder
from experiment_features.visible_text import escape
from experiment_features.workspace import Workspace

Done = TypeVar("Done")


@contextmanager
def open_run(
    options: argparse.Namespace, url: str | None, *, engine: str = "auto", **fields: Any
) -> Iterator[Pipeline]:
    """A new run in its own temporary workspace.

    Args:
        options: of the command; those that are parameters of a run become the run's.
        url: of the features database; None to leave no traces in one.
        engine: computes the run, unless the options name one.
        fields: of Run; they override the options.
    """
    started_at = datetime.now(UTC)
    given = {name: value for name, value in vars(options).items() if name in PARAMETERS}
    run = {
        "run_id": f"cli__{started_at:%Y-%m-%dT%H:%M:%S.%f}",
        "trigger": "cli",
        "started_at": started_at,
        "today": started_at.date(),
        "triggered_by": _user(),
        **given,
        **fields,
    }
    engine = getattr(options, "engine", None) or engine
    settings = Settings.from_environment()
    with temporary_folder() as folder, _open_workspace(folder / "run", engine, settings) as opened:
        yield Pipeline(
            run=Run(**run),
            workspace=opened,
            engine=engine,
            connect=None if url is None else lambda: connect(url),
            settings=settings,
            store=open_store_root(settings.store),
            open_source=open_source,
            is_dry_run=getattr(options, "dry_run", True),  # what cannot load leaves no trace
        )


@contextmanager
def _open_workspace(folder: Path, engine: str, settings: Settings) -> Iterator[Workspace]:
    """The workspace of a run, in a folder; for Spark, with a copy in object storage if others are.

    The copy is removed at the end; what stays, a later load removes with the old workspaces.
    """
    if engine != "spark" or not is_stored(settings.workspaces):
        yield Workspace(folder)
        return
    place = _open_stored(settings.workspaces.rstrip("/")) / f"cli__{uuid.uuid4()}"
    workspace = Workspace(folder, StoredCopy(place, folder))
    try:
        yield workspace
    finally:
        with suppress(PipelineError):
            workspace.clear()


def _user() -> str | None:
    try:
        return escape(getpass.getuser())
    except (KeyError, OSError):  # in a container, the user may have no name
        return None


def open_source(source: str) -> AnyPath:
    """The drop's folder, links followed, as in Airflow: the ledger knows its drops by it."""
    refuse_secret("the source", source)
    require_utf8(f"the source {source}", source, "rename the folder")
    if not is_stored(source):
        try:
            return LocalPath(resolved_path(local_path(source).absolute()))
        except OSError as error:
            raise ConfigurationError(
                f"the source {source} is relative, and the current folder cannot be read "
                f"({error.strerror}): give the source's absolute path"
            ) from error
    return _open_stored(source)


def open_store_root(place: str) -> Path | StoredPath:
    """The folder or URI of the store of parts."""
    return _open_stored(place) if is_stored(place) else Path(place).absolute()


def _open_stored(uri: str) -> StoredPath:
    """A place in object storage, which has its own access settings (AWS_ACCESS_KEY_ID, ...)."""
    from fsspec.core import url_to_fs

    with opening_errors(uri):
        return StoredPath(uri, url_to_fs(root_of(uri))[0])


def run_stages(
    pipeline: Pipeline, extract: Callable[[Progress | None], Any], last: Callable[[], Done]
) -> Done:
    """Runs all stages, showing progress on a terminal; records the run, unless it is a dry one.

    Args:
        pipeline: of the run.
        extract: the first stage; it is given the function that shows rows.
        last: the last stage, or a plan.
    """
    connect = None if pipeline.is_dry_run else pipeline.connect
    with _shown_progress() as (show_stage, show_rows):
        stages: dict[str, Callable[[], Any]] = {
            "extract": lambda: extract(show_rows),
            "validate": pipeline.validate,
            "transform": pipeline.transform,
            "load": last,
        }
        for stage, run in stages.items():
            show_stage(stage)
            with recorded(connect, pipeline.run, stage):
                done = run()
    return cast("Done", done)


def load_or_plan(
    options: argparse.Namespace, pipeline: Pipeline, extract: Callable[[Progress | None], Any]
) -> int:
    """Runs all stages, or with --dry-run plans the last; prints the result.

    Raises:
        LoadHeld: too much would be removed.
    """
    if options.dry_run:
        result, plan = run_stages(pipeline, extract, pipeline.plan)
    else:
        result, plan = run_stages(pipeline, extract, pipeline.load), None
    with writing_result():
        if options.json:
            of_plan = {"plan": plan.as_json() if plan else None} if options.dry_run else {}
            print_json(asdict(result) | of_plan)
        else:
            from experiment_features import terminal

            terminal.print_result(result)
            if options.dry_run:
                terminal.print_plan(plan)
    if plan and plan.held:
        raise plan.held
    return 0


@contextmanager
def _shown_progress() -> Iterator[tuple[Callable[[str], None], Progress | None]]:
    if not sys.stderr.isatty():
        yield (lambda _stage: None), None
        return
    from experiment_features import terminal

    with terminal.shown_progress() as shown:
        yield shown
