"""Settings, from the environment; .env.example describes each."""

import os
from dataclasses import dataclass, field
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]


def _memory_limit() -> str:
    """Half of the machine's memory, as DuckDB reads it."""
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return f"{half // 2**20}MiB"


@dataclass(frozen=True)
class Settings:
    """What an installation decides once, not a run."""

    workspaces: Path
    """Parent of the runs' workspaces."""

    source_roots: tuple[str, ...]
    """Folders, or URIs, below which a run started from Airflow may read."""

    memory_limit: str = field(default_factory=_memory_limit)
    """What DuckDB may use before it spills to the workspace, e.g. ``4GiB``."""

    @classmethod
    def from_environment(cls) -> "Settings":
        """Reads EXPERIMENT_FEATURES_* and falls back to what suits a checkout."""
        environment = os.environ
        roots = environment.get("EXPERIMENT_FEATURES_SOURCE_ROOTS") or _PROJECT / "include" / "data"
        workspaces = environment.get("EXPERIMENT_FEATURES_WORKSPACES") or (
            _PROJECT / ".local" / "workspaces"
        )
        return cls(
            workspaces=Path(workspaces),
            source_roots=tuple(root.strip() for root in str(roots).split(",") if root.strip()),
            memory_limit=environment.get("EXPERIMENT_FEATURES_MEMORY_LIMIT") or _memory_limit(),
        )
