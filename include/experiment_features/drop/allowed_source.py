"""Which folders a run may read: anyone who may trigger a run may name one, so roots limit it."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from experiment_features.config import is_stored, refuse_secret, scheme_of
from experiment_features.drop.local_path import LocalPath
from experiment_features.drop.object_storage import AnyPath, OpenFilesystem, StoredPath
from experiment_features.errors import ConfigurationError


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
        if _is_in_stored_root(_checked(source), roots):
            return StoredPath(source, open_filesystem(source))
        raise _lies_outside(source, roots)
    path = local_path(source)
    resolved_roots = [_resolve(local_path(root)) for root in roots if not is_stored(root)]
    for root in resolved_roots:
        resolved = _resolve(root / path)
        if resolved.is_relative_to(root) and (path.is_absolute() or resolved.is_dir()):
            return LocalPath(resolved, resolved_roots)
    raise _lies_outside(source, roots)


def local_path(source: str) -> Path:
    """The path of a ``file:`` URI, or the path itself.

    Of a URI only ``%XX`` is decoded: ``#`` and ``?`` belong to the name.

    Raises:
        ConfigurationError: it is on another machine, or cannot be the name of a folder, or begins
            with ``~``, which only a shell expands.
    """
    if source.partition("/")[0] == "~":
        raise ConfigurationError(
            f"the source {source!r} begins with ~, which was not expanded, perhaps because it was "
            "quoted: write the whole path"
        )
    if source[:6].lower() == "file:/" and not scheme_of(source):  # as Java prints it
        source = f"file://{source[5:]}"
    if not scheme_of(source):
        return Path(_checked(source))
    host, slash, path = source.partition("://")[2].partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        raise ConfigurationError(
            f"the source {source!r} is not on this machine: expected a path or file:// URI"
        )
    return Path(_checked(unquote(slash + path, errors="surrogateescape")))


def is_absent(source: str, open_filesystem: OpenFilesystem) -> bool:
    """Whether there is no folder of that name, allowed or not."""
    place = StoredPath(source, open_filesystem(source)) if is_stored(source) else local_path(source)
    return not place.is_dir()


def _checked(name: str) -> str:
    """The name of a folder, if it can be one."""
    if "\0" in name:
        raise ConfigurationError("the source holds a NUL byte: expected the path of a folder")
    try:
        name.encode(errors="surrogateescape")  # how Python represents the bytes of a name
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"the source {name!r} is not Unicode text: expected the path of a folder"
        ) from None
    return name


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


def _resolve(path: Path) -> Path:
    try:
        resolved = path.resolve()
        resolved.exists()  # a name may be too long for the system
    except (OSError, RuntimeError) as error:  # a loop of links is one or the other
        raise ConfigurationError(
            f"the source {str(path)[:200]} cannot be followed: {error}"
        ) from error
    return resolved
