"""Cells that show thousands: in whose column a point with three digits behind it may separate thousands."""

from pathlib import Path

import pytest

from drops import AMBIGUOUS, RUN_TIMES, RUN_TIMES_NOT, THOUSANDS
from experiment_features.reading import text_stream
from experiment_features.workspace import Workspace
from stages import assert_as_expected, issues_of, run_stages

TABLES = {
    "users": "user_id,name,email,signup_date\n1,Ann,a@b.org,2024-01-01\n",
    "compounds": "compound_id,compound_name,compound_structure\n1,Water,H2O\n",
}
HEADER = "experiment_id;user_id;experiment_compound_ids;experiment_run_time\n"
EXPERIMENTS = ("1.250", "1.255", "12.5", "1234.567", "-1.250", "1.25.000", "1.250e3", "", "7")
IS_AMBIGUOUS = {1, 2, 4, 5}


def ambiguous(folder: Path, **files: list[str]) -> set[tuple[str, int]]:
    """File and number of each experiment whose run time is ambiguous; all else is as expected."""
    source = folder / "source"
    source.mkdir()
    for table, text in TABLES.items():
        (source / f"{table}.csv").write_text(text)
    first = 0
    for name, run_times in files.items():
        rows = [f"{first + i};1;1;{text}" for i, text in enumerate(run_times, start=1)]
        first += len(rows)
        (source / f"user_experiments_{name}.csv").write_text(HEADER + "\n".join(rows))
    workspace = Workspace(folder / "workspace")
    run_stages(source, workspace, "pandas")
    assert_as_expected(source, workspace)
    return {
        (file.removeprefix("user_experiments_").removesuffix(".csv"), line - 1)
        for _, file, line, rule in issues_of(workspace)
        if rule == "experiment_run_time_ambiguous"
    }


def test_a_cell_that_shows_thousands_makes_points_of_its_file_ambiguous(tmp_path: Path) -> None:
    """In whatever row it stands; other files of the table are certain."""
    with_comma = {f"a{n}": [*EXPERIMENTS, comma] for n, comma in enumerate(THOUSANDS)}
    found = ambiguous(tmp_path, **with_comma, b=[*EXPERIMENTS])
    assert found == {(name, number) for name in with_comma for number in IS_AMBIGUOUS}


def test_what_is_no_decimal_comma_changes_nothing(tmp_path: Path) -> None:
    """Some commas are something else, and so is one in a row that cannot be split."""
    texts = [",", "1,250.5", "1,2,3", "x,5", "1 2,5", "12,5;5", "1234.567,8", "-", "1'250'000"]
    texts += ["see note 3, 4", "s,5", "5, s", "12,5 5", "3, 4, 5", "1.250.00", "1.2.3", "12.000 h"]
    files = {f"a{n}": [text, *EXPERIMENTS] for n, text in enumerate(texts)}
    assert ambiguous(tmp_path, **files) == set()


def test_a_comma_is_known_only_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of earlier blocks, typed as arrays, are judged by the last one, too."""
    monkeypatch.setattr(text_stream, "BLOCK_BYTES", 10_000)  # some 700 rows
    numbers = [f"{n % 1000}.{n % 999 + 1:03}" for n in range(5_000)]
    found = ambiguous(tmp_path, a=[*numbers, "12,5"])
    assert len(found) == len(numbers)


def test_every_spelling_is_judged_as_the_oracle_judges_it(tmp_path: Path) -> None:
    """With and without a comma in the column."""
    spelled = [*RUN_TIMES, *RUN_TIMES_NOT, *AMBIGUOUS, "1" * 300 + ".250", "1" * 305 + ".250"]
    spelled = [text for text in spelled if not {"\n", ","} & set(text)]
    found = ambiguous(tmp_path, a=spelled, b=[*spelled, "12,5"])
    assert {file for file, _ in found} == {"b"}
