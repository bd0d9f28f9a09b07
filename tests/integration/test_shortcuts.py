"""What is clever for speed, each against its plain way: nothing that is written tells which it was."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drops import CLEAN, Drop, Part, Row, every_fault
from experiment_features.contract import TABLES
from experiment_features.definitions import RELATIONS
from experiment_features.reading import extract, new_parts, text_stream, threads, typed_file
from experiment_features.rules import validate
from experiment_features.run import Extracted, Transformed, Validated
from experiment_features.workspace import Workspace
from stages import compute_features, read_drop, rows_of, typed_rows


class WriteAtEnd:
    """The plain way of a BackgroundWriter."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self._path = path
        self._batches: list[pa.RecordBatch] = []

    def __enter__(self) -> "WriteAtEnd":
        return self

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return not self._batches

    def write(self, rows: pa.RecordBatch) -> None:
        """Keeps the rows."""
        self._batches.append(rows)

    def __exit__(self, *_error: object) -> None:
        if self._batches:
            pq.write_table(pa.Table.from_batches(self._batches), self._path)


PLAIN_WAYS: dict[str, tuple[ModuleType, str, Any]] = {
    "digit_arrays": (typed_file, "TYPED_HERE", frozenset()),
    "run_ahead": (typed_file, "run_ahead", map),
    "background_writer": (typed_file, "BackgroundWriter", WriteAtEnd),
    "freed_memory": (new_parts, "keep_freed_memory", lambda: None),
    "rising_ids": (extract, "join_spans", lambda _spans: None),
    "footers": (validate, "can_skip", lambda *_: False),
}

AFTER_READING = {"rising_ids", "footers"}
"""Those that change how the later stages compute."""

BLOCK_BYTES = 100

DROPS = {
    "every_fault": every_fault(),
    "no_fault": Drop(tuple(Part(t, "", tuple(map(Row, rows))) for t, rows in CLEAN.items())),
}


def read(drop: Drop, folder: Path) -> dict[str, Any]:
    """All that extract writes about a drop."""
    workspace = Workspace(folder / "workspace")
    read_drop(drop.write(folder / "drop"), workspace)
    facts = asdict(workspace.found(Extracted))
    del facts["source"], facts["layers"][0]["source"], facts["rising_keys"]
    for part in facts["layers"][0]["parts"]:
        del part["part"], part["ids"]
    for table in TABLES:
        facts[table.name] = typed_rows(workspace, table.name)
    return facts


def written(drop: Drop, folder: Path) -> dict[str, Any]:
    """All that the stages write about a drop."""
    facts = read(drop, folder)
    workspace = Workspace(folder / "workspace")
    compute_features(workspace, "duckdb")
    facts |= {kind.stage: asdict(workspace.found(kind)) for kind in (Validated, Transformed)}
    facts["issues"] = rows_of(workspace.issues) if workspace.issues.exists() else []
    for relation in RELATIONS:
        facts[relation.name] = sorted(rows_of(workspace.features(relation.name)), key=str)
    return facts


@pytest.fixture(scope="module", params=DROPS)
def quick(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Drop, dict[str, Any]]:
    """A drop, and what is written about it while nothing is switched off."""
    drop = DROPS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_stream, "BLOCK_BYTES", BLOCK_BYTES)
        return drop, written(drop, tmp_path_factory.mktemp("quick"))


@pytest.mark.parametrize("way", PLAIN_WAYS)
def test_the_plain_way_writes_the_same(
    quick: tuple[Drop, dict[str, Any]],
    way: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is switched off, over files of several blocks.

    Of what only reads rows, equal rows are enough: all later stages know nothing else of it.
    """
    drop, expected = quick
    monkeypatch.setattr(text_stream, "BLOCK_BYTES", BLOCK_BYTES)
    monkeypatch.setattr(*PLAIN_WAYS[way])
    facts = written(drop, tmp_path) if way in AFTER_READING else read(drop, tmp_path)
    assert facts == {name: expected[name] for name in facts}


@pytest.mark.parametrize("count", [0, 1, 50])
def test_calls_that_run_ahead_return_in_order(count: int) -> None:
    """As map would, and no more of them are begun than may wait."""
    begun: list[int] = []

    def arguments() -> Iterable[int]:
        for number in range(count):
            begun.append(number)
            yield number

    results = []
    for result in threads.run_ahead(str, arguments()):
        results.append(result)
        assert len(begun) <= len(results) + threads.TYPING_THREADS
    assert results == list(map(str, range(count)))


def test_an_error_of_a_call_arrives_in_its_place() -> None:
    """What was before it is yielded; then it is raised."""
    call: Callable[[int], float] = lambda number: 1 / (3 - number)  # noqa: E731
    results = threads.run_ahead(call, range(10))
    assert [next(results) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
