"""How a folder is named: by a path, a ``file:`` URI, or a URI in object storage."""

import re
from glob import has_magic
from pathlib import Path
from urllib.parse import unquote

from experiment_features.errors import ConfigurationError


def is_stored(source: str) -> bool:
    """Whether a source or workspace lies in object storage rather than on this machine."""
    return scheme_of(source) not in ("", "file")


def scheme_of(source: str) -> str:
    """The scheme of a URI, in lower case; empty for a path."""
    scheme, separator, _ = source.partition("://")
    return scheme.lower() if separator and "/" not in scheme else ""


_LOGIN = re.compile(r"://(?!arn:)[^/@[:]*:(?!:|[0-9]*/)")
"""Before an `@`: a user's name with a password, not a host with its port."""

_QUERY = re.compile(r"[?][\w.&-]+=")


def has_secret(source: str) -> bool:
    """Whether a URI may hold a password or a signature."""
    before_host = source[: source.rfind("@") + 1]
    return is_stored(source) and bool(_LOGIN.search(before_host) or _QUERY.search(source))


def without_secret(source: str) -> str:
    """The source as others may see it: of a URI with a secret, only the scheme."""
    return f"{scheme_of(source)}://…" if has_secret(source) else source


def refuse_secret(what: str, source: str) -> None:
    """Refuses a URI with a password or query, which logs and the ledger would show.

    Raises:
        ConfigurationError: it has one; the message shows none of it.
    """
    if has_secret(source):
        raise ConfigurationError(
            f"{what} {without_secret(source)} has a password or query in its URI, which others "
            "could read: give credentials by an Airflow connection "
            "(scheme://connection@bucket/folder), or by the environment of the store's library"
        )


def local_path(source: str, what: str = "the source") -> Path:
    """The path of a ``file:`` URI, or the path itself.

    Of a URI only ``%XX`` is decoded: ``#`` and ``?`` belong to the name. ``what`` is how messages
    name it.

    Raises:
        ConfigurationError: it is on another machine, or cannot be the name of a folder, or begins
            with ``~``, which only a shell expands.
    """
    if source.partition("/")[0] == "~":
        raise ConfigurationError(
            f"{what} {source!r} begins with ~, which was not expanded, perhaps because it was "
            "quoted: write the whole path"
        )
    if source[:6].lower() == "file:/" and not scheme_of(source):  # as Java prints it
        source = f"file://{source[5:]}"
    if not scheme_of(source):
        return Path(checked_name(source, what))
    host, slash, path = source.partition("://")[2].partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        raise ConfigurationError(
            f"{what} {source!r} is not on this machine: expected a path or file:// URI"
        )
    return Path(checked_name(unquote(slash + path, errors="surrogateescape"), what))


def checked_name(name: str, what: str = "the source") -> str:
    """The name of a folder, if it can be one."""
    if "\0" in name:
        raise ConfigurationError(f"{what} holds a NUL byte: expected the path of a folder")
    try:
        name.encode(errors="surrogateescape")  # how Python represents the bytes of a name
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"{what} {name!r} is not Unicode text: expected the path of a folder"
        ) from None
    return name


def require_utf8(what: str, place: str, remedy: str) -> None:
    """Refuses a place whose name is not UTF-8: the ledger could not have it.

    Raises:
        ConfigurationError: it is not; the message says what to do.
    """
    try:
        place.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"{what} is not UTF-8: {remedy}") from error


def require_usable_folder(what: str, folder: str, remedy: str) -> None:
    """Refuses a folder in which DuckDB could not read, or whose name is not UTF-8.

    DuckDB 2.0 takes a backslash in a pattern for a slash, and there is no way to escape it.

    Raises:
        ConfigurationError: the name is not UTF-8, or has a backslash and a sign of patterns.
    """
    require_utf8(what, folder, remedy)
    if "\\" in folder and has_magic(folder):
        raise ConfigurationError(
            f"{what} has a backslash in its name as well as *, ? or [, which DuckDB cannot read: "
            f"{remedy}"
        )
