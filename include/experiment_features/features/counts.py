"""The uses of compounds and each user's most common ones, counted by sorting.

The same as expressions.count_uses and most_common_compounds, for an engine that hands over its rows
as Arrow's batches: a pair of user and compound is one number of 64 bits, and sorting numbers takes
less time than grouping by two columns does, and no memory that grows with the drop.
"""

import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from experiment_features.engines import arrow

PAIRS = 2**20
"""So many are sorted at once, in 8 MiB: of larger arrays, the system would clear the memory."""

_SHARES = 256
"""At most so many files are open."""

_THREADS = min(4, os.cpu_count() or 1)

_BITS = 32
"""Of a pair, for the compound; one bit fewer is left for the user."""

_USES = pa.schema({"user_id": pa.int64(), "compound_id": pa.int64(), "experiments": pa.int64()})
_MOST_COMMON = pa.schema(
    {
        "user_id": pa.int64(),
        "most_common_compound_ids": pa.list_(pa.int64()),
        "most_common_compound_id": pa.int64(),
        "most_common_compound_experiments": pa.int64(),
    }
)

Numbers = npt.NDArray[np.int64]


class Counted(NamedTuple):
    """Two Parquet files."""

    uses: Path
    """Grain: user and compound; columns: those of expressions.count_uses."""
    most_common: Path
    """Grain: user with experiments; columns: those of expressions.most_common_compounds."""


def count_by_sorting(
    experiments: Generator[pa.RecordBatch], sums: Path, folder: Path
) -> Counted | None:
    """Counts the uses of compounds; None if ids are too large to make one number of a pair.

    Args:
        experiments: in any order; columns: user_id, experiment_compound_ids; is closed.
        sums: of the same experiments: see expressions.sum_experiments.
        folder: takes the files, and the pairs until they are sorted.
    """
    folder.mkdir()
    ends = _share(sums)
    shares = [folder / f"{number}.pairs" for number in range(len(ends) + 1)]
    if not _write_pairs(experiments, ends, shares):
        return None
    counted = Counted(folder / "uses.parquet", folder / "most_common.parquet")
    lock = Lock()
    with (
        _writer(counted.uses, _USES) as uses,
        _writer(counted.most_common, _MOST_COMMON) as most_common,
        ThreadPoolExecutor(_THREADS) as threads,
    ):

        def count(share: Path) -> None:
            of_uses, of_users = _tables(*_count(share))
            share.unlink()
            with lock:
                uses.write_table(of_uses)
                most_common.write_table(of_users)

        for _ in threads.map(count, [share for share in shares if share.stat().st_size]):
            pass
    return counted


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        schema,
        compression="none",
        use_dictionary=False,
        column_encoding="DELTA_BINARY_PACKED",  # a tenth of the bytes, in less time
        write_statistics=False,
    )


def _share(sums: Path) -> Numbers:
    """The last user of each share but the last one; a share has about PAIRS pairs, or more."""
    batches = [*arrow.batches(sums, ["user_id", "compounds"])]
    if not batches:
        return np.empty(0, np.int64)
    users = np.concatenate([arrow.integers(batch["user_id"]) for batch in batches])
    pairs = np.concatenate([arrow.integers(batch["compounds"]) for batch in batches])
    order = np.argsort(users)
    shares = np.cumsum(pairs[order]) // max(PAIRS, pairs.sum() // _SHARES + 1)
    ends: Numbers = users[order][:-1][np.diff(shares) > 0]
    return ends


def _write_pairs(experiments: Generator[pa.RecordBatch], ends: Numbers, shares: list[Path]) -> bool:
    """Writes the pairs of each share to its file; False if ids are too large."""
    with closing(experiments), ExitStack() as stack:
        files = [stack.enter_context(share.open("wb")) for share in shares]
        for batch in experiments:
            users = arrow.integers(batch["user_id"])
            lists = batch["experiment_compound_ids"]
            compounds = arrow.integers(lists.flatten())
            if users.max(initial=0) >> (_BITS - 1) or compounds.max(initial=0) >> _BITS:
                return False
            lengths = arrow.integers(lists.value_lengths())
            pairs = np.repeat(users << _BITS, lengths) | compounds
            share = np.repeat(np.searchsorted(ends, users).astype(np.uint16), lengths)
            pairs = pairs[np.argsort(share, kind="stable")]  # of 16 bits, by radix
            cuts = np.cumsum(np.bincount(share, minlength=len(files)))[:-1]
            for file, of_share in zip(files, np.split(pairs, cuts), strict=True):
                file.write(of_share.data)
    return True


def _count(share: Path) -> tuple[Numbers, Numbers]:
    """The pairs of a share, ascending, and how often there is each."""
    pieces = []
    with share.open("rb") as file:
        # One user may have more than can be sorted at once.
        while len(pairs := np.fromfile(file, np.int64, 2 * PAIRS)):
            pairs.sort()
            starts = _starts(pairs)
            pieces.append((pairs[starts], np.diff(starts, append=len(pairs))))
    if len(pieces) == 1:
        return pieces[0]
    pairs, counts = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    order = np.argsort(pairs, kind="stable")
    pairs, counts = pairs[order], counts[order]
    starts = _starts(pairs)
    return pairs[starts], np.add.reduceat(counts, starts)


def _starts(values: Numbers) -> Numbers:
    """Where a run of equal values starts."""
    is_first = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=is_first[1:])
    starts: Numbers = np.flatnonzero(is_first)
    return starts


def _tables(pairs: Numbers, counts: Numbers) -> tuple[pa.Table, pa.Table]:
    """The rows of both files: see Counted."""
    users, compounds = pairs >> _BITS, pairs & (2**_BITS - 1)
    starts = _starts(users)
    most = np.maximum.reduceat(counts, starts)
    is_tied = counts == np.repeat(most, np.diff(starts, append=len(users)))
    tied = compounds[is_tied]
    ends = np.cumsum(np.add.reduceat(is_tied, starts, dtype=np.int64))
    offsets = np.concatenate(([0], ends))
    lists = pa.ListArray.from_arrays(arrow.array(offsets.astype(np.int32)), arrow.array(tied))
    of_uses = map(arrow.array, (users, compounds, counts))
    of_users = (
        arrow.array(users[starts]),
        lists,
        arrow.array(tied[offsets[:-1]]),
        arrow.array(most),
    )
    return (
        pa.Table.from_arrays([*of_uses], schema=_USES),
        pa.Table.from_arrays([*of_users], schema=_MOST_COMMON),
    )
