"""Extract: the files of a drop, and drops that are no drop."""

import gzip
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from drops import CLEAN
from experiment_features.config import Settings
from experiment_features.contract import TABLES
from experiment_features.drop import files
from experiment_features.drop.base import Known, LastLoad
from experiment_features.engines.choose import choose_engine
from experiment_features.engines.duckdb_engine import open_duckdb
from experiment_features.errors import DropRefused, PartGone, StorageUnavailable
from experiment_features.reading import extract as reading
from experiment_features.run import Extracted
from experiment_features.store.parts import NoLedger, PartStore, workspace_parts
from experiment_features.workspace import Workspace
from stages import TODAY, assert_as_expected, compute_features, extract, transform, validate


def test_files_are_named_counted_and_hashed(drop: Path, workspace: Workspace) -> None:
    """The facts tell what was read."""
    facts = extract(drop, workspace)
    assert [(f["table"], f["name"], f["rows"]) for f in facts.files] == [
        ("users", "users.csv", 3),
        ("compounds", "compounds.csv", 3),
        ("user_experiments", "user_experiments.csv", 3),
    ]
    assert [f["bytes"] for f in facts.files] == [
        (drop / f["name"]).stat().st_size for f in facts.files
    ]
    assert facts.rows == {"users": 3, "compounds": 3, "user_experiments": 3}


def test_parts_are_read_in_the_order_of_their_names(drop: Path, workspace: Workspace) -> None:
    """Parts, plain or compressed, are one table; other files are none of it."""
    header = (drop / "users.csv").read_bytes().split(b"\n")[0]
    (drop / "users_2.csv.gz").write_bytes(gzip.compress(header + b"\n7,Di,d@e.f,2024-01-01\n"))
    (drop / "users_10.csv").write_bytes(header + b"\n8,Ed,e@f.g,2024-01-01\n")
    (drop / "notes_users.csv").write_bytes(b"not ours")
    (drop / "users.csv.bak").write_bytes(b"not ours")
    facts = extract(drop, workspace)
    names = [file["name"] for file in facts.files if file["table"] == "users"]
    assert names == ["users.csv", "users_10.csv", "users_2.csv.gz"]
    assert facts.rows["users"] == 5


@pytest.mark.parametrize(
    ("parts", "rise"),
    [
        ([[1, 2, 5]], True),
        ([[1, 2], [3], [10, " 11"]], True),
        ([range(1, 200_001)], True),  # some batches
        ([[1, 3, 2]], False),
        ([[1, 2, 2]], False),
        ([[1, 2], [2, 3]], False),
        ([[2, 3], [1]], False),
        ([[*range(1, 200_001), 199_999]], False),
        ([[1, 2, "x"]], False),  # what is typed in SQL could be any number
        ([[1, 2], []], False),
    ],
)
def test_ids_are_known_to_rise(
    parts: list[list[int | str]], rise: bool, drop: Path, workspace: Workspace
) -> None:
    """Only where no row can have the id of an earlier one; of whatever table can be typed so."""
    path = drop / "user_experiments.csv"
    header = path.read_text().splitlines()[0]
    path.unlink()
    for number, ids in enumerate(parts):
        lines = [header, *(f"{i},1,2;1,3.5" for i in ids)]
        (drop / f"user_experiments_{number}.csv").write_text("\n".join(lines) + "\n")
    assert extract(drop, workspace).rising_keys == ["user_experiments"] * rise
    if sum(map(len, parts)) < 100:
        compute_features(workspace, "pandas")
        assert_as_expected(drop, workspace)


