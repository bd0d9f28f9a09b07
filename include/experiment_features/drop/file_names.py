"""The names of files in the folder of a drop: whose table they are, and which mean nothing."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from experiment_features.contract import ALL_TABLES, BY_PRODUCTS, Table
from experiment_features.drop.arrival import MARKER
from experiment_features.visible_text import shown

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

_ENDINGS = (".csv", *(f".csv{ending}" for ending in COMPRESSIONS))
_MOST_SHOWN = 20


def table_of(name: str) -> Table | None:
    """The table, or table of deletions, with whose name a file's begins; None of a by-product."""
    table = next((table for table in ALL_TABLES if name.lower().startswith(table.name)), None)
    return table if has_known_ending(name) or not means_nothing(name) else None


def has_known_ending(name: str) -> bool:
    """Whether a file of that name can be read."""
    return name.lower().endswith(_ENDINGS)


def means_nothing(name: str) -> bool:
    """Whether a file of that name means nothing, as far as the rows of a drop are concerned."""
    patterns = (pattern for of_origin in BY_PRODUCTS.values() for pattern in of_origin)
    return name == MARKER or any(fnmatchcase(name.lower(), pattern) for pattern in patterns)


def shown_names(names: Sequence[str]) -> str:
    """Names for a message, which shows only the first of very many."""
    more = f", and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(map(shown, names[:_MOST_SHOWN])) + more
