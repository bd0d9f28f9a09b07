"""Settings, from the environment; .env.example describes each."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from experiment_features.errors import ConfigurationError

_PROJECT = Path(__file__).resolve().parents[2]


def is_stored(source: str) -> bool:
    """Whether a source or workspace names something that lies elsewhere than on this machine."""
    return "://" in source and urlsplit(source).scheme.lower() != "file"


def _half_of_memory() -> str:
    """Half of the machine's memory, as DuckDB reads it."""
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return f"{half // 2**20}MiB"


@dataclass(frozen=True)
class Settings:
    """What an installation decides once, not a run."""

    workspaces: str
    """Parent of the runs' workspaces: a folder, or a URI in object storage."""

    source_roots: tuple[str, ...]
    """Folders below which a run started from Airflow may read."""

    watched_folders: tuple[str, ...] = ()
    """Where new drops are looked for; none when that is switched off."""

    memory_limit: str = _half_of_memory()
    """What DuckDB may use before it spills to the workspace, e.g. ``4GiB``."""

    spark_master: str = "local[*]"
    """Where the engine ``spark`` finds its cluster, e.g. ``spark://host:7077``, ``sc://host``."""

    keep_days: int = 90
    """How long the ledger remembers runs and their issues."""

    keep_workspace_days: int = 7
    """How long the workspaces of ended runs are kept, so that their tasks can be run again."""

    alerts: str = ""
    """Who is told of failures: addresses, or notifiers as JSON; see features_airflow/alerts.py."""

    deadline_hours: int = 24
    """After how long without a load that was due they are told of that."""

    @classmethod
    def from_environment(cls) -> "Settings":
        """Reads EXPERIMENT_FEATURES_* and falls back to what suits a checkout."""
        environment = os.environ
        roots = environment.get("EXPERIMENT_FEATURES_SOURCE_ROOTS") or _PROJECT / "include" / "data"
        watch = environment.get("EXPERIMENT_FEATURES_WATCH")
        local_roots = tuple(root for root in _folders(roots) if not is_stored(root))
        workspaces = environment.get("EXPERIMENT_FEATURES_WORKSPACES") or (
            _PROJECT / ".local" / "workspaces"
        )
        return cls(
            workspaces=str(workspaces),
            source_roots=_folders(roots),
            watched_folders=_watched(watch) if watch else local_roots,
            memory_limit=environment.get("EXPERIMENT_FEATURES_MEMORY_LIMIT") or cls.memory_limit,
            spark_master=environment.get("EXPERIMENT_FEATURES_SPARK_MASTER") or cls.spark_master,
            keep_days=_whole_number("EXPERIMENT_FEATURES_KEEP_DAYS", 90, "days"),
            keep_workspace_days=_whole_number("EXPERIMENT_FEATURES_KEEP_WORKSPACE_DAYS", 7, "days"),
            alerts=(environment.get("EXPERIMENT_FEATURES_ALERTS") or "").strip(),
            deadline_hours=_whole_number("EXPERIMENT_FEATURES_DEADLINE_HOURS", 24, "hours"),
        )


def _watched(text: str) -> tuple[str, ...]:
    folders = () if text == "off" else _folders(text)
    for folder in filter(is_stored, folders):
        raise ConfigurationError(
            f"EXPERIMENT_FEATURES_WATCH names {folder}: expected folders of this machine. Of a "
            "drop in object storage Airflow is told by an event of the asset laboratory_drops"
        )
    return folders


def _folders(text: str | Path) -> tuple[str, ...]:
    return tuple(folder.strip() for folder in str(text).split(",") if folder.strip())


def _whole_number(name: str, default: int, unit: str) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 36_500):
        raise ConfigurationError(f"{name} is {text!r}: expected a number of {unit} from 1 to 36500")
    return int(text)
