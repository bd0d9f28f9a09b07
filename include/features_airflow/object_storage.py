"""Object storage as Airflow opens it: a URI may name the connection with the credentials."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from experiment_features.drop.object_storage import StoredPath, opening_errors, root_of
from experiment_features.errors import ConfigurationError
from experiment_features.places import is_stored, require_usable_folder
from experiment_features.stored_workspace import StoredCopy
from experiment_features.workspace import Workspace

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def open_filesystem(uri: str) -> "AbstractFileSystem":
    """The file system of a URI such as ``s3://connection@bucket/folder``.

    Raises:
        ConfigurationError: the connection is not defined, or the scheme's library not installed.
        StorageUnavailable: the credentials could not be obtained.
    """
    from airflow.sdk import ObjectStoragePath  # slow, and most tasks do without

    with opening_errors(uri):
        path = ObjectStoragePath(root_of(uri))
        try:
            if path.conn_id:  # Amazon's hook would go on without it, anonymously
                Connection.get(path.conn_id)
        except AirflowNotFoundException:
            raise ConfigurationError(
                f"the Airflow connection {path.conn_id} of {uri} is not defined: add it under "
                f"Admin, Connections, or set AIRFLOW_CONN_{str(path.conn_id).upper()}"
            ) from None
        return path.fs


def open_place(place: str) -> Path | StoredPath:
    """The folder or URI as a path; raises as open_filesystem does."""
    return StoredPath(place, open_filesystem(place)) if is_stored(place) else Path(place)


@contextmanager
def open_workspace(place: str, run_id: str = "") -> Iterator[Workspace]:
    """Opens a run's workspace at a path or URI; one in object storage, in a temporary folder."""
    opened = open_place(place)
    if isinstance(opened, Path):
        yield Workspace(opened, run_id=run_id)
        return
    with TemporaryDirectory(prefix="experiment_features_") as folder:
        require_usable_folder(f"the temporary folder {folder}", folder, "set TMPDIR to another")
        copy = StoredCopy(opened, Path(folder))
        yield Workspace(Path(folder), copy, run_id)
