"""The cells of a part as they were spelled in the file."""

from importlib.resources import files

from duckdb import ColumnExpression, DuckDBPyConnection, Expression

from experiment_features.contract import Column
from experiment_features.engines.duckdb_engine import call_macro

_SCRIPT = files("experiment_features.store") / "sql" / "written_cells.sql"


def define_written(database: DuckDBPyConnection) -> None:
    """Defines what `written` needs."""
    database.execute(_SCRIPT.read_text("utf-8"))


def written(column: Column) -> Expression:
    """A cell of a part as it was spelled, but for blanks around it; NULL if it was empty."""
    value, text = ColumnExpression(column.name), ColumnExpression(column.text_name)
    return call_macro(column.kind, "written", value, text)
