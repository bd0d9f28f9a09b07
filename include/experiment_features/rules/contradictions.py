"""What a delta must not do: bring and delete the same row, or leave a table without rows."""

from pathlib import Path

from experiment_features.contract import DELETIONS, TABLES, Table, file_number_of, line_of
from experiment_features.engines import arrow
from experiment_features.engines.engine import Engine
from experiment_features.errors import DropRefused
from experiment_features.store.layers import Layers, count_rows
from experiment_features.visible_text import shown


def refuse_contradictions(
    layers: Layers, engine: Engine, scratch: Path, *, allow_empty: bool
) -> None:
    """Refuses a delta that brings and deletes the same id, or leaves a table without rows.

    Args:
        layers: the delta's is the last.
        engine: what to compute on.
        scratch: a folder for temporary files.
        allow_empty: whether a table may have no rows.

    Raises:
        DropRefused: it does.
    """
    for table in TABLES:
        _refuse_both(table, layers, engine, scratch / f"both_{table}.parquet")
        if not allow_empty and layers.are_many and not layers.brings(table):
            _refuse_empty(table, layers, engine, scratch / f"any_{table}.parquet")


def _refuse_both(table: Table, layers: Layers, engine: Engine, target: Path) -> None:
    brought = layers.touched(table, engine)
    deleted = layers.touched(DELETIONS[table.name], engine)
    if brought is None or deleted is None:
        return
    both = brought.join(deleted, on=table.key, suffix="_of_deletion")
    engine.write(both.sort("position").head(1), target)
    for row in (row for batch in arrow.batches(target) for row in batch.to_pylist()):
        places = [
            _place(layers, of_table, row[position])
            for of_table, position in (
                (table, "position"),
                (DELETIONS[table.name], "position_of_deletion"),
            )
        ]
        raise DropRefused(
            f"the delta brings {table.key} {row[table.key]} ({places[0]}) and deletes it "
            f"({places[1]}): expected either. Remove one of the two rows"
        )


def _place(layers: Layers, table: Table, position: int) -> str:
    names = {file.number: file.name for file in layers.files() if file.table == table.name}
    return f"{shown(names[file_number_of(position)])}:{line_of(position)}"


def _refuse_empty(table: Table, layers: Layers, engine: Engine, target: Path) -> None:
    engine.write(layers.rows(table, engine).select("position").head(1), target)
    if not count_rows(target):
        raise DropRefused(
            f"after the delta, {table} would have no rows: deliver what is to stay, or allow empty "
            "tables (allow_empty) if that is intended"
        )
