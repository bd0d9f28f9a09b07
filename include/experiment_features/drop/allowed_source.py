"""Which folders a run may read: anyone who may trigger a run may name one, so roots limit it."""

from collections.abc import Sequence
from pathlib import Path

from experiment_features.drop.local_path import LocalPath
from experiment_features.drop.object_storage import AnyPath, OpenFilesystem, StoredPath
from experiment_features.errors import ConfigurationError
from experiment_features.places import checked_name, is_stored, local_path, refuse_secret


def resolve_source(source: str, roots: Sequence[str], open_filesystem: OpenFilesystem) -> AnyPath:
    """The folder that ``source`` names, if it lies in a root, links followed.

    Args:
        source: a path, or a URI; a relative path is looked for in each root on this machine.
        roots: the folders that may be read, themselves or below; paths and URIs.
        open_filesystem: finds the file system of a URI, with credentials.

    Returns:
        The folder; files in it that have become links to elsewhere cannot be opened.

    Raises:
        ConfigurationError: it lies outside, cannot be the name of a folder, or holds a password.
    """
    if is_stored(source):
        refuse_secret("the source", source)
        if _is_in_stored_root(checked_name(source), roots):
            return StoredPath(source, open_filesystem(source))
        raise _lies_outside(source, roots)
    path = local_path(source)
    resolved_roots = [resolved_path(local_path(root)) for root in roots if not is_stored(root)]
    is_within = False
    for root in resolved_roots:
        resolved = resolved_path(root / path)
        if resolved.is_relative_to(root):
            if path.is_absolute() or resolved.is_dir():
                return LocalPath(resolved, resolved_roots)
            is_within = True
    if is_within:
        raise ConfigurationError(
            f"there is no folder {source!r} in those that runs may read ({', '.join(roots)}): "
            "correct the name, or give its absolute path"
        )
    raise _lies_outside(source, roots)


def is_absent(source: str, open_filesystem: OpenFilesystem) -> bool:
    """Whether there is no folder of that name, allowed or not."""
    place = StoredPath(source, open_filesystem(source)) if is_stored(source) else local_path(source)
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
    key = source.rstrip("/").partition("://")[2].partition("/")[2]
    if "::" in source or {"", ".", ".."}.intersection(key.split("/")):
        return source.rstrip("/") in below
    return any(source.rstrip("/") == root or source.startswith(f"{root}/") for root in below)


def resolved_path(path: Path) -> Path:
    """The folder itself, links and ``..`` followed: by one name, whoever names it.

    Raises:
        ConfigurationError: it cannot be followed.
    """
    try:
        resolved = path.resolve()
        resolved.exists()  # a name may be too long for the system
    except (OSError, RuntimeError) as error:  # a loop of links is one or the other
        raise ConfigurationError(
            f"the source {str(path)[:200]} cannot be followed: {error}"
        ) from error
    return resolved
