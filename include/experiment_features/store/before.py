"""What the load that a delta builds on has left, so that only what changes is computed again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from experiment_features.contract import COMPOUNDS, USERS, Table
from experiment_features.engines import arrow

Rows = Iterable[Sequence[int]]


@dataclass(frozen=True)
class Before:
    """The state that a delta changes, as the database has it."""

    today: date
    """The day by which its rows were judged."""
    issues: Mapping[Table, Rows]
    """The open issues of each table's rows with a readable id. Grain: issue; columns: position,
    the table's key, and is_error (or else it is a warning)."""
    compounds: Rows
    """Grain: compound with features; columns: its key, total_experiments, total_users."""
    users: Rows
    """The keys of users whose most common compound the delta brings or deletes."""
    totals: Mapping[str, int]
    """What all users have together: see features/averages.count_totals."""

    def tables(self) -> dict[str, pa.Table]:
        """Its rows, by the name under which the workspace has them."""
        totals = [COMPOUNDS.key, "total_experiments", "total_users"]
        return {
            **{
                table.name: _in_arrow(["position", table.key, "is_error"], rows)
                for table, rows in self.issues.items()
            },
            "compound_totals": _in_arrow(totals, self.compounds),
            "users_of_compounds": _in_arrow([USERS.key], self.users),
        }


def _in_arrow(names: Sequence[str], rows: Rows) -> pa.Table:
    """The rows as a table of whole numbers; a column named ``is_...`` has truth values."""
    columns = np.array(list(rows), dtype=np.int64).reshape(-1, len(names)).T
    kinds = [np.bool_ if name.startswith("is_") else np.int64 for name in names]
    arrays = [arrow.array(c.astype(kind)) for c, kind in zip(columns, kinds, strict=True)]
    return pa.Table.from_arrays(arrays, names=list(names))
