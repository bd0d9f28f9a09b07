"""Writes the tables of docs/data-contract.md from the contract and the rules.

    PYTHONPATH=include .venv/bin/python scripts/write_data_contract.py

tests/unit/rules/test_rules.py fails while the page is stale.
"""

from pathlib import Path

from experiment_features.contract import TABLES, Table
from experiment_features.rules.rules import RULES, rules_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "data-contract.md"
BEGIN, END = "<!-- written by scripts/write_data_contract.py -->", "<!-- end -->"


def columns_of(table: Table) -> str:
    """The table's columns as Markdown."""
    lines = [f"### {table}", "", "| column | holds | meaning |", "|---|---|---|"]
    lines += [
        f"| `{c.name}` | {c.kind.value}{'; optional' * c.is_optional} | {c.description} |"
        for c in table.columns
    ]
    return "\n".join(lines)


def rules_table(table: Table) -> str:
    """The table's own rules as Markdown."""
    shared = shared_rules()
    lines = ["| rule | severity | column | holds when |", "|---|---|---|---|"]
    lines += [
        f"| `{r.name}` | {r.severity} | `{r.column}` | {r.message} |"
        for r in rules_of(table)
        if r.name not in shared
    ]
    return "\n".join(lines)


def shared_rules() -> dict[str, str]:
    """The rules that every table has, about the row as a whole, with their messages."""
    return {rule.name: rule.message for rule in RULES if rule.column is None}


def generated() -> str:
    """The part of the page that the code decides."""
    every = ["### Every table", "", "| rule | severity | holds when |", "|---|---|---|"]
    every += [f"| `{name}` | error | {message} |" for name, message in shared_rules().items()]
    parts = ["\n".join(every)]
    for table in TABLES:
        parts += [columns_of(table), rules_table(table)]
    return "\n\n".join(parts)


def renewed(page: str) -> str:
    """The page with its generated part written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{generated()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
