"""The stages of one run, as called by both Airflow's tasks and the command line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from experiment_features.config import Settings
from experiment_features.contract import DropMode
from experiment_features.drop.base import LastLoad
from experiment_features.drop.local_path import open_local
from experiment_features.drop.object_storage import AnyPath, OpenSource, StoredPath
from experiment_features.engines.choose import choose_engine
from experiment_features.engines.engine import Engine
from experiment_features.errors import ConfigurationError, DropRejected, PipelineError
from experiment_features.features.transform import transform
from experiment_features.load.before import find_before
from experiment_features.load.database import TIMEOUT_SECONDS, Connect, Connection
from experiment_features.load.known_drops import KnownDrops
from experiment_features.load.last_load import can_be_unchanged, find_last, is_delta_source
from experiment_features.load.lifecycle import enter_source
from experiment_features.load.load import load
from experiment_features.load.loads import Load
from experiment_features.load.part_store import (
    LedgerParts,
    find_database_id,
    register_store,
    remove_old_parts,
)
from experiment_features.load.plan import Plan, plan_load
from experiment_features.load.record import computed, record_rejected, record_unchanged
from experiment_features.reading.extract import extract, take_parts
from experiment_features.reading.typed_file import Progress
from experiment_features.rules.validate import validate
from experiment_features.run import DRY_RUN, Extracted, Result, Run, Transformed, Validated
from experiment_features.store.before import Before
from experiment_features.store.layers import Layers
from experiment_features.store.parts import (
    NamedParts,
    NoLedger,
    PartStore,
    location_of,
    workspace_parts,
)
from experiment_features.stored_workspace import StoredCopy
from experiment_features.visible_text import escape
from experiment_features.workspace import Copy, Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pipeline:
    """The stages of one run, called in order; each may run in its own process and be repeated.

    A stage reads what the previous one wrote to the workspace.
    """

    run: Run
    workspace: Workspace
    engine: str
    """auto, pandas, duckdb or spark."""

    connect: Connect | None
    """Opens the features database; None for a dry run without one."""

    settings: Settings

    store: Path | StoredPath
    """Where the parts are, of all databases."""

    open_source: OpenSource = open_local
    """Opens the folder of a drop that the ledger names."""

    timeout_seconds: float = TIMEOUT_SECONDS
    """How long a database statement may take; Airflow's tasks pass their own timeout."""

    is_dry_run: bool = False
    """Whether to leave the database as it is."""

    @property
    def database(self) -> Connect:
        """Opens the features database.

        Raises:
            ConfigurationError: this is a dry run without one.
        """
        if self.connect is None:
            raise ConfigurationError("this needs a database: name it (--database-url)")
        return self.connect

    @property
    def known_drops(self) -> KnownDrops:
        """What the ledger knows of drops."""
        return KnownDrops(self.run, self.database, self.open_source)

    def extract(self, source: AnyPath, progress: Progress | None = None) -> Extracted:
        """Reads the drop."""
        log.info("reading the drop in %s", escape(str(source)))
        database_id, last, is_known_delta = "", None, False
        named_parts: NamedParts = NoLedger()
        if self.connect:
            self._refuse_as_store(source)
            with self.connect() as connection:
                database_id, named_parts = self._named_parts(connection)
                if not self.is_dry_run:
                    enter_source(connection, self.run, str(source))
                last = find_last(connection)
                is_known_delta = is_delta_source(connection, str(source))
            if last and not self.is_dry_run:
                last = replace(last, can_be_unchanged=partial(self._can_be_unchanged, last))
        return extract(
            source,
            self.workspace,
            self.parts_of(database_id),
            named_parts,
            mode=self.run.mode,
            unmarked=self._mode_of_last(source, last),
            last=last,
            is_known_delta=is_known_delta,
            allow_empty=self.run.allow_empty,
            open_source=self.open_source,
            memory_limit=self.settings.memory_limit,
            progress=progress,
        )

    def _can_be_unchanged(self, last: LastLoad) -> bool:
        with self.database() as connection:
            return can_be_unchanged(connection, last, self.run)

    def _named_parts(self, connection: Connection) -> tuple[str, NamedParts]:
        """The name of the database in the store, and what names parts; a dry run names none."""
        if self.connect is None or self.is_dry_run:
            return find_database_id(connection), NoLedger()
        database_id = register_store(connection, location_of(self.store))
        return database_id, LedgerParts(self.connect, self.run)

    def _mode_of_last(self, source: AnyPath, last: LastLoad | None) -> DropMode:
        """What a drop is if nothing says so: the last load's, taken again, is what it was."""
        if self.run.given_source or last is None or str(source) != last.source:
            return "snapshot"
        if self.run.mode not in ("auto", last.mode):
            raise ConfigurationError(
                f"mode is {self.run.mode}, and the drop of the last load, which a run without a "
                f"source takes, is a {last.mode}: name the source, or leave the mode to the drop"
            )
        return last.mode

    def take(self, load: Load) -> Extracted:
        """Takes the parts of an earlier load in place of a drop.

        Raises:
            ConfigurationError: a part cannot be used any more, or the database is a copy.
        """
        log.info("taking what run %s loaded from %s", escape(load.run_id), escape(load.source))
        with self.database() as connection:
            database_id, named_parts = self._named_parts(connection)
        return take_parts(
            load.layers,
            run_id=load.run_id,
            base_run_id=load.base_run_id,
            workspace=self.workspace,
            store=self.parts_of(database_id),
            named_parts=named_parts,
            memory_limit=self.settings.memory_limit,
        )

    def validate(self) -> Validated | None:
        """Checks the rows, unless the drop is unchanged.

        Raises:
            DropRejected: too many rows are faulty; the run and its issues have been recorded.
        """
        if self._is_unchanged:
            return None
        before = self._find_before()
        try:
            with self._computing() as engine:
                return validate(
                    self.workspace,
                    self.parts,
                    engine,
                    max_rejected_percent=self.run.max_rejected_percent,
                    today=self.run.today,
                    before=before,
                    allow_empty=self.run.allow_empty,
                    memory_limit=self.settings.memory_limit,
                )
        except DropRejected as error:
            if self.connect is None or self.is_dry_run:
                raise _with_remedy(error, "`check SOURCE --csv FILE` lists") from error
            rejection = _with_remedy(error, "features.data_issues lists for this run")
            with self.connect() as connection:
                record_rejected(
                    connection,
                    self.workspace,
                    self.run,
                    rejection,
                    timeout_seconds=self.timeout_seconds,
                )
            raise rejection from error

    def _find_before(self) -> Before | None:
        """What the load has left that a delta builds on; None if everything is to be computed."""
        extracted = self.workspace.found(Extracted)
        if self.connect is None or self.run.force or not extracted.builds_on_last:
            return None
        with self.connect() as connection:
            return find_before(connection, extracted, Layers(extracted.layers, self.parts))

    def transform(self) -> Transformed | None:
        """Computes the features, unless the drop is unchanged.

        Raises:
            ConfigurationError: it is a delta, and there is no database that says what it changes.
        """
        extracted = self.workspace.found(Extracted)
        if self.connect is None and extracted.mode == "delta":
            raise ConfigurationError(
                f"the features after the delta {extracted.source} depend on what has been loaded: "
                "name the database (--database-url), or let `check` judge the delta by itself"
            )
        if self._is_unchanged:
            return None
        with self._computing() as engine:
            return transform(self.workspace, self.parts, engine)

    def load(self) -> Result:
        """Loads the features, removes expired runs and workspaces, and returns the result.

        Raises:
            LoadHeld: too much would be removed; the run has been recorded.
        """
        write = record_unchanged if self._is_unchanged else partial(load, store=self.parts)
        with self.database() as connection:
            result = write(
                connection,
                self.workspace,
                self.run,
                # Without its entry and issues, a run cannot be traced, though its parts are kept.
                keep_days=max(self.settings.keep_days, self.settings.keep_parts_days),
                timeout_seconds=self.timeout_seconds,
            )
            try:
                remove_old_parts(connection, self.parts, self.settings.keep_parts_days)
            except PipelineError as trouble:  # the next load will remove them
                log.warning("old parts could not be removed: %s", trouble)
        self.workspace.remove_old_siblings(self.settings.keep_workspace_days)
        return result

    def plan(self) -> tuple[Result, Plan | None]:
        """What a load would do: the result of a dry run, and the comparison with the database."""
        if self.connect is None:
            result = computed(self.workspace, self.run, DRY_RUN)
            return replace(result, seconds=self.workspace.seconds()), None
        with self.connect() as connection:
            return plan_load(
                connection, self.workspace, self.run, timeout_seconds=self.timeout_seconds
            )

    def _refuse_as_store(self, source: AnyPath) -> None:
        """Refuses a drop whose folder is the store, which would add files to it."""
        is_store = location_of(self.store) == str(source)
        if isinstance(self.store, Path) and not isinstance(source, StoredPath):
            with suppress(OSError):  # one of them is not there yet, or cannot be followed
                is_store = self.store.samefile(str(source))
        if is_store:
            raise ConfigurationError(
                f"the drop's folder {source} is also the store of parts, and a run must not change "
                "a drop: set EXPERIMENT_FEATURES_STORE to another folder"
            )

    @property
    def parts(self) -> PartStore:
        """The parts that the run reads."""
        return self.parts_of(self.workspace.found(Extracted).database_id)

    def parts_of(self, database_id: str) -> PartStore:
        """The parts of a database, or without its id those in the workspace."""
        if not database_id:
            return workspace_parts(self.workspace)
        # What a dry run adds must last from stage to stage.
        cache = self.workspace.folder if self.is_dry_run else self.workspace.scratch
        return PartStore(self.store, database_id, cache / "parts", is_read_only=self.is_dry_run)

    @property
    def _is_unchanged(self) -> bool:
        return self.workspace.found(Extracted).is_unchanged

    @contextmanager
    def _computing(self) -> Iterator[Engine]:
        """Yields the engine, and translates its errors."""
        extracted = self.workspace.found(Extracted)
        settings = self.settings
        engine = choose_engine(
            self.engine,
            extracted.total_rows["user_experiments"],
            self.workspace.scratch / "spill",
            settings.spark_master,
            settings.memory_limit,
            extracted.text_bytes,
            self._copies(),
        )
        with engine.errors():
            yield engine

    def _copies(self) -> list[Copy]:
        """Where the files that stages share lie in object storage, if the workspace does."""
        copy, parts = self.workspace.copy, self.parts
        if copy is None:
            return []
        if isinstance(parts.root, StoredPath) and not parts.is_read_only:
            return [StoredCopy(parts.root, parts.cache, only_fetched=True), copy]
        return [copy]


def _with_remedy(error: DropRejected, rows: str) -> DropRejected:
    message = f"{error}. Correct the rows that {rows}, or allow more"
    return DropRejected(message, error.judged)
