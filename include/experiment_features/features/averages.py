"""The averages of users: divided here from the sums of any engine, and rounded once.

The sums are whole numbers, exact in any order, and each average is the double nearest to the exact
quotient: see docs/decisions/0005-run-times-as-whole-numbers.md.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from experiment_features.definitions import USER_FEATURES
from experiment_features.engines import arrow

PARTS = 10**9
"""How many parts make one whole unit: a run time counts to nine decimals."""

HIGH = 2**20
"""Whole run times are summed as two numbers: their quotient by this, and the remainder. No sum of
64 bits overflows before a user has 9,000 million experiments."""

_SHORT = 1000
"""Most run times have no more than three decimals, and sums of them are smaller numbers."""

_EXACT = 2**52
"""Doubles hold whole numbers up to twice this; half of it leaves room for an estimate's error."""

SUMMED = ("total_experiments", "timed_experiments", "high", "low", "parts")

Whole = npt.NDArray[np.int64]


def count_totals(sums: Path) -> dict[str, int]:
    """What users have together.

    Their ``experiments``, ``timed_experiments`` (those with a run time), and ``run_time_parts``:
    the sum of all run times in PARTS.

    Args:
        sums: as write_averages takes them.
    """
    totals: Counter[str] = Counter()
    for batch in arrow.batches(sums):
        totals.update({name: int(arrow.integers(batch[name]).sum()) for name in SUMMED})
    return {
        "experiments": totals["total_experiments"],
        "timed_experiments": totals["timed_experiments"],
        "run_time_parts": (totals["high"] * HIGH + totals["low"]) * PARTS + totals["parts"],
    }


def write_averages(sums: Path, target: Path) -> None:
    """Writes USER_FEATURES, given all of them but the averages.

    Args:
        sums: grain: user; columns: the other features; timed_experiments (those with a run time);
            the sums of their run times: high, low (whole, see HIGH), parts (see PARTS); and
            compounds. None of these is NULL.
        target: the Parquet file to write.
    """
    kinds = {field.name: field.type for field in pq.read_schema(arrow.files_of(sums)[0])}
    # pandas has floats where users without experiments lack a whole number.
    kinds |= {f.name: pa.int64() for f in USER_FEATURES.features if f.sql_type == "bigint"}
    schema = pa.schema([(n, kinds.get(n, pa.float64())) for n in USER_FEATURES.columns])
    # Read once: packing takes longer than it saves.
    with pq.ParquetWriter(target, schema, compression="none", use_dictionary=False) as writer:
        for batch in arrow.batches(sums):
            columns = {name: batch[name] for name in batch.schema.names} | _averages(batch)
            arrays = [columns[name].cast(schema.field(name).type) for name in schema.names]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def _averages(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    experiments, timed, high, low, parts, compounds = (
        arrow.integers(batch[name])
        for name in ("total_experiments", "timed_experiments", "high", "low", "parts", "compounds")
    )
    run_times = mean_run_times(high, low, parts, np.maximum(timed, 1))
    # No drop has so many ids, or experiments, that a double could not hold their number.
    lengths = compounds / np.maximum(experiments, 1)
    return {
        "average_experiment_run_time": arrow.array(run_times, timed == 0),
        "average_compounds_per_experiment": arrow.array(lengths, experiments == 0),
    }


def mean_run_times(high: Whole, low: Whole, parts: Whole, count: Whole) -> npt.NDArray[np.float64]:
    """The doubles nearest to ((high * HIGH + low) * PARTS + parts) / (PARTS * count)."""
    scale = np.where(parts % (PARTS // _SHORT) == 0, _SHORT, PARTS)
    # If doubles can represent dividend and divisor, which is nearly always so, only the division
    # rounds. The estimate is off by less than a millionth.
    estimate = (high * float(HIGH) + low + parts / PARTS) * scale
    is_exact = (estimate < _EXACT) & (count * scale.astype(np.float64) < _EXACT)
    means: npt.NDArray[np.float64]
    means = ((high * HIGH + low) * scale + parts // (PARTS // scale)) / (scale * count)
    means[~is_exact] = [  # Python's division of whole numbers of any size rounds once, too
        ((high * HIGH + low) * PARTS + parts) / (PARTS * count)
        for high, low, parts, count in _rows(~is_exact, high, low, parts, count)
    ]
    return means


def _rows(is_selected: npt.NDArray[np.bool_], *columns: Whole) -> Iterator[tuple[int, ...]]:
    return zip(*(column[is_selected].tolist() for column in columns), strict=True)
