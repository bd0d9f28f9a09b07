"""The issues in the ledger: open while they hold after the last load, closed from then on."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from experiment_features.engines import arrow
from experiment_features.load.copy import copy_batches
from experiment_features.load.database import Connection, check_written, read_sql

KEPT_ISSUES = 1_000
"""Of each file and rule, for a run that did not load: a drop may be refused again and again."""

_KIND = ["table_name", "file_name", "rule"]


def close_issues(connection: Connection, run_id: str) -> None:
    """Closes all open issues on behalf of a load, which is already in the ledger."""
    ((expected,),) = connection.execute(read_sql("count_open_issues")).fetchall()
    written = connection.execute(read_sql("close_issues"), {"run_id": run_id}).rowcount
    check_written("features.data_issues", "close_issues", expected, written)


def copy_issues(connection: Connection, issues: Path, run_id: str, *, is_load: bool) -> None:
    """Copies the issues that a run found into data_issues.

    Args:
        connection: in the transaction that enters the run.
        issues: grain: issue, in the order of the files' lines; columns: see rules.validate.
        run_id: the run's entry in the ledger.
        is_load: whether they hold now; else they are closed, and only the first of each file and
            rule are copied.

    Raises:
        DatabaseRefused: not all of them are there afterwards.
    """
    with pq.ParquetFile(issues) as file:
        owner = arrow.text(run_id)
        names = ["run_id", "found_by", "closed_by", *file.schema_arrow.names]
        batches = file.iter_batches()
        kept = batches if is_load else _first_of_each_kind(batches)
        rows = (
            pa.RecordBatch.from_arrays(
                [
                    *[pa.repeat(owner, len(batch))] * 2,
                    pa.nulls(len(batch), arrow.TEXT) if is_load else pa.repeat(owner, len(batch)),
                    *batch.columns,
                ],
                names=names,
            )
            for batch in kept
        )
        copied = copy_batches(connection, sql.Identifier("features", "data_issues"), names, rows)
    values = {"run_id": run_id, "is_load": is_load}
    ((kept,),) = connection.execute(read_sql("count_found_issues"), values).fetchall()
    check_written("features.data_issues", "copy", copied, kept)


def _first_of_each_kind(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    seen: Counter[Any] = Counter()
    for batch in batches:
        is_kept = np.zeros(len(batch), dtype=bool)
        kinds = batch.select(_KIND).to_pandas().groupby(_KIND, sort=False)
        for kind, rows in kinds.indices.items():
            is_kept[rows[: max(0, KEPT_ISSUES - seen[kind])]] = True
            seen[kind] += len(rows)
        yield batch.filter(pa.array(is_kept))
