"""Files of a table that differ but share all ids, as two versions of one file do."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from duckdb import ColumnExpression, FunctionExpression

from experiment_features.contract import TABLES
from experiment_features.drop.files import DropFile
from experiment_features.engines.duckdb_engine import open_duckdb, read_parts
from experiment_features.rules.issues import BrokenRule
from experiment_features.rules.rules import Repeated, rules_of
from experiment_features.visible_text import shown
from experiment_features.workspace import Workspace

_SQL = files("experiment_features.rules") / "sql"


def describe_shared_ids(
    workspace: Workspace,
    drop_files: Sequence[DropFile],
    parts: Mapping[str, Sequence[Path]],
    broken: Sequence[BrokenRule],
    memory_limit: str,
) -> Iterator[str]:
    """Yields, for each table that has them, which two files share all ids, and what to do.

    Reads the rows only of a table with about as many repeated ids as its smallest file has rows.

    Args:
        workspace: where DuckDB can spill.
        drop_files: table, name and rows of every file of the drop, in their order.
        parts: the typed rows of every table in them.
        broken: how often each rule was broken.
        memory_limit: what DuckDB may use.
    """
    issues = {(rule.table, rule.rule): rule.issues for rule in broken}
    for table in TABLES:
        names = [file["name"] for file in drop_files if file["table"] == table.name]
        rows = [file["rows"] for file in drop_files if file["table"] == table.name and file["rows"]]
        repeated = sum(
            issues.get((table.name, rule.name), 0)
            for rule in rules_of(table)
            if isinstance(rule.condition, Repeated)
        )
        # Half, because faulty rows may have no id.
        if len(rows) < 2 or 2 * repeated < min(rows):
            continue
        with open_duckdb(memory_limit, workspace.scratch / "spill") as database:
            database.execute((_SQL / "positions.sql").read_text("utf-8"))
            found_rows = read_parts(database, parts[table.name])
            number = FunctionExpression("file_number_of", ColumnExpression("position"))
            places = found_rows.project(
                number.alias("file_number"), ColumnExpression(table.key).alias("id")
            )
            places.create_view("places")
            found = database.execute((_SQL / "find_shared_ids.sql").read_text("utf-8")).fetchall()
        for numbers in found:
            part, whole = (shown(names[number - 1]) for number in numbers)
            yield f"every id in {part} is also in {whole}: one of the two probably has to go"
