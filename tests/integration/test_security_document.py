"""docs/security.md: the statement that takes a person out of history and issues."""

import re
from pathlib import Path

import pytest
from psycopg import sql

from drops import Drop, Part, Row
from integration.running import features_of, make_drop, run_drop
from integration.servers import VERSIONS, Database

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
LENIENT = {"max_rejected_percent": 100, "max_removed_percent": 100}


def rows_about(database: Database, text: str) -> dict[str, int]:
    """How many rows of each table contain a text."""
    tables = database.query(
        "select relname from pg_class where relnamespace = 'features'::regnamespace "
        "and relkind = 'r'"
    )
    query = sql.SQL("select count(*) from features.{} as t where strpos(t::text, {}) > 0")
    counts = {
        table["relname"]: database.value(query.format(sql.Identifier(table["relname"]), text))
        for table in tables
    }
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("server", VERSIONS, indirect=True)
def test_a_person_is_removed(database: Database, tmp_path: Path) -> None:
    """Nothing is left of user 42, and everything of the others."""
    drop = make_drop({42: "Zoe", 142: "Ann"}, [(42, "1", "Zoe"), (142, "1", "Ann")])
    faulty = Part(
        "users",
        "_2",
        tuple(
            Row((user_id, name, "", "2024-01-01"), fault)
            for name, ids in (("Zoe", ("042", "42.5", "42")), ("Ann", ("0142", "1.42", "142")))
            for user_id, fault in zip(ids, ("", "", "too_many_fields"), strict=True)
        ),
    )
    run_drop(database, Drop((*drop.parts, faulty)).write(tmp_path / "first"), **LENIENT)
    others = make_drop({142: "Ann B.", 143: ""}, [(142, "1", "10")])
    run_drop(database, others.write(tmp_path / "second"), run_id="last", **LENIENT)
    database.query(
        "insert into features.held_changes "
        "values ('last', 'users', 42, 'Zoe', 1), ('last', 'users', 142, 'Ann', 1)"
    )
    database.query(
        'update features.data_issues set row_id = 42, raw_row = \'{"name": "Zoe"}\' '
        "where raw_row ->> 'user_id' = '042' and rule = 'email_invalid'"
    )
    assert set(rows_about(database, "Zoe")) == {"user_features_past", "held_changes", "data_issues"}
    kept = rows_about(database, "Ann"), features_of(database, "latest_data_issues")
    text = DOCUMENT.read_text()
    (statement,) = re.findall(r"```sql\n(with person.*?)```", text, re.DOTALL)
    database.query(statement, user="keeper")
    assert rows_about(database, "Zoe") == {}
    assert (rows_about(database, "Ann"), features_of(database, "latest_data_issues")) == kept
    database.query("update features.pipeline_runs set message = 'the name Zoe'")
    (statement,) = re.findall(r"`(update features[^`]*)`", text)
    database.query(statement.replace("name", "zoe"), user="keeper")
    assert rows_about(database, "Zoe") == {}
