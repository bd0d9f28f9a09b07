"""Which folders a run may read: anyone who may trigger a run may name one, so roots limit it."""

import os
from collections.abc import Sequence
from pathlib import Path, PosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from experiment_features.config import is_stored
from experiment_features.drop.object_storage import AnyPath, OpenStore, StoredPath
from experiment_features.errors import ConfigurationError


def resolve_source(source: str, roots: Sequence[str], open_store: OpenStore) -> AnyPath:
    """The folder that ``source`` names, if it and what it holds lie in a root, links followed.

    Args:
        source: a path, or a URI; a relative path is looked for in each root on this machine.
        roots: the folders that may be read, themselves or below; paths and URIs.
        open_store: finds the file system of a URI, with credentials.

    Returns:
        The folder; none of its files opens if it has become a link to elsewhere since.

    Raises:
        ConfigurationError: it lies outside, or a link in it leads outside.
    """
    if "\0" in source:
        raise ConfigurationError("the source holds a NUL byte: expected the path of a folder")
    if is_stored(source):
        if _is_in_stored_root(source, roots):
            return StoredPath(source, open_store(source))
        raise _lies_outside(source, roots)
    path = _local_path(source)
    resolved_roots = [_resolve(_local_path(root)) for root in roots if not is_stored(root)]
    for root in resolved_roots:
        resolved = _resolve(root / path)
        if resolved.is_relative_to(root) and (path.is_absolute() or resolved.is_dir()):
            _refuse_links_out(resolved, resolved_roots)
            return _confined(resolved, resolved_roots)
    raise _lies_outside(source, roots)


def is_absent(source: str, open_store: OpenStore) -> bool:
    """Whether there is no folder of that name, allowed or not."""
    place = StoredPath(source, open_store(source)) if is_stored(source) else _local_path(source)
    return not place.is_dir()


def _lies_outside(source: str, roots: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        f"the source {source!r} lies outside the folders that runs may read "
        f"({', '.join(roots)}): put the drop there, or add its folder to "
        "EXPERIMENT_FEATURES_SOURCE_ROOTS"
    )


def _is_in_stored_root(source: str, roots: Sequence[str]) -> bool:
    """Whether a URI is exactly a root or below one, connection and bucket included.

    Nothing in it may lead its opener to another place: fsspec chains URIs with ``::``.
    """
    below = [root.rstrip("/") for root in roots if is_stored(root)]
    if "::" in source or {"", ".", ".."}.intersection(urlsplit(source).path.strip("/").split("/")):
        return source.rstrip("/") in below
    return any(source.rstrip("/") == root or source.startswith(f"{root}/") for root in below)


def _refuse_links_out(folder: Path, roots: Sequence[Path]) -> None:
    """Refuses a drop with a file that is a link to elsewhere: messages quote what is read."""
    for entry in folder.glob("*.csv*"):
        if entry.is_file() and not _is_within(_resolve(entry), roots):
            raise _leads_out(entry)


def _confined(folder: Path, roots: Sequence[Path]) -> Path:
    """The folder, with the check repeated on what is open when a file of it is opened.

    Anyone who may write into a drop could replace a file with a link after the first check.
    """

    class Confined(PosixPath):
        def open(self, *arguments: Any, **options: Any) -> Any:
            stream = super().open(*arguments, **options)
            found = _resolve(Path(self))
            # Another link could be there by now: what counts is the file that is open.
            is_found = os.path.samestat(os.fstat(stream.fileno()), found.lstat())
            if not (is_found and _is_within(found, roots)):
                stream.close()
                raise _leads_out(self)
            return stream

    return Confined(folder)


def _is_within(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _leads_out(file: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{file.name} in the source {file.parent} is a link that leads outside the folders that "
        "runs may read: put the file itself there"
    )


def _resolve(path: Path) -> Path:
    try:
        resolved = path.resolve()
        resolved.exists()  # a name may be too long for the system
    except (OSError, RuntimeError) as error:  # a loop of links is one or the other
        raise ConfigurationError(
            f"the source {str(path)[:200]} cannot be followed: {error}"
        ) from error
    return resolved


def _local_path(source: str) -> Path:
    """The path of a ``file://`` URI, or the path itself."""
    if "://" not in source:
        return Path(source)
    parts = urlsplit(source)
    if parts.netloc not in ("", "localhost"):
        raise ConfigurationError(
            f"the source {source!r} is not on this machine: expected a path or file:// URI"
        )
    return Path(unquote(parts.path))
