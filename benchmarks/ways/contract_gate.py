"""Floe sorts the rows of a drop into accepted and rejected ones: by types, NULLs and unique keys.

contract_gate.py SOURCE FOLDER
"""

import json
import sys
from pathlib import Path

import floe

COLUMNS = {
    "users": ("user_id integer", "name string", "email string?", "signup_date date?"),
    "compounds": ("compound_id integer", "compound_name string", "compound_structure string?"),
    "user_experiments": (
        "experiment_id integer",
        "user_id integer",
        "experiment_compound_ids string",
        "experiment_run_time number?",
    ),
}
"""By table; the first is its key, and a question mark allows NULL."""


def entity(table: str, source: Path, folder: Path) -> dict[str, object]:
    """The contract of a table, in Floe's terms."""
    columns = [column.split() for column in COLUMNS[table]]
    return {
        "name": table,
        "source": {
            "format": "csv",
            "path": str(source / f"{table}.csv"),
            "options": {"separator": ","},
            "cast_mode": "coerce",
        },
        "sink": {
            "accepted": {"format": "parquet", "path": str(folder / "accepted" / table)},
            "rejected": {"format": "csv", "path": str(folder / "rejected" / table)},
        },
        "policy": {"severity": "reject"},
        "schema": {
            "columns": [
                {
                    "name": name,
                    "type": kind.rstrip("?"),
                    "nullable": kind.endswith("?"),
                    "unique": name == columns[0][0],
                }
                for name, kind in columns
            ]
        },
    }


if __name__ == "__main__":
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    contract = {
        "version": "0.1",
        "report": {"path": str(folder / "reports")},
        "entities": [entity(table, source, folder) for table in COLUMNS],
    }
    config = folder / "floe.yml"
    config.write_text(json.dumps(contract))  # JSON is valid YAML
    print(json.dumps(floe.run(str(config)).summary["results"]))
