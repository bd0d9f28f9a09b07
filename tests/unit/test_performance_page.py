"""docs/performance.md, and the figures of docs/scaling.md, match the results of the benchmarks."""

import re
from hashlib import sha256
from pathlib import Path

import pytest
from benchmarks.deltas import DELTAS
from benchmarks.figures import FAILED, Result, Target, read_results, seconds_of
from benchmarks.growth import rows_of_growth
from benchmarks.report import PAGE, SCALING, page, pays, scaling

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"


def test_page_is_not_stale() -> None:
    """The page is up to date; if not, run: benchmarks/run.sh --only ''."""
    assert (PAGE.read_text(encoding="utf-8") if PAGE.exists() else None) == page()


def test_figures_of_scaling_are_not_stale() -> None:
    """So are the figures that are scaled from the results."""
    assert SCALING.read_text(encoding="utf-8") == scaling()


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
    ("seconds", "told"),
    [
        ({10: 2.0, 100: 3.0}, "pays at no size measured; at 100, the whole takes 3.00 x"),
        ({10: 2.0, 100: 0.5}, "pays from 100 on; at 100, the whole takes 0.50 x"),
        ({10: 0.5, 100: 2.0}, "pays up to 10; at 100, the whole takes 2.00 x"),
        ({10: 0.5, 100: 0.8}, "pays at every size measured; at 100, the whole takes 0.80 x"),
        ({10: 0.5, 100: 1.0, 200: 0.5}, "pays at 10, 200; at 200, the whole takes 0.50 x"),
        ({10: 0.5, 100: None}, "pays at every size measured; at 10, the whole takes 0.50 x"),
        ({100: None}, "failed at 100"),
    ],
    ids=["never", "from", "up to", "always", "in between", "then fails", "only fails"],
)
def test_page_says_from_which_size_an_engine_pays(
    seconds: dict[int, float | None], told: str
) -> None:
    """By the whole run, as measured; a run that failed is told, and has no figures."""
    rows = []
    for size, value in seconds.items():
        about = {"experiments": size, "round": 1}
        stages = {"extract": 0.1, "validate": 0.1, "transform": 0.2}
        ended = {"seconds": value, "stages": stages} if value else {"status": FAILED}
        rows.append({**about, "side": "duckdb", "seconds": 1.0, "stages": stages})
        rows.append({**about, "side": "sail", **ended})
    found = pays(Result({}, rows, {}), "sail")
    assert found.startswith(f"- **sail** {told}")
    assert ("fails at 100" in found) is (None in seconds.values() and len(seconds) > 1)


def test_what_was_not_measured_is_scaled_by_its_rule() -> None:
    """A stage costs for each tenfold what the last one did; loads grow with their users."""
    measured = {10**7: (6.0, 1.0, 10.0, 2.0), 10**8: (50.0, 10.0, 120.0, 20.0)}
    runs = [
        {
            "side": "ours",
            "experiments": size,
            "seconds": sum(stages) + 1,
            "drop_bytes": 30 * size,
            "stages": dict(zip(("extract", "validate", "transform", "load"), stages, strict=True)),
        }
        for size, stages in measured.items()
    ]
    load = [{"side": "new", "users": 10**6, "stages": {"load": 30.0}}]
    none = Result({}, [], {})
    results = {"runs": Result({}, runs, {}), "load": Result({}, load, {}), "deltas": none}
    rows = {row[0]: row[1:] for row in rows_of_growth(results)}
    tenfold = "what the last measured tenfold cost, at least 10 x"
    assert rows["`extract`"] == ["6.0 s", "50 s", "8.3 min", "1.4 h", tenfold]
    assert rows["`transform`"] == ["10 s", "2.0 min", "24 min", "4.8 h", tenfold]
    assert rows["**first load, whole**"] == ["20 s", "3.4 min", "37 min", "7.0 h", "their sum"]
    of_users = ["3.0 s", "30 s", "5.0 min", "50 min", "per user, from 1 million users"]
    assert rows["`load`, every user new"] == of_users
    assert rows["`load`, every user changed"][:4] == [None] * 4
    deltas = [row[0] for row in rows_of_growth(read_results()) if str(row[0]).startswith("delta, ")]
    assert deltas == [f"delta, {kind}" for kind in DELTAS]  # not each of a chain of them
    assert rows["text of the drop"][:4] == ["0.3 GB", "3.0 GB", "30 GB", "300 GB"]
    assert rows["price of the first load"][:4] == ["0.00", "0.01", "0.12", "1.40"]


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
