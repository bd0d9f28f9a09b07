"""Long searches: they resume where they were stopped, and end with a line of figures."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import search
import stages
from drops import Drop
from planted_faults import Fault, read_faults

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[Drop]:
    """The drops that were checked so far, two in a batch."""
    seen: list[Drop] = []

    def note(drop: Drop, folder: Path) -> None:  # noqa: ARG001
        seen.append(drop)

    monkeypatch.setattr(stages, "check_drop", note)
    monkeypatch.setitem(search.SEARCHES, "drops", replace(search.SEARCHES["drops"], batch=2))
    return seen


def test_a_search_goes_on_where_it_was_stopped(
    checked: list[Drop],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its seed: what was checked is not checked again, and the rest is as if never stopped."""
    arguments = ["drops", "--count", "5", "--seed", "7", "--folder"]
    assert search.main([*arguments, str(tmp_path / "whole")]) == 0
    whole, note = checked.copy(), stages.check_drop
    checked.clear()

    def stop_at_fourth(drop: Drop, folder: Path) -> None:
        if len(checked) == 3:
            raise KeyboardInterrupt
        note(drop, folder)

    monkeypatch.setattr(stages, "check_drop", stop_at_fourth)
    with pytest.raises(KeyboardInterrupt):
        search.main([*arguments, str(tmp_path / "stopped")])
    monkeypatch.setattr(stages, "check_drop", note)
    del checked[2:]  # of a batch that was not finished
    capsys.readouterr()
    assert search.main([*arguments, str(tmp_path / "stopped")]) == 0
    assert checked == whole
    assert len(set(map(repr, checked))) > 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"5 random drops, seed 7: 5 equal, 0 differ; \d+ s", last)


def test_another_seed_draws_other_drops(checked: list[Drop], tmp_path: Path) -> None:
    """And a search that is asked for more goes on with the same seed."""
    for seed in ("1", "2"):
        for count in ("4", "6"):
            search.main(["drops", "--count", count, "--seed", seed, "--folder", str(tmp_path)])
    assert len(checked) == 12
    assert checked[:6] != checked[6:]


def test_a_fault_is_kept_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drop that gives something else is kept with what was made of it; the others are checked."""
    compute = stages.compute_features
    calls: list[str] = []

    def go_wrong(workspace: stages.Workspace, engine: str) -> None:
        compute(workspace, engine)
        calls.append(engine)
        if len(calls) == 2:
            workspace.features("user_features").unlink()

    monkeypatch.setattr(stages, "compute_features", go_wrong)
    arguments = ["drops", "--count", "2", "--seed", "1", "--folder", str(tmp_path)]
    assert search.main(arguments) == 1
    computed = len(calls)
    assert search.main(arguments) == 1
    assert len(calls) == computed  # nothing is checked again
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("2 random drops, seed 1: 1 equal, 1 differ; ")
    assert lines[-2] == f"Details of the faults are in {tmp_path / 'drops-1'}"
    (kept,) = (tmp_path / "drops-1" / "0").glob("drop_*")
    assert "user_features.parquet" in (kept / "error.txt").read_text()
    assert {"source", "pandas", "duckdb"} <= {path.name for path in kept.iterdir()}


@pytest.mark.parametrize("fault", read_faults(), ids=lambda fault: fault.what)
def test_a_fault_can_be_planted_and_names_a_test(fault: Fault) -> None:
    """After a change of the code or of a test, the list has to follow."""
    assert (ROOT / fault.file).read_text("utf-8").count(fault.old) == 1
    assert fault.old != fault.new
    path, *_, test = fault.caught_by.split("::")
    assert f"def {test.partition('[')[0]}(" in (ROOT / path).read_text("utf-8")


def test_every_fault_of_the_list_is_planted() -> None:
    """By default."""
    assert search.SEARCHES["faults"].count == len(read_faults())


@pytest.mark.parametrize("name", search.SEARCHES)
@pytest.mark.parametrize(
    ("place", "mention"),
    [
        ("scripts/search.sh", r"^\[\[ .*[(|]{}[|)]"),
        ("scripts/search.sh", r"^#   {} "),
        ("docs/development.md", r"^\| `scripts/search.sh {}` \|"),
        (".github/workflows/nightly.yml", r"what: \[.*\b{}\b"),
    ],
)
def test_every_search_is_offered_described_and_run_at_night(
    name: str, place: str, mention: str
) -> None:
    """A search that nobody starts finds nothing."""
    assert re.search(mention.format(name), (ROOT / place).read_text(), re.MULTILINE)
