"""A workspace in object storage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from experiment_features.drop.object_storage import StoredPath
from experiment_features.errors import ConfigurationError, PipelineError
from experiment_features.workspace import MARK, Facts, Workspace


class StoredWorkspace(Workspace):
    """A workspace in object storage, worked on in a folder of this machine.

    A file is fetched when a stage first asks for it. What a stage has written is stored at its end,
    its facts last.
    """

    def __init__(self, place: StoredPath, folder: Path) -> None:
        """Takes the place as it is.

        Args:
            place: the workspace.
            folder: an empty one of this machine, which the caller removes.
        """
        super().__init__(folder)
        self._place = place
        self._fetched: dict[Path, int] = {}

    def __str__(self) -> str:
        return str(self._place)

    def rows(self, table: str) -> Path:
        """See Workspace."""
        return self._here(super().rows(table))

    def rejected(self, table: str) -> Path:
        """See Workspace."""
        return self._here(super().rejected(table))

    @property
    def issues(self) -> Path:
        """See Workspace."""
        return self._here(super().issues)

    def features(self, relation: str) -> Path:
        """See Workspace."""
        return self._here(super().features(relation))

    def record(self, stage: str) -> Path:
        """See Workspace."""
        return self._here(super().record(stage))

    @contextmanager
    def stage(self, name: str) -> Iterator[Facts]:
        """See Workspace.

        Raises:
            ConfigurationError: the bucket is missing, or may not be written.
            StorageUnavailable: it cannot be reached.
        """
        record = super().record(name)
        with self._errors():
            self._stored(record).remove()
        with super().stage(name) as facts:
            yield facts
            with self._errors():
                self._store_files()
        with self._errors():
            self._stored(record).keep(record)

    def clear(self) -> None:
        """See Workspace."""
        super().clear()
        with self._errors():
            self._place.remove()

    def remove(self, path: Path) -> None:
        """See Workspace."""
        super().remove(path)
        with self._errors():
            self._stored(path).remove()

    def remove_old_siblings(self, keep_days: float) -> None:
        """See Workspace."""
        oldest = time.time() - keep_days * 24 * 60 * 60
        parent = StoredPath(str(self._place).rpartition("/")[0], self._place.store)
        with suppress(PipelineError, OSError):
            for folder in list(parent.iterdir()):
                mark = folder / MARK  # every stage stores it anew
                if mark.is_file() and mark.written_at() < oldest:
                    folder.remove()

    def _stored(self, path: Path) -> StoredPath:
        return self._place / path.relative_to(self.folder).as_posix()

    def _here(self, path: Path) -> Path:
        """The path, with what is stored in its place fetched, if nothing is there yet."""
        if path.exists():
            return path
        with self._errors():
            stored = self._stored(path)
            for file in [stored] if stored.is_file() else stored.walk():
                target = self.folder / str(file).removeprefix(f"{self}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                file.fetch(target)
                self._fetched[target] = target.stat().st_mtime_ns
        return path

    def _store_files(self) -> None:
        """Stores what the stage has written, but its facts and what only itself needed."""
        for path in sorted(self.folder.rglob("*")):
            is_own = path.is_file() and self._fetched.get(path) != path.stat().st_mtime_ns
            if is_own and path.suffix != ".json" and not path.is_relative_to(self.scratch):
                self._stored(path).keep(path)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"the workspace {self} cannot be used ({error}): make its bucket, or name another "
                "one in EXPERIMENT_FEATURES_WORKSPACES"
            ) from error