@pytest.mark.parametrize(
    ("line", "rise"),
    [
        ("5,1,2;1;2,3.0", True),
        ("5,x,y,z", True),
        ("3,1,2,3.0", False),
        ("05,1,2,3.5", False),
        ("5,1,2", False),
        ('5,1,"2",3.5', True),
        ('5,1,"2;\n1",3.5', False),
        ("", False),
    ],
)
def test_ids_rise_also_in_lines_that_sql_types(
    line: str, rise: bool, drop: Path, workspace: Workspace
) -> None:
    """As long as the line can be taken apart, and its id is spelled as it prints."""
    path = drop / "user_experiments.csv"
    header = path.read_text().splitlines()[0]
    path.write_text("\n".join([header, "3,1,2,3.5", line, "7,1,1,3.5"]) + "\n")
    assert extract(drop, workspace).rising_keys == ["user_experiments"] * rise
    compute_features(workspace, "pandas")
    assert_as_expected(drop, workspace)


def test_extra_columns_are_ignored_and_told(
    drop: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """What the contract does not name is left out, and the log says so."""
    (drop / "compounds.csv").write_text(
        "Colour,compound_id,Compound_Name,compound_structure\nred,1,Water,H2O\n"
    )
    with caplog.at_level(logging.WARNING):
        extract(drop, workspace)
    assert "compounds.csv: ignored the extra columns: Colour" in caplog.text


def test_extra_columns_without_a_name_are_counted(
    drop: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """What has a name is named, as it stands in the file; the rest is a number."""
    header, rest = (drop / "compounds.csv").read_text().split("\n", 1)
    for extra, told in [
        (",,,,", "the extra columns: 4 without a name"),
        (",Notes,,\x1b[1mX", r"the extra columns: Notes, \x1b[1mX and 1 without a name"),
        (",n" * 1 + "".join(f",n{i}" for i in range(24)), "n17, n18 and 5 more"),
    ]:
        count = extra.count(",")
        rows = rest.strip().replace("\n", "," * count + "\n") + "," * count
        (drop / "compounds.csv").write_text(f"{header}{extra}\n{rows}\n")
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert extract(drop, workspace).rows["compounds"] == 3
        assert told in caplog.text


@pytest.mark.parametrize("table", list(CLEAN))
def test_a_missing_file_is_refused(table: str, drop: Path, workspace: Workspace) -> None:
    """Each table must have a file; the message says what is there instead."""
    (drop / f"{table}.csv").rename(drop / f"my_{table}.csv")
    with pytest.raises(DropRefused, match=rf"no file of {table}: expected .*found .*_{table}\.csv"):
        extract(drop, workspace)


def test_a_source_that_is_no_folder_is_refused(drop: Path, workspace: Workspace) -> None:
    """A missing folder, or a file in its place, is named."""
    for source in (drop / "missing", drop / "users.csv"):
        with pytest.raises(DropRefused, match=rf"the source {source} cannot be read as a folder"):
            extract(source, workspace)


def test_a_file_that_cannot_be_opened_is_refused(drop: Path, workspace: Workspace) -> None:
    """A broken link is named after its file."""
    (drop / "users.csv").unlink()
    (drop / "users.csv").symlink_to(drop / "nowhere.csv")
    with pytest.raises(DropRefused, match=r"users\.csv \(a broken link\)"):
        extract(drop, workspace)
    if os.geteuid() != 0:  # root reads whatever there is
        (drop / "users.csv").unlink()
        (drop / "users.csv").touch(mode=0o000)
        with pytest.raises(DropRefused, match=r"users.csv cannot be read \(Permission denied\)"):
            extract(drop, workspace)


def test_a_name_that_is_no_text_is_refused(drop: Path, workspace: Workspace) -> None:
    """Linux takes any bytes for a name; the database and the terminal take text."""
    odd = os.fsdecode(b"users_\xff.csv")
    (drop / "users.csv").rename(drop / odd)
    with pytest.raises(DropRefused, match=r"users_\\udcff\.csv is not UTF-8"):
        extract(drop, workspace)
    (drop / odd).rename(drop / odd.removeprefix("users"))
    with pytest.raises(DropRefused, match=r"no file of users: .* found _\\udcff\.csv"):
        extract(drop, workspace)


@pytest.mark.parametrize("table", list(CLEAN))
def test_a_table_without_rows_is_refused_unless_allowed(
    table: str, drop: Path, workspace: Workspace
) -> None:
    """An empty table is more often a failed export than the truth."""
    path = drop / f"{table}.csv"
    path.write_bytes(path.read_bytes().split(b"\n")[0])
    with pytest.raises(DropRefused, match=f"{table} has no rows in {table}.csv"):
        extract(drop, workspace)
    assert extract(drop, workspace, allow_empty=True).rows[table] == 0


def test_a_refusal_in_the_middle_of_a_file_is_told_as_it_is(
    drop: Path, workspace: Workspace
) -> None:
    """What the reader finds behind the first blocks reaches the user, not DuckDB's wrapping."""
    rows = b"".join(b"%d,1,1;2,0.5\n" % number for number in range(4, 200_000))  # some 3 blocks
    with (drop / "user_experiments.csv").open("ab") as file:
        file.write(rows + b"200000,1,1,\xff\n")
    with pytest.raises(DropRefused, match=r"byte 0xff at offset \d+, in line 200001"):
        extract(drop, workspace)
    assert not (workspace.folder / "extract.json").exists()


def test_a_store_that_cannot_be_written_is_transient(
    drop: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is not the drop's fault: the task is tried again."""
    draft = workspace.folder / "missing" / "draft.parquet"
    monkeypatch.setattr(PartStore, "draft", lambda *_: draft)
    with pytest.raises(
        StorageUnavailable, match=r"the part .* cannot be written .*free disk space"
    ):
        extract(drop, workspace)


class Remembered(NoLedger):
    """Remembers which parts were named."""

    def __init__(self) -> None:
        self.parts: list[files.Part] = []

    def find(self, sizes: Sequence[int]) -> list[files.Part]:
        """Those of files with one of these sizes."""
        return [part for part in self.parts if part["bytes"] in sizes]

    def name(self, layers: Sequence[files.Layer]) -> None:
        """Remembers them."""
        self.parts += [part for layer in layers for part in layer["parts"]]


def last_load(found: Extracted) -> LastLoad:
    """What a run is told of the load of a snapshot."""
    return LastLoad(
        Known("first", ["first"]), None, found.source, "snapshot", found.layers, lambda: True
    )


def test_known_files_are_only_hashed(drop: Path, workspace: Workspace, tmp_path: Path) -> None:
    """A file is known by its bytes, under whatever name, and its part is used again."""
    store = workspace_parts(Workspace(tmp_path / "store"))
    named = Remembered()
    first = reading.extract(drop, workspace, store, named)
    (drop / "users.csv").rename(drop / "users_1.csv")
    told: list[str] = []
    second = reading.extract(
        drop,
        workspace,
        store,
        named,
        last=last_load(first),
        progress=lambda name, _: told.append(name),
    )
    assert not told
    assert not second.is_unchanged  # another name
    assert [part["part"] for part in second.parts] == [part["part"] for part in first.parts]
    assert second.files[0]["name"] == "users_1.csv"
    assert reading.extract(drop, workspace, store, named, last=last_load(second)).is_unchanged


@pytest.mark.parametrize("fault", ["lost", "damaged", "emptied", "a pipe", "a device"])
def test_a_part_that_is_not_intact_is_made_anew(
    fault: str, drop: Path, workspace: Workspace, tmp_path: Path
) -> None:
    """Nothing is taken from it, and the drop is not unchanged."""
    store = workspace_parts(Workspace(tmp_path / "store"))
    named = Remembered()
    first = reading.extract(drop, workspace, store, named)
    (part,) = store.paths(first.parts, "users")
    content = part.read_bytes()
    if fault in ("lost", "a pipe", "a device"):
        part.unlink()
    if fault == "a pipe":
        os.mkfifo(part)
    elif fault == "a device":
        part.symlink_to("/dev/zero")
    elif fault != "lost":
        part.write_bytes(content[:-9] + bytes(9) if fault == "damaged" else b"")
    again = reading.extract(drop, workspace, store, named, last=last_load(first))
    assert not again.is_unchanged
    assert all(map(store.is_intact, again.parts))
    again = reading.extract(drop, workspace, store, named, last=last_load(first))
    assert again.is_unchanged


@pytest.mark.parametrize("engine", ["pandas", "duckdb"])
def test_a_part_that_is_damaged_meanwhile_is_not_used(
    engine: str, drop: Path, workspace: Workspace
) -> None:
    """Nor one that became a folder: a byte of it could be a wrong number."""
    extracted = extract(drop, workspace)
    chosen = choose_engine(engine, 1, workspace.scratch / "spill")
    stages: list[Callable[..., Any]] = [
        partial(validate, max_rejected_percent=100, today=TODAY),
        transform,
    ]
    for stage in stages:
        for table in TABLES:
            (part,) = workspace_parts(workspace).paths(extracted.parts, table.name)
            content = part.read_bytes()
            part.write_bytes(content[:8] + bytes([content[8] ^ 1]) + content[9:])
            with pytest.raises(PartGone, match=f"the rows of {table.name}.csv"):
                stage(workspace, chosen)
            part.unlink()
            part.mkdir()
            with pytest.raises(PartGone, match=f"the rows of {table.name}.csv"):
                stage(workspace, chosen)
            part.rmdir()
            part.write_bytes(content)
        stage(workspace, chosen)


def test_a_refused_drop_leaves_no_parts(drop: Path, workspace: Workspace) -> None:
    """Nor drafts of them."""
    (drop / "user_experiments.csv").write_bytes(b"experiment_id\n")
    with pytest.raises(DropRefused):
        extract(drop, workspace)
    assert not list(workspace_parts(workspace).files())


_PEAK = """
import json, resource, sys
from pathlib import Path
from experiment_features.reading.extract import extract
from experiment_features.store.parts import NoLedger, workspace_parts
from experiment_features.workspace import Workspace
workspace = Workspace(Path(sys.argv[2]))
extract(Path(sys.argv[1]), workspace, workspace_parts(workspace), NoLedger())
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))
"""


def peak(drop: Path, folder: Path) -> int:
    """How many MiB it takes to read a drop."""
    output = subprocess.check_output(
        [sys.executable, "-c", _PEAK, drop, folder / "workspace"],
        env={**os.environ, "PYTHONPATH": "include"},
        cwd=Path(__file__).parents[3],
    )
    return int(json.loads(output))


def test_memory_does_not_grow_with_the_file(drop: Path, tmp_path: Path) -> None:
    """Reading streams: eight times the rows take hardly more memory, and DuckDB prints nothing."""

    def peak_of(rows: int) -> int:
        with open_duckdb(Settings.memory_limit) as database:
            database.execute(
                "copy (select i as experiment_id, 1 + i % 3 as user_id, '1;2;3' as "
                "experiment_compound_ids, '0.5' as experiment_run_time, repeat('x', 50) as note "
                "from range(1, $rows) as t (i)) to $target (header)",
                {"rows": rows, "target": str(drop / "user_experiments.csv")},
            )
        return peak(drop, tmp_path)

    small, large = peak_of(125_000), peak_of(1_000_000)  # 8 and 65 MiB
    assert large < small + 35, (small, large)


def test_memory_does_not_grow_with_empty_items(drop: Path, tmp_path: Path) -> None:
    """A million of them in each of eight lists take little more than a million bytes each."""
    before = peak(drop, tmp_path)
    with (drop / "user_experiments.csv").open("a") as file:
        file.writelines(f"{number},1,1{' ;' * 500_000}2,1\n" for number in range(50, 58))
    assert peak(drop, tmp_path) < before + 150
