"""Two versions of a table's file, side by side in a drop."""

from pathlib import Path

import pytest

from delta_drops import Step
from delta_stages import InProcess
from drops import CLEAN, Drop, Part, Row
from experiment_features.errors import DropRejected
from experiment_features.rules import shared_ids
from experiment_features.run import Validated
from integration.running import make_pipeline
from stages import TODAY

OLD = [str(number) for number in range(1, 11)]
LONGER = [str(number) for number in range(1, 31)]
OTHERS = [str(number) for number in range(6, 16)]


def drop_of(*ids_of_files: list[str]) -> Drop:
    """A drop with files users_1.csv, users_2.csv, ... that hold these ids under other names."""
    users = [
        Part(
            "users",
            f"_{n}",
            tuple(Row((i, f"Ann {n}", "a@example.org", "2024-01-01")) for i in ids),
        )
        for n, ids in enumerate(ids_of_files, start=1)
    ]
    others = [Part(t, "", tuple(map(Row, CLEAN[t]))) for t in ("compounds", "user_experiments")]
    return Drop((*users, *others))


def notices(folder: Path, drop: Drop) -> list[str]:
    """What a run says of a drop that it does not reject, however faulty."""
    pipeline = make_pipeline(None, folder / "run", max_rejected_percent=100.0)
    pipeline.extract(drop.write(folder / "source"))
    return list(pipeline.validate().notices)


@pytest.mark.parametrize(
    ("files", "part", "whole"),
    [
        ([OLD, OLD[::-1]], 1, 2),
        ([OLD, LONGER], 1, 2),
        ([LONGER, OLD], 2, 1),
        ([OTHERS, LONGER, OLD], 1, 2),
        ([OLD, [*LONGER[:-1], "x"]], 1, 2),
        ([LONGER, [*OLD[:-1], "x"]], 2, 1),
        ([OTHERS, OLD, ["x"], [*OLD, "40"]], 2, 4),
    ],
    ids=["the same", "longer", "shorter", "three", "faulty whole", "faulty part", "among others"],
)
def test_two_versions_of_a_file_are_named(
    files: list[list[str]], part: int, whole: int, tmp_path: Path
) -> None:
    """In the rejection and in the notices of the run.

    On one engine: the issues, which are the same on all, say where to look.
    """
    told = (
        f"every id in users_{part}.csv is also in users_{whole}.csv: one of the two probably has "
        "to go"
    )
    pipeline = make_pipeline(None, tmp_path / "run")
    pipeline.extract(drop_of(*files).write(tmp_path / "source"))
    with pytest.raises(DropRejected) as caught:
        pipeline.validate()
    assert f"{told}. Correct the rows" in str(caught.value)
    assert pipeline.workspace.found(Validated).notices == [told]


def test_two_versions_of_a_file_in_a_delta_are_named(tmp_path: Path) -> None:
    """So few repeated ids reject no delta; those of the snapshot below are no repetitions."""
    loads = InProcess(tmp_path, "pandas")
    told = "every id in users_1.csv is also in users_2.csv: one of the two probably has to go"
    drops = [drop_of(LONGER), drop_of(OLD[:5], OLD[5:]), drop_of(OLD[:5], OLD)]
    for number, (drop, expected) in enumerate(zip(drops, ([], [], [told]), strict=True)):
        step = Step("delta" if number else "snapshot", drop)
        source = drop.write(tmp_path / str(number))
        workspace = loads.load(source, step, str(number), TODAY)
        assert list(workspace.found(Validated).notices) == expected


def test_other_repetitions_are_only_issues(tmp_path: Path) -> None:
    """Files that share some ids, a file that repeats its own, and ids spread over two others."""
    for number, files in enumerate(
        [[OLD, OTHERS], [OLD + OLD], [OLD[:5], [*OLD[5:], "50"], [*OLD, "60"][3:]]]
    ):
        assert notices(tmp_path / str(number), drop_of(*files)) == []


def test_a_sound_drop_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that repeats fewer ids than any of its files has."""
    monkeypatch.setattr(shared_ids, "open_duckdb", pytest.fail)
    notices(tmp_path / "1", drop_of(OLD, OTHERS[5:]))
    notices(tmp_path / "2", drop_of(OLD, ["10", *OTHERS[5:]]))
