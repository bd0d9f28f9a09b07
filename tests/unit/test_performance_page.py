"""docs/performance.md matches the results of the benchmarks."""

import re
from hashlib import sha256
from pathlib import Path

import pytest
from benchmarks.figures import Result, Target, seconds_of
from benchmarks.report import PAGE, page

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"


def test_page_is_not_stale() -> None:
    """The page is up to date; if not, run: benchmarks/run.sh --only ''."""
    assert (PAGE.read_text(encoding="utf-8") if PAGE.exists() else None) == page()


@pytest.mark.parametrize("name", ["runs", "engines"])
def test_plots_are_not_stale(name: str) -> None:
    """Wherever there are results, there is a small plot that was drawn from them."""
    plot = IMAGES / f"performance-{name}.svg"
    results = ROOT / "benchmarks" / "results" / f"{name}.json"
    assert plot.exists() == results.exists()
    if plot.exists():
        drawn_from = re.findall(r"results/\w+\.json (\w{64})", plot.read_text())
        assert drawn_from == [sha256(results.read_bytes()).hexdigest()]
        assert plot.stat().st_size < 100_000


def test_ratio_is_that_of_the_median_round() -> None:
    """Sides are compared within a round, so a slow round does not penalise just one of them."""
    seconds = {"ours": (1.0, 20.0, 3.0), "other": (2.0, 10.0, 2.0)}
    rows = [
        {"side": side, "round": number, "seconds": value}
        for side, values in seconds.items()
        for number, value in enumerate(values, start=1)
    ]
    result = Result({}, rows, {})
    assert result.ratio("ours", "other", seconds_of) == 1.5
    assert result.median("seconds", "ours") == 3.0
    assert result.ratio("ours", "missing", seconds_of) is None


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        (Target("at the bound", 3, 3.0), True),
        (Target("beyond it", 3, 3.01), False),
        (Target("enough", 2, 2.5, at_least=True), True),
        (Target("too little", 2, 1.9, at_least=True), False),
        (Target("not measured", 3, None), False),
    ],
    ids=lambda value: value.what if isinstance(value, Target) else "",
)
def test_targets(target: Target, is_met: bool) -> None:
    """A target is met at its bound, and never by a figure that was not measured."""
    assert target.is_met is is_met
