"""Measures programs and saves the results as JSON.

In Linux, the peak memory of a process starts at that of the process that started it. So this one
imports nothing large: whatever needs DuckDB or pandas is a separate program.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
COMPARED_PYTHON = Path(__file__).parent / ".venv" / "bin" / "python"
"""Has the packages that the project itself does not use (requirements.in)."""

Facts = dict[str, Any]


@dataclass(frozen=True)
class Measurement:
    """One run of one program."""

    seconds: float
    cpu_seconds: float
    """Of all threads; hardly affected by the load on the machine."""
    peak_mib: float
    """The most memory that the process had at once."""
    output: str

    def facts(self) -> Facts:
        """Returns all but the output, as it is saved."""
        return {name: round(v, 3) for name, v in asdict(self).items() if name != "output"}


def run_program(command: Sequence[str | Path], folder: Path, **environment: str) -> Measurement:
    """Runs a program to its end; if it fails, so does the benchmark.

    Args:
        command: program and arguments.
        folder: where it may put temporary files.
        environment: variables to set.
    """
    variables = {**os.environ, "TMPDIR": str(folder), **environment}
    with tempfile.TemporaryFile("w+", dir=folder) as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, cwd=ROOT, env=variables)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed with {process.returncode}: {text}")
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Measurement(seconds, cpu_seconds, usage.ru_maxrss / 1024, text)


def run_python(
    program: str | Path, *arguments: str | Path, folder: Path, **environment: str
) -> Measurement:
    """Runs a script (a path) or a module (a name) with the project's Python."""
    how = [program] if isinstance(program, Path) else ["-m", program]
    return run_program([sys.executable, *how, *arguments], folder, **environment)


def in_rounds(rounds: int, sides: Mapping[str, Callable[[], Facts]], about: Facts) -> list[Facts]:
    """Measures the sides in turn in every round; adds the round and the side to the facts.

    No machine is ever quite idle, so whatever is compared must run close together.
    """
    found = []
    for number in range(1, rounds + 1):
        for side, measure in sides.items():
            facts = {**about, "round": number, "side": side, **measure()}
            found.append(facts)
            told = ", ".join(f"{n}={v}" for n, v in facts.items() if not isinstance(v, dict))
            print(told, file=sys.stderr, flush=True)
    return found


def save(path: Path, rows: list[Facts], **more: Any) -> None:
    """Saves the rows of a measurement, and the circumstances under which they were measured.

    Keeps the rows of an earlier one for drops that were not measured this time.
    """
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        measured = {row.get("experiments") for row in rows}
        earlier = json.loads(path.read_text())["rows"]
        rows = rows + [row for row in earlier if row.get("experiments") not in measured]
        rows.sort(key=lambda row: row.get("experiments", 0))
    content = {"measured": circumstances(), **more, "rows": rows}
    # One row per line, so that a diff shows what a new measurement changed.
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    text = json.dumps({**content, "rows": []}, indent=1).replace('"rows": []', '"rows": [\n@\n ]')
    path.write_text(text.replace("@", lines) + "\n")


def circumstances() -> Facts:
    """Returns date, commit, machine and versions."""
    versions = {name: version(name) for name in ("apache-airflow", "duckdb", "pandas", "numpy")}
    dirty = bool(_git("status", "--porcelain", "--", "include", "dags", "scripts"))
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _git("rev-parse", "--short=10", "HEAD") + (" with changes" if dirty else ""),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "versions": {"Python": platform.python_version(), **versions, "PostgreSQL": "18"},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
