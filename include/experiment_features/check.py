"""The command `check`: what a load would do with a drop, for people, programs and spreadsheets."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiment_features.drop.object_storage import AnyPath
from experiment_features.engines import arrow
from experiment_features.engines.duckdb_engine import open_duckdb, read_parquet
from experiment_features.errors import DropRefused, DropRejected, LoadHeld, WorkspaceUnavailable
from experiment_features.pipeline import Pipeline
from experiment_features.rules.issues import RuleQuality, TableQuality, summarise
from experiment_features.run import Extracted, Validated
from experiment_features.spreadsheet import escape_formulas

FIT = "fit"
"""The verdict on a drop that would be loaded; others are the status of the run."""

COLUMNS = {
    "file": "file_name",
    "line": "line_number",
    "column": "column_name",
    "value": "value",
    "severity": "severity",
    "rule": "rule",
    "message": "message",
}
"""Of the CSV file with all issues, and where each is in the workspace's."""

_BY_FILE = """
    file_name as file, table_name as "table", rule, severity, column_name as "column", message,
    count(*) as count,
    arg_min(struct_pack(line := line_number, "value" := left(value, 200)), line_number, 3) as first
"""
"""DuckDB: the issues of a workspace. Grain: file and rule. first: the first three places."""


@dataclass(frozen=True)
class Report:
    """What is known of a drop, and whether it would be loaded."""

    pipeline: Pipeline
    source: AnyPath
    refusal: DropRefused | LoadHeld | None

    @property
    def is_unread(self) -> bool:
        """Whether the drop could not even be read."""
        return isinstance(self.refusal, DropRefused) and not isinstance(self.refusal, DropRejected)

    @property
    def notices(self) -> Sequence[str]:
        """What else needs attention: what the refusal does not already say."""
        if isinstance(self.refusal, DropRefused):
            return ()
        return self.pipeline.workspace.found(Validated).notices

    def summary(self) -> tuple[list[TableQuality], list[RuleQuality]]:
        """The tables of the drop, and the rules that were broken."""
        return summarise(self.pipeline.workspace, self.pipeline.settings.memory_limit)

    def as_json(self) -> dict[str, Any]:
        """Everything; of a drop that could not be read, why and where."""
        refusal = self.refusal
        place = refusal and {n: getattr(refusal, n) for n in ("file", "line", "column")}
        report = {
            "source": str(self.source),
            "verdict": refusal.status if refusal else FIT,
            "why": str(refusal) if refusal else None,
            "place": place if place and any(place.values()) else None,
            "max_rejected_percent": self.pipeline.run.max_rejected_percent,
        }
        if self.is_unread:
            return {**report, "tables": [], "issues": []}
        validated = self.pipeline.workspace.found(Validated)
        return {
            **report,
            "rejected_rows": validated.rejected_rows,
            "warnings": validated.warnings,
            "notices": list(validated.notices),
            "tables": self._tables(),
            "issues": self._issues_by_file(),
        }

    def _tables(self) -> list[dict[str, Any]]:
        extracted = self.pipeline.workspace.found(Extracted)
        rejected = self.pipeline.workspace.found(Validated).rejected
        return [
            {
                "table": table,
                "files": [dict(file) for file in extracted.files if file["table"] == table],
                "rows": rows,
                "rejected": rejected[table],
                "rejected_percent": 100 * rejected[table] / max(1, rows),
            }
            for table, rows in extracted.rows.items()
        ]

    def _issues_by_file(self) -> list[dict[str, Any]]:
        """Grain: file and rule, in the order of tables and files."""
        workspace, settings = self.pipeline.workspace, self.pipeline.settings
        if not workspace.issues.exists():
            return []
        with open_duckdb(settings.memory_limit, workspace.scratch / "spill") as database:
            issues = read_parquet(database, workspace.issues)
            found = issues.aggregate(_BY_FILE).order('"table", file, severity, rule')
            names = found.columns
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def write_issues(self, target: Path) -> None:
        """Writes a CSV file with a line for each issue, safe to open in a spreadsheet.

        Of a drop that could not be read, the one line says why.

        Raises:
            WorkspaceUnavailable: the file cannot be written.
        """
        try:
            with target.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                for issue in self._issues():
                    writer.writerow(map(escape_formulas, issue))
        except OSError as error:
            raise WorkspaceUnavailable(
                f"{target} cannot be written ({error.strerror}): choose another file, or free disk "
                "space"
            ) from error

    def _issues(self) -> Iterator[list[Any]]:
        """The issues in the order of their rows; columns as in COLUMNS."""
        if self.refusal and self.is_unread:
            place = (self.refusal.file, self.refusal.line, self.refusal.column)
            yield [*place, None, "error", None, str(self.refusal)]
            return
        if self.pipeline.workspace.issues.exists():
            for batch in arrow.batches(self.pipeline.workspace.issues, list(COLUMNS.values())):
                columns = [batch.column(name).to_pylist() for name in COLUMNS.values()]
                yield from map(list, zip(*columns, strict=True))


def check(pipeline: Pipeline, source: AnyPath) -> Report:
    """Reads and judges a drop; with a database, also says whether loading it would be held."""
    try:
        pipeline.extract(source)
        pipeline.validate()
        if pipeline.connect:
            pipeline.transform()
            _, plan = pipeline.plan()
            return Report(pipeline, source, plan.held if plan else None)
    except DropRefused as refusal:
        return Report(pipeline, source, refusal)
    return Report(pipeline, source, None)
