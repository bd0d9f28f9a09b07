"""dlt, a general-purpose loader: copies the raw experiments to PostgreSQL, without features.

    general_loader.py SOURCE DATABASE_URL rows|arrow

``rows``: its CSV reader and defaults, as its documentation introduces them. ``arrow``:
Arrow tables, loaded as CSV files, the fastest way to PostgreSQL according to its documentation.
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
"""Where dlt stores a machine id when root runs it, even without telemetry."""

LISTS = "experiment_compound_ids"
"""A column that dlt would take for numbers wherever every list has a single id."""


def read_rows(source: Path) -> Any:
    """Reads the rows as dictionaries."""
    files = filesystem(str(source), file_glob="user_experiments*.csv")
    return (files | read_csv(chunksize=100_000, dtype={LISTS: str})).with_name("user_experiments")


def read_arrow(source: Path) -> Any:
    """Reads the rows as Arrow batches."""

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
        # dlt wants a password and a host in the URL; the host after the ? overrides this one.
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
