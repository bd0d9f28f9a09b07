"""One run, stage by stage: what Airflow's tasks and the command line both call."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from experiment_features.config import Settings
from experiment_features.drop.files import holds_files
from experiment_features.drop.object_storage import AnyPath
from experiment_features.engines.choose import choose_engine
from experiment_features.engines.engine import Engine
from experiment_features.errors import ConfigurationError, DropRejected
from experiment_features.features.transform import transform
from experiment_features.load import ledger
from experiment_features.load.database import (
    TIMEOUT_SECONDS,
    Connection,
    database_errors,
)
from experiment_features.load.load import load
from experiment_features.reading.extract import extract
from experiment_features.reading.typed_file import Progress
from experiment_features.rules.validate import validate
from experiment_features.run import Run
from experiment_features.workspace import Facts, Workspace


@dataclass(frozen=True)
class Pipeline:
    """The stages of one run; each can be run again, in order, in another process.

    Every stage but the last returns ``workspace``, where the next finds its files, and counts.
    """

    run: Run
    workspace: Workspace
    engine: str
    """auto, pandas, duckdb or spark."""

    connect: Callable[[], AbstractContextManager[Connection]] | None
    """Opens the features database; None for a dry run."""

    settings: Settings

    timeout_seconds: float = TIMEOUT_SECONDS
    """How long a statement in the database may take; Airflow's tasks hand their own timeout on."""

    def last_source(self) -> str | None:
        """The source of the drop whose features the database holds."""
        with self._ledger() as connection:
            last = ledger.find_last_load(connection)
        return str(last["source"]) if last else None

    def find_earlier_load(self, source: AnyPath) -> str | None:
        """The other run that loaded this very drop, when another source was loaded since."""
        with self._ledger() as connection:
            last = ledger.find_last_load(connection)
            earlier = ledger.find_load_of(connection, str(source), self.run)
        if last is None or earlier is None or last["source"] == str(source):
            return None
        if earlier["run_id"] == self.run.run_id:  # which is repeated now
            return None
        return str(earlier["run_id"]) if holds_files(source, earlier["source_files"]) else None

    def extract(self, source: AnyPath, progress: Progress | None = None) -> Facts:
        """Reads the drop; returns ``rows`` per table and whether the drop ``is_unchanged``."""
        known_files = []
        if self.connect:
            with self.connect() as connection:
                known_files = ledger.find_known_files(connection, self.run)
        facts = extract(
            source,
            self.workspace,
            allow_empty=self.run.allow_empty,
            known_files=known_files,
            memory_limit=self.settings.memory_limit,
            progress=progress,
        )
        return self._hand_on(facts, "rows", "is_unchanged")

    def validate(self) -> Facts:
        """Checks the rows; returns ``rejected`` rows per table and the number of ``warnings``.

        Raises:
            DropRejected: too many are faulty; the run and its issues are then in the database.
        """
        if self._is_unchanged:
            return self._hand_on({})
        try:
            facts = validate(
                self.workspace,
                self._engine,
                max_rejected_percent=self.run.max_rejected_percent,
                today=datetime.now(UTC).date(),
                memory_limit=self.settings.memory_limit,
            )
        except DropRejected:
            if self.connect:
                with self.connect() as connection:
                    ledger.record_rejected(
                        connection,
                        self.workspace,
                        self.run,
                        timeout_seconds=self.timeout_seconds,
                    )
            raise
        return self._hand_on(facts, "rejected", "warnings")

    def transform(self) -> Facts:
        """Computes the features; returns the numbers of users, experiments and compounds."""
        if self._is_unchanged:
            return self._hand_on({})
        facts = transform(self.workspace, self._engine)
        return self._hand_on(facts, "users", "experiments", "compounds", "engine")

    def load(self) -> Facts:
        """Writes the features; returns the run's result. Removes what is kept no longer."""
        if self.connect is None:
            return ledger.preview(self.workspace, self.run)
        write = ledger.record_unchanged if self._is_unchanged else load
        with self.connect() as connection:
            result = write(
                connection,
                self.workspace,
                self.run,
                keep_days=self.settings.keep_days,
                timeout_seconds=self.timeout_seconds,
            )
        self.workspace.remove_old_siblings(self.settings.keep_workspace_days)
        return result

    @contextmanager
    def _ledger(self) -> Iterator[Connection]:
        """A connection to ask the run ledger with."""
        if self.connect is None:
            raise ConfigurationError("a dry run has no ledger to ask")
        with self.connect() as connection, database_errors("read the run ledger"):
            yield connection
            connection.rollback()

    def _hand_on(self, facts: Facts, *names: str) -> Facts:
        return {"workspace": str(self.workspace), **{name: facts[name] for name in names}}

    @property
    def _is_unchanged(self) -> bool:
        return bool(self.workspace.facts("extract")["is_unchanged"])

    @property
    def _engine(self) -> Engine:
        experiments = self.workspace.facts("extract")["rows"]["user_experiments"]
        spill = self.workspace.scratch / "spill"
        settings = self.settings
        return choose_engine(
            self.engine, experiments, spill, settings.spark_master, settings.memory_limit
        )
