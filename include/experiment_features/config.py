"""Settings, read from the environment."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from experiment_features.errors import ConfigurationError
from experiment_features.places import (
    is_stored,
    local_path,
    refuse_secret,
    require_usable_folder,
    require_utf8,
)
from experiment_features.visible_text import shown

_PROJECT = Path(__file__).resolve().parents[2]

SAMPLE_DROP = _PROJECT / "include" / "data" / "sample"
"""What a run without a source loads if nothing has been loaded yet."""

_MEMORY = re.compile(
    r"([0-9]{1,9}(?:[.][0-9]+)?)\s*([kmgt])(?:i?b)?|(0*[1-9][0-9]?|100)%|-1|(?-i:none)",
    re.IGNORECASE | re.ASCII,
)
"""How DuckDB takes a limit; the last two mean that there is none."""

_LEAST_MEGABYTES, _MOST_MEGABYTES = 64, 10**9
"""DuckDB needs 22 for the sample drop on two cores, and 48 on 16; far more than the most is out of
its range."""

_REMEDY = "name another place"


def _bytes_of_memory() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _half_of_memory() -> str:
    """Half of the machine's memory, in DuckDB's notation."""
    return f"{_bytes_of_memory() // 2 // 2**20}MiB"


def _described(name: str, meaning: str, example: str, **default: str) -> dict[str, str]:
    """A setting's documentation; ``default`` describes the default where the field's cannot."""
    return {"name": name, "meaning": meaning, "example": example, **default}


@dataclass(frozen=True)
class Settings:
    """The settings of an installation; a run has parameters of its own.

    scripts/write_docs.py writes docs/settings.md and .env.example from these descriptions.
    """

    workspaces: str = field(
        metadata=_described(
            "EXPERIMENT_FEATURES_WORKSPACES",
            "Where a run keeps its files: a folder, or a URI in object storage for "
            "tasks on hosts that share no folder.",
            example="s3://lab@laboratory/workspaces",
            default=".local/workspaces",
        )
    )
    source_roots: tuple[str, ...] = field(
        metadata=_described(
            "EXPERIMENT_FEATURES_SOURCE_ROOTS",
            "Folders and URIs, separated by commas. A run started from Airflow can read "
            "only what is inside them; symbolic links and `..` cannot lead outside. On the local "
            "stack, a value replaces include/data: name that folder, too, to keep the sample drop "
            "allowed. With Docker, a value adds to /drops and include/data.",
            example="/path/to/project/include/data,/data/drops,s3://lab@laboratory/drops",
            default="include/data",
        )
    )
    store: str = field(
        default=str(_PROJECT / ".local" / "store"),
        metadata=_described(
            "EXPERIMENT_FEATURES_STORE",
            "Where the rows of the drops are kept, typed, so that no file is read twice, a number "
            "leads to its lines, and a run can be computed again: a folder, or a URI in object "
            "storage.",
            example="s3://lab@laboratory/store",
            default=".local/store",
        ),
    )
    watched_folders: tuple[str, ...] = field(
        default=(),
        metadata=_described(
            "EXPERIMENT_FEATURES_WATCH",
            "Folders, separated by commas, in which a drop is loaded as soon as its "
            "`_READY` marker appears; `off` disables this.",
            example="/data/drops",
            default="the source roots that are folders",
        ),
    )
    schedule: str = field(
        default="0 2 * * *",
        metadata=_described(
            "EXPERIMENT_FEATURES_SCHEDULE",
            "When a run starts by itself, whether or not a drop has arrived: a cron expression, in "
            "UTC. With `off`, only arriving drops start runs.",
            example="30 5 * * 1-5",
        ),
    )
    memory_limit: str = field(
        default=_half_of_memory(),
        metadata=_described(
            "EXPERIMENT_FEATURES_MEMORY_LIMIT",
            "How much memory DuckDB may use before it spills to disk; at least "
            f"{_LEAST_MEGABYTES}MB, and more with more than 16 cores.",
            example="4GiB",
            default="half of the machine's memory",
        ),
    )
    spark_master: str = field(
        default="local[*]",
        metadata=_described(
            "EXPERIMENT_FEATURES_SPARK_MASTER",
            "The cluster or server that the engine `spark` uses, or `sail`; the default is this "
            "machine. In Airflow, the connection `features_spark` takes precedence.",
            example="spark://spark.example.org:7077",
        ),
    )
    keep_days: int = field(
        default=90,
        metadata=_described(
            "EXPERIMENT_FEATURES_KEEP_DAYS",
            "How many days the database keeps runs and their issues: at least as long as the store "
            "keeps their rows (EXPERIMENT_FEATURES_KEEP_PARTS_DAYS). The last load and the history "
            "of the features are kept for good.",
            example="365",
        ),
    )
    keep_parts_days: int = field(
        default=30,
        metadata=_described(
            "EXPERIMENT_FEATURES_KEEP_PARTS_DAYS",
            "How many days the store keeps rows that the last load no longer needs. After that, "
            "the runs that used them can no longer be traced, reproduced or restored.",
            example="90",
        ),
    )
    keep_workspace_days: int = field(
        default=7,
        metadata=_described(
            "EXPERIMENT_FEATURES_KEEP_WORKSPACE_DAYS",
            "How many days the files of a finished run are kept, so that its tasks can be rerun.",
            example="14",
        ),
    )
    alerts: str = field(
        default="",
        metadata=_described(
            "EXPERIMENT_FEATURES_ALERTS",
            "Who is notified when a run fails, a drop is rejected or a load is overdue: "
            "e-mail addresses, or a JSON list of notifiers (docs/operations.md).",
            example="laboratory@example.org,oncall@example.org",
            default="nobody",
        ),
    )
    deadline_hours: int = field(
        default=24,
        metadata=_described(
            "EXPERIMENT_FEATURES_DEADLINE_HOURS",
            "A load is overdue if none has succeeded this many hours after a run was due.",
            example="36",
        ),
    )
    run_time_unit: str = field(
        default="",
        metadata=_described(
            "EXPERIMENT_FEATURES_RUN_TIME_UNIT",
            "The unit of the drops' run times, which the page shows beside them.",
            example="min",
            default="none is shown",
        ),
    )

    @classmethod
    def from_environment(cls) -> "Settings":
        """Reads EXPERIMENT_FEATURES_*; the defaults suit a checkout of the project."""
        roots = _folders("EXPERIMENT_FEATURES_SOURCE_ROOTS", str(_PROJECT / "include" / "data"))
        local_roots = tuple(root for root in roots if not is_stored(root))
        return cls(
            workspaces=_written_place(
                "EXPERIMENT_FEATURES_WORKSPACES", str(_PROJECT / ".local" / "workspaces")
            ),
            store=_written_place("EXPERIMENT_FEATURES_STORE", cls.store),
            source_roots=roots,
            watched_folders=_watched(local_roots),
            schedule=_text("EXPERIMENT_FEATURES_SCHEDULE", cls.schedule),
            memory_limit=_memory("EXPERIMENT_FEATURES_MEMORY_LIMIT", cls.memory_limit),
            spark_master=_text("EXPERIMENT_FEATURES_SPARK_MASTER", cls.spark_master),
            keep_days=_whole_number("EXPERIMENT_FEATURES_KEEP_DAYS", cls.keep_days, "days"),
            keep_parts_days=_whole_number(
                "EXPERIMENT_FEATURES_KEEP_PARTS_DAYS", cls.keep_parts_days, "days"
            ),
            keep_workspace_days=_whole_number(
                "EXPERIMENT_FEATURES_KEEP_WORKSPACE_DAYS", cls.keep_workspace_days, "days"
            ),
            alerts=_text("EXPERIMENT_FEATURES_ALERTS", cls.alerts),
            deadline_hours=_whole_number(
                "EXPERIMENT_FEATURES_DEADLINE_HOURS", cls.deadline_hours, "hours"
            ),
            run_time_unit=_text("EXPERIMENT_FEATURES_RUN_TIME_UNIT", cls.run_time_unit),
        )


def _text(name: str, default: str) -> str:
    return os.environ.get(name, "").strip() or default


def _watched(default: tuple[str, ...]) -> tuple[str, ...]:
    name = "EXPERIMENT_FEATURES_WATCH"
    text = _text(name, "")
    folders = () if text == "off" else _folders(name) if text else default
    for folder in filter(is_stored, folders):
        raise ConfigurationError(
            f"{name} names {folder}: expected folders on this machine. "
            "Announce a drop in object storage with an event of the asset laboratory_drops"
        )
    return folders


def _folders(name: str, default: str = "") -> tuple[str, ...]:
    text = _text(name, default)
    return tuple(_place(name, folder.strip()) for folder in text.split(",") if folder.strip())


def _place(name: str, place: str) -> str:
    """A URI in object storage as it is, or the path of a folder."""
    refuse_secret(name, place)
    if not is_stored(place):
        place = str(local_path(place, name))
    require_utf8(f"{name} {place}", place, _REMEDY)
    return place


def _written_place(name: str, default: str) -> str:
    """The same, of a folder that the pipeline writes to, and in which DuckDB reads."""
    place = _place(name, _text(name, default))
    if not is_stored(place):
        try:
            folder = str(Path(place).absolute())
        except OSError as error:
            raise ConfigurationError(
                f"{name} {place} is relative, and the current folder cannot be read "
                f"({error.strerror}): give its absolute path"
            ) from error
        require_usable_folder(f"{name} {folder}", folder, _REMEDY)
    return place


def _memory(name: str, default: str) -> str:
    text = _text(name, default)
    found = _MEMORY.fullmatch(text)
    megabytes = None if found is None else _megabytes(*found.groups())
    if megabytes is None or not _LEAST_MEGABYTES <= megabytes <= _MOST_MEGABYTES:
        raise ConfigurationError(
            f"{name} is '{shown(text)}': expected memory such as 4GiB, 500MB or 50%, and at least "
            f"{_LEAST_MEGABYTES}MB"
        )
    return text


def _megabytes(number: str | None, unit: str | None, percent: str | None) -> float:
    """A limit of memory in megabytes; one that is none, as the most."""
    if number and unit:
        return float(number) * 1000.0 ** ("kmgt".index(unit.lower()) - 1)
    return _bytes_of_memory() / 1e6 * int(percent) / 100 if percent else _MOST_MEGABYTES


def _whole_number(name: str, default: int, unit: str) -> int:
    text = _text(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= 36_500):
        raise ConfigurationError(
            f"{name} is '{shown(text)}': expected a number of {unit} from 1 to 36500"
        )
    return int(text)
