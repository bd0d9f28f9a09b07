"""The export of what is in force: a drop that gives the same, however odd its rows are.

Random sequences are exported in tests/integration/test_deltas.py.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from cases import first_or_all
from delta_drops import Step
from delta_stages import InProcess, check_sequence
from drops import CLEAN, Dialect, Drop, Part, Row
from experiment_features.errors import ConfigurationError, WorkspaceUnavailable
from experiment_features.report import export as exporting
from experiment_features.run import Extracted
from experiment_features.workspace import Workspace
from stages import TODAY, read_drop

Cells = tuple[str, ...]
PIPE = Dialect(delimiter="|")


def snapshot(*others: Part) -> Step:
    """A clean snapshot, with these files besides or instead."""
    tables = {part.table for part in others if not part.suffix}
    clean = [part(table, *CLEAN[table]) for table in CLEAN if table not in tables]
    return Step("snapshot", Drop((*clean, *others)))


def delta(*parts: Part) -> Step:
    """A delta of these files."""
    return Step("delta", Drop(parts))


def part(table: str, *rows: Cells, suffix: str = "", dialect: Dialect = PIPE) -> Part:
    """A file of a table."""
    return Part(table, suffix, tuple(map(Row, rows)), dialect)


def times(*run_times: str, first: int = 10, suffix: str = "_2") -> Part:
    """A file of experiments with these run times, and ids from some number on."""
    rows = [(str(first + n), "1", "1;2", time) for n, time in enumerate(run_times)]
    return part("user_experiments", *rows, suffix=suffix)


def export(folder: Path, *sequence: Step) -> Path:
    """Loads a sequence and exports what is in force then; returns the folder."""
    product = InProcess(folder, "duckdb")
    for number, step in enumerate(sequence):
        product.load(step.drop.write(folder / str(number)), step, str(number), TODAY)
    product.export(folder / "exported")
    return folder / "exported"


def rows_of(folder: Path, name: str) -> list[list[str]]:
    """The rows of a CSV file, its header first."""
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


def test_cells_are_as_they_were_written(tmp_path: Path) -> None:
    """In the order of their ids; with rejected rows, and without those that have no id."""
    users = [
        ("007", 'say "hi"', "no address", "2024-13-01"),
        ("x", "Nobody", "", ""),
        ("+2", "two\r\nlines", "", "2999-01-01"),
    ]
    experiments = [("3", "9", "2;;1", "12.50"), ("1", "2", "x", "1e3"), ("1", "2", "1", "5")]
    sequence = [
        snapshot(part("user_experiments", *experiments)),
        delta(part("users", *users), part("deleted_users", ("1",), ("3",))),
    ]
    exported = export(tmp_path, *sequence)
    assert sorted(path.name for path in exported.iterdir()) == [
        "compounds.csv",
        "user_experiments.csv",
        "users.csv",
    ]
    header = ["user_id", "name", "email", "signup_date"]
    assert rows_of(exported, "users.csv") == [header, list(users[2]), list(users[0])]
    assert rows_of(exported, "user_experiments.csv")[1:] == [
        list(experiments[at]) for at in (1, 2, 0)
    ]
    assert (exported / "compounds.csv").read_text() == (
        "compound_id,compound_name,compound_structure\n1,Water,H2O\n2,Ethanol,C2H6O\n"
        "3,Methane,CH4\n"
    )


ODD = {
    "commas beside points": [snapshot(times("1.250", "12.5"), times("12,5", "1.250", first=20, suffix="_3"))],
    "the comma was replaced": [
        snapshot(times("12,5", "1.250", "12.5")),
        delta(times("7", suffix="")),
    ],
    "an id in files with and without commas": [
        snapshot(
            times("1.250", "12.5", suffix=""),
            times("12,5", "1.250", suffix="_2"),
            # Exported, these are the same rows in the same order as those of the first file.
            part(
                "user_experiments",
                ("11", "1", "1;2", "12.5"),
                ("10", "1", "1;2", "1.250"),
                suffix="_3",
            ),
        )
    ],
    "a line in a cell looks like a row": [
        snapshot(part("users", ("1", "a,b,c,d\n5,x,y,z", "a@b.org", "2024-01-01"))),
        delta(part("users", ("2", "Street 5, Room 3,\n7", "\n9,,,,,,", "2024-01-01"))),
    ],
    "NUL bytes": [
        snapshot(part("users", ("1", "An\0n", "a@b.org", "2024-01-01"), ("2", "B", "\0", "\0")))
    ],
    "tables without rows": [snapshot(part("users"), part("user_experiments"))],
}  # fmt: skip


@pytest.mark.parametrize(
    "sequence", first_or_all(*(pytest.param(steps, id=name) for name, steps in ODD.items()))
)
def test_odd_rows_give_the_same(sequence: Sequence[Step], tmp_path: Path) -> None:
    """Though what made them odd stands in other rows, files or dialects."""
    check_sequence(sequence, tmp_path, "duckdb")
    assert (tmp_path / "exported").is_dir()


def test_a_nul_byte_in_a_column_that_is_not_kept(tmp_path: Path) -> None:
    """It rejects the row again."""
    source = snapshot().drop.write(tmp_path / "drop")
    (source / "compounds.csv").write_bytes(
        b"compound_id,compound_name,compound_structure,note\n1,Water,H2O,\0\n2,Air,N2,\n"
    )
    product = InProcess(tmp_path, "duckdb")
    product.load(source, snapshot(), "1", TODAY)
    product.export(tmp_path / "exported")
    text = (tmp_path / "exported" / "compounds.csv").read_bytes()
    assert text.splitlines()[1:] == [b"\0,1,Water,H2O", b",2,Air,N2"]


def test_rows_of_many_groups_stay_in_order(tmp_path: Path) -> None:
    """The ids rise, so that reading the file takes no search for repeats."""
    count = 300_000
    lines = "".join(f"{count - n},1,1,0.5\n" for n in range(count))
    source = snapshot().drop.write(tmp_path / "drop")
    header = "experiment_id,user_id,experiment_compound_ids,experiment_run_time\n"
    (source / "user_experiments.csv").write_text(header + lines)
    product = InProcess(tmp_path, "duckdb")
    product.load(source, snapshot(), "1", TODAY)
    product.export(tmp_path / "exported")
    workspace = Workspace(tmp_path / "again")
    read_drop(tmp_path / "exported", workspace)
    (experiments,) = (f for f in workspace.found(Extracted).parts if f["rows"] == count)
    assert experiments["ids"] == [1, count]


@pytest.mark.parametrize("kind", ["file", "full folder"])
def test_only_an_empty_folder_is_written_to(kind: str, tmp_path: Path) -> None:
    """Whatever is there stays."""
    target = tmp_path / "exported"
    if kind == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "mine").touch()
    with pytest.raises(ConfigurationError, match="is not an empty folder"):
        export(tmp_path, snapshot())
    assert (
        target.read_text() == "mine" if kind == "file" else [*target.iterdir()] == [target / "mine"]
    )


def test_a_folder_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root, a loop of links, too long a name, and one in a folder that is gone."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    product = InProcess(tmp_path, "duckdb")
    product.load(snapshot().drop.write(tmp_path / "drop"), snapshot(), "1", TODAY)
    for name in ("/", str(tmp_path / "loop"), str(tmp_path / ("x" * 300)), "relative"):
        with pytest.raises((ConfigurationError, WorkspaceUnavailable), match=r"folder|followed"):
            product.export(Path(name))


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    """Also by a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "exported").symlink_to("real")
    export(tmp_path, snapshot())
    assert len([*(tmp_path / "real").iterdir()]) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_nothing_stays_of_an_export_that_ends_early(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither half a drop nor a draft of one."""
    written: list[str] = []

    def fail(table: object, *_: object) -> list[exporting.ExportedFile]:
        if written:
            raise error
        written.append(str(table))
        return []

    monkeypatch.setattr(exporting, "_write_table", fail)
    with pytest.raises((KeyboardInterrupt, WorkspaceUnavailable)):
        export(tmp_path, snapshot())
    assert not [
        path for path in tmp_path.iterdir() if "export" in path.name or "draft" in path.name
    ]
