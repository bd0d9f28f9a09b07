"""Writing beside the reader, when it fails or is interrupted."""

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Event, Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiment_features.errors import StorageUnavailable
from experiment_features.reading.threads import BackgroundWriter

ROWS = pa.record_batch({"line_number": range(30_000), "value": [i * 0.7919 for i in range(30_000)]})


def test_all_that_was_written_is_in_the_file(tmp_path: Path) -> None:
    """Without an error, the file is finished."""
    write(tmp_path / "rows", 5)
    assert pq.read_metadata(tmp_path / "rows").num_rows == 150_000


def test_whole_numbers_are_packed(tmp_path: Path) -> None:
    """Alone and in lists, with gaps: ids that differ by some thousands take no more than two bytes."""
    random = Random(1)  # noqa: S311
    ids = [random.choice([None, 2**61 + random.randrange(4096)]) for _ in range(30_000)]
    lists = [None if i is None else [i, i + 1][: i % 3] for i in ids]
    kinds = {"id": pa.int64(), "ids": pa.list_(pa.int64())}
    rows = pa.record_batch([ids, lists], schema=pa.schema(kinds))
    with BackgroundWriter(tmp_path / "rows", rows.schema) as writer:
        writer.write(rows)
    assert pq.read_table(tmp_path / "rows").to_batches() == [rows]
    assert (tmp_path / "rows").stat().st_size < 2 * (len(ids) + sum(map(len, filter(None, lists))))


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file that takes 200 kB: what is left of a disk."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
    yield tmp_path / "rows"
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def write(target: Path, batches: int, end: BaseException | None = None) -> None:
    """Writes the rows so many times; then the work ends with an error, or well."""
    with BackgroundWriter(target, ROWS.schema) as writer:
        for _ in range(batches):
            writer.write(ROWS)
        if end:
            raise end


@pytest.mark.parametrize("batches", [2, 3, 6, 12])
def test_a_full_disk_is_named(batches: int, full: Path) -> None:
    """Closing a broken file fails in another way, which must not hide the first."""
    with pytest.raises(StorageUnavailable, match="File too large"):
        write(full, batches)


def test_an_interrupt_is_not_taken_for_a_full_disk(full: Path) -> None:
    """Nothing is expected of the file any more."""
    with pytest.raises(KeyboardInterrupt):
        write(full, 2, KeyboardInterrupt())


def test_an_interrupt_while_the_thread_starts_closes_no_file_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor does not know such a thread; PyArrow ends the process if the file is closed."""
    events, begun = [], Event()
    start, write_batch, close = Thread.start, pq.ParquetWriter.write_batch, pq.ParquetWriter.close

    def start_and_interrupt(thread: Thread) -> None:
        start(thread)
        begun.wait(10)
        raise KeyboardInterrupt

    def write_slowly(file: pq.ParquetWriter, rows: pa.RecordBatch) -> None:
        events.append("write")
        begun.set()
        time.sleep(0.2)
        write_batch(file, rows)
        events.append("written")

    def note_close(file: pq.ParquetWriter) -> None:
        events.append("close")
        close(file)

    monkeypatch.setattr(Thread, "start", start_and_interrupt)
    monkeypatch.setattr(pq.ParquetWriter, "write_batch", write_slowly)
    monkeypatch.setattr(pq.ParquetWriter, "close", note_close)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "rows", 1)
    monkeypatch.undo()
    assert events == ["write", "written", "close"]
