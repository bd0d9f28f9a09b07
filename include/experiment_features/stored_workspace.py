"""The copy of a workspace in object storage.

A file is fetched when a stage first asks for it. What a stage wrote is stored when it ends, its
facts last; what Spark reads or writes there, at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from experiment_features.drop.object_storage import StoredPath
from experiment_features.errors import ConfigurationError, PipelineError
from experiment_features.workspace import MARK


class StoredCopy:
    """The copy in object storage of a workspace that is used in a local folder.

    Its methods raise ConfigurationError if the bucket is missing or may not be written, and
    StorageUnavailable if it cannot be reached.
    """

    def __init__(self, place: StoredPath, folder: Path, *, only_fetched: bool = False) -> None:
        """Creates nothing in either place.

        Args:
            place: where the workspace is kept.
            folder: where it is used on this machine.
            only_fetched: whether all that is in the folder comes from there.
        """
        self._only_fetched = only_fetched
        self._place = place
        self._folder = folder
        self._fetched: dict[Path, int] = {}
        """What is the same in both places, by when it was written here."""

    def __str__(self) -> str:
        return str(self._place)

    def fetch(self, path: Path) -> None:
        """Fetches a file or folder of the workspace to its path, if it exists."""
        with self._errors():
            stored = self._stored(path)
            for file in [stored] if stored.is_file() else stored.walk():
                target = self._folder / str(file).removeprefix(f"{self}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                file.fetch(target)
                self._fetched[target] = target.stat().st_mtime_ns

    def store(self, place: Path | None = None) -> None:
        """Stores the files that are new or have changed since they were fetched, except facts.

        Args:
            place: a file or folder of the workspace; without one, all of it.
        """
        if self._only_fetched:
            return
        place = place or self._folder
        with self._errors():
            for path in [place, *sorted(place.rglob("*"))]:
                is_new = path.is_file() and self._fetched.get(path) != path.stat().st_mtime_ns
                if is_new and path.suffix != ".json":
                    self._stored(path).keep(path)
                    self._fetched[path] = path.stat().st_mtime_ns

    def holds(self, path: Path) -> bool:
        """Whether a path is one of the workspace."""
        return path.is_relative_to(self._folder)

    def uri(self, path: Path) -> str:
        """The address of a file or folder of the workspace, without the name of a connection."""
        return self._stored(path).as_uri()

    def files(self, path: Path) -> list[str]:
        """The names, from a folder of the workspace on, of the files that it has there."""
        with self._errors():
            folder = self._stored(path)
            return [str(file).removeprefix(f"{folder}/") for file in folder.walk()]

    def store_facts(self, record: Path) -> None:
        """Stores the facts of a finished stage."""
        with self._errors():
            self._stored(record).keep(record)

    def remove(self, path: Path) -> None:
        """Removes a file or folder of the workspace, or all of it."""
        with self._errors():
            self._stored(path).remove()

    def remove_old_siblings(self, oldest: float) -> None:
        """Removes the workspaces next to this one that were last written before that time."""
        parent = StoredPath(str(self._place).rpartition("/")[0], self._place.store)
        with suppress(PipelineError, OSError):
            for folder in parent.entries():
                mark = folder / MARK  # stored again by every stage
                if mark.is_file() and mark.written_at() < oldest:
                    folder.remove()

    def _stored(self, path: Path) -> StoredPath:
        below = path.relative_to(self._folder).as_posix()
        return self._place if below == "." else self._place / below

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"the workspace {self} cannot be used ({error}): create its bucket, or set "
                "EXPERIMENT_FEATURES_WORKSPACES to another place"
            ) from error
