"""Draws the plots of docs/performance.md. Needs matplotlib, which run.sh installs.

    benchmarks/.venv/bin/python benchmarks/plots.py

Each plot contains the digest of the results it was drawn from.
"""

import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.figures import RESULTS, Result, read_results

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"


def draw_runs(axes: Axes, runs: Result) -> None:
    """Draws the seconds of every way by the number of experiments."""
    for side in runs.values("side"):
        sizes = [n for n in runs.values("experiments") if runs.of(side, experiments=n)]
        seconds = [runs.median("seconds", side, experiments=n) for n in sizes]
        ours = side == "ours"
        label = "this pipeline" if ours else side
        axes.plot(sizes, seconds, marker="o", label=label, linewidth=3 if ours else 1.2)


def draw_engines(axes: Axes, engines: Result) -> None:
    """Draws the seconds of validate and transform on every engine."""
    for side in engines.values("side"):
        sizes = [n for n in engines.values("experiments") if engines.of(side, experiments=n)]
        seconds = [
            sum(
                engines.stage(stage, side, experiments=n) or 0
                for stage in ("validate", "transform")
            )
            for n in sizes
        ]
        axes.plot(sizes, seconds, marker="o", label=side)


def save_plot(name: str, result: Result, draw: Callable[[Axes, Result], None]) -> None:
    """Saves the plot of a result as an image, unless the result has no rows."""
    if not result.rows:
        return
    figure, axes = plt.subplots(figsize=(7.5, 4))
    draw(axes, result)
    axes.set(xscale="log", yscale="log", xlabel="experiments", ylabel="seconds")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    digest = sha256((RESULTS / f"{name}.json").read_bytes()).hexdigest()
    metadata = {"Date": None, "Description": f"benchmarks/results/{name}.json {digest}"}
    figure.savefig(IMAGES / f"performance-{name}.svg", metadata=metadata)


if __name__ == "__main__":
    mpl.use("svg")
    # A white background, for dark pages; a fixed salt, so that the same results give the same file.
    mpl.rcParams.update({"svg.hashsalt": "performance", "svg.fonttype": "none"})
    IMAGES.mkdir(exist_ok=True)
    all_results = read_results()
    save_plot("runs", all_results["runs"], draw_runs)
    save_plot("engines", all_results["engines"], draw_engines)
