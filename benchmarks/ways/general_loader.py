"""dlt, a general loader: the raw rows of the experiments into PostgreSQL, no features.

    general_loader.py SOURCE DATABASE_URL rows|arrow

``rows``: its CSV reader and its defaults, as its documentation begins. ``arrow``: Arrow tables and
CSV files on the way, the fastest that its documentation tells for PostgreSQL.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
import pyarrow as pa
import pyarrow.csv
from dlt.sources.filesystem import filesystem, read_csv

ROOTS_FOLDER = Path("/var/dlt")
"""Where it keeps an id of the machine when root runs it, telemetry or not."""

LISTS = "experiment_compound_ids"
"""A column that it would take for a number wherever each list has one id."""


def read_rows(source: Path) -> Any:
    """The rows as dictionaries."""
    files = filesystem(str(source), file_glob="user_experiments*.csv")
    return (files | read_csv(chunksize=100_000, dtype={LISTS: str})).with_name("user_experiments")


def read_arrow(source: Path) -> Any:
    """The rows as Arrow batches."""

    @dlt.resource(name="user_experiments")
    def batches() -> Iterator[pa.RecordBatch]:
        types = pyarrow.csv.ConvertOptions(column_types={LISTS: pa.string()})
        for path in sorted(source.glob("user_experiments*.csv")):
            yield from pyarrow.csv.open_csv(path, convert_options=types)

    return batches


if __name__ == "__main__":
    source, url, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    was_there = ROOTS_FOLDER.exists()
    with tempfile.TemporaryDirectory() as folder:
        # It takes no login without password and host; the host behind the ? is what counts.
        pipeline = dlt.pipeline(
            "benchmark",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(url.replace("@/", ":none@localhost/")),
            dataset_name="raw",
        )
        if how == "rows":
            pipeline.run(read_rows(source))
        else:
            pipeline.run(read_arrow(source), loader_file_format="csv")
        counts = pipeline.last_trace.last_normalize_info.row_counts
    if not was_there:
        shutil.rmtree(ROOTS_FOLDER, ignore_errors=True)
    print(json.dumps({"experiments": counts["user_experiments"]}))
