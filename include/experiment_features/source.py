"""Which folder a run may read: whoever may trigger a run may name one, so roots limit it."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from experiment_features.errors import ConfigurationError


def resolve_source(source: str, roots: Sequence[str]) -> Path:
    """The folder that ``source`` names, if it lies in one of the roots once links are followed.

    Args:
        source: a path, or a ``file://`` URI; a relative path is looked for in each root.
        roots: the folders that may be read, themselves or below.

    Raises:
        ConfigurationError: it lies outside, or is no local folder.
    """
    path = _local_path(source)
    for root in roots:
        resolved_root = _local_path(root).resolve()
        resolved = (resolved_root / path).resolve()
        if resolved.is_relative_to(resolved_root) and (path.is_absolute() or resolved.exists()):
            return resolved
    raise ConfigurationError(
        f"the source {source!r} lies outside of the folders that runs may read "
        f"({', '.join(roots)}): put the drop there, or add its folder to "
        "EXPERIMENT_FEATURES_SOURCE_ROOTS"
    )


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
