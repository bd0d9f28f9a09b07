"""What a person wants to know of a drop's quality, from the workspace of a checked run."""

from dataclasses import dataclass
from importlib.resources import files

from experiment_features.contract import TABLES
from experiment_features.duck import open_duckdb
from experiment_features.workspace import Workspace

_SQL = files("experiment_features") / "sql"


@dataclass(frozen=True)
class TableQuality:
    """One table of the drop: its files, and how many of its rows were read and rejected."""

    name: str
    files: tuple[str, ...]
    rows: int
    rejected: int


@dataclass(frozen=True)
class RuleQuality:
    """One rule that rows of one table broke, with the first places where they did."""

    severity: str
    table: str
    rule: str
    message: str
    issues: int
    examples: list[str]
    """``file:line value``; the file and line alone where the whole row is at fault."""


def summarise(workspace: Workspace) -> tuple[list[TableQuality], list[RuleQuality]]:
    """The tables of a checked drop, and the rules that were broken: errors first, then by number.

    Args:
        workspace: of a run whose validate stage is done.
    """
    extracted, validated = workspace.facts("extract"), workspace.facts("validate")
    tables = [
        TableQuality(
            table.name,
            tuple(file["name"] for file in extracted["files"] if file["table"] == table.name),
            extracted["rows"][table.name],
            validated["rejected"][table.name],
        )
        for table in TABLES
    ]
    if not workspace.issues.exists():
        return tables, []
    with open_duckdb() as database:
        query = (_SQL / "summarise_issues.sql").read_text()
        broken = database.execute(query, {"issues": str(workspace.issues)}).fetchall()
    return tables, [RuleQuality(*rule) for rule in broken]
