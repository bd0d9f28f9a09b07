"""A file is typed as its table asks, be it one of the three or one of deletions."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from experiment_features.contract import (
    COMPOUNDS,
    DELETIONS,
    TABLES,
    USER_EXPERIMENTS,
    USERS,
    Table,
)
from experiment_features.drop.files import find_drop
from experiment_features.drop.local_path import LocalPath
from experiment_features.errors import DropRefused
from experiment_features.reading.type_cells import open_typing_database
from experiment_features.reading.typed_file import TypedFile, type_file


@pytest.mark.parametrize("table", TABLES, ids=str)
@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("{}\n1\n2\n", [(2, None, 1, None), (3, None, 2, None)]),
        (
            '\ufeffsep=;\r\n"note" ; "{}"\r\n\r\na;"7"\r\n;007\r\nonly one\r\nb;x\r\n',
            [
                (4, None, 7, None),
                (5, None, 7, "007"),
                (6, "too_few_fields", None, None),
                (7, None, None, "x"),
            ],
        ),
        ("{}\n", []),
    ],
    ids=["plain", "any dialect", "no rows"],
)
def test_deletions_are_read_like_a_table(
    table: Table, text: str, rows: list[Any], tmp_path: Path
) -> None:
    """In parts, compressed, in any dialect, with extra columns; line, fault, id and its text."""
    key, deletions = table.key, DELETIONS[table.name]
    name = f"deleted_{table}_1.csv.gz"
    (tmp_path / name).write_bytes(gzip.compress(text.format(key).encode()))
    (path,) = find_drop(tmp_path, "delta").files[deletions]
    with open_typing_database("1GB") as database:
        typed = type_file(database, deletions, path, tmp_path / "part", lambda *_: None)
    assert (typed.file["table"], typed.file["rows"]) == (f"deleted_{table}", len(rows))
    columns = ["line_number", "fault", key, f"{key}_text"]
    read = pq.read_table(tmp_path / "part", columns=columns).to_pylist()
    assert sorted(tuple(row.values()) for row in read) == rows


@pytest.mark.parametrize(
    ("table", "header", "second"),
    [
        (USERS, "user_id,name,email,signup_date", "user_id,email,name,signup_date"),
        (USERS, "name,note,user_id,email,signup_date", "\ufeffName,NOTE,Email,User_ID,Signup_date"),
        (USERS, "name,email,user_id,signup_date", '\ufeff "email",name,user_id,signup_date'),
        (COMPOUNDS, "compound_id,compound_name,compound_structure",
         '"compound_id" , "compound_structure","compound_name"'),
        (USER_EXPERIMENTS, "experiment_id,user_id,experiment_compound_ids,experiment_run_time",
         "user_id,experiment_id,experiment_compound_ids,experiment_run_time"),
        (USERS, "user_id,name,email,signup_date,note", ",user_id,name,email,signup_date"),
        (COMPOUNDS, "row,compound_id,compound_name,compound_structure",
         "compound_id,compound_name,compound_structure,unit"),
        (USERS, "user_id,name,email,signup_date",
         "experiment_id,user_id,experiment_compound_ids,experiment_run_time"),
        (DELETIONS["users"], "user_id,name", "name,user_id"),
    ],
    ids=["text", "mark and case", "quotes behind a mark", "quoted", "numbers", "extra before", "extra behind", "table", "deletions"],
)  # fmt: skip
def test_columns_do_not_change_their_order_within_a_file(
    table: Table, header: str, second: str, tmp_path: Path
) -> None:
    """Joined files: a second header in another order refuses the drop, one in the same is a row."""
    row = ",".join("7" for _ in header.split(","))
    drop = tmp_path / "drop"
    drop.mkdir()

    def typed_with(line: str, before: str = "\n") -> TypedFile:
        (drop / "joined.csv").write_text(f"{header}\n{row}\n{row}{before}{line}\n{row}")
        (path,) = LocalPath(drop).entries()
        with open_typing_database("1GB") as database:
            return type_file(database, table, path, tmp_path / "part", lambda *_: None)

    with pytest.raises(DropRefused, match="line 4 names columns again") as refusal:
        typed_with(second)
    assert (refusal.value.file, refusal.value.line) == ("joined.csv", 4)
    with pytest.raises(DropRefused, match="line 3 names columns again"):
        typed_with(second, before="")  # the first file has no line end at its end
    assert typed_with(header).file["rows"] == 4
    assert typed_with(header, before="").file["rows"] == 3
