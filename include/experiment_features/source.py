"""Which folder a run may read: whoever may trigger a run may name one, so roots limit it."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from experiment_features.errors import ConfigurationError


def resolve_source(source: str, roots: Sequence[str]) -> Path:
    """The folder that ``source`` names, if it and what it holds lie in a root, links followed.

    Args:
        source: a path, or a ``file://`` URI; a relative path is looked for in each root.
        roots: the folders that may be read, themselves or below.

    Raises:
        ConfigurationError: it lies outside, a link in it leads outside, or it is no local folder.
    """
    path = _local_path(source)
    resolved_roots = [_resolve(_local_path(root)) for root in roots]
    for root in resolved_roots:
        resolved = _resolve(root / path)
        if resolved.is_relative_to(root) and (path.is_absolute() or resolved.is_dir()):
            _refuse_links_out(resolved, resolved_roots)
            return resolved
    raise ConfigurationError(
        f"the source {source!r} lies outside of the folders that runs may read "
        f"({', '.join(roots)}): put the drop there, or add its folder to "
        "EXPERIMENT_FEATURES_SOURCE_ROOTS"
    )


def _refuse_links_out(folder: Path, roots: Sequence[Path]) -> None:
    """Refuses a drop with a file that is a link to elsewhere: messages quote what is read."""
    for entry in folder.glob("*.csv*"):
        resolved = _resolve(entry)
        if entry.is_file() and not any(resolved.is_relative_to(root) for root in roots):
            raise ConfigurationError(
                f"{entry.name} in the source {folder} is a link that leads out of the folders that "
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
    if "\0" in source:
        raise ConfigurationError("the source holds a NUL byte: expected the path of a folder")
    if "://" not in source:
        return Path(source)
    parts = urlsplit(source)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ConfigurationError(
            f"the source {source!r} is not on this machine: expected a path or file:// URI"
        )
    return Path(unquote(parts.path))
