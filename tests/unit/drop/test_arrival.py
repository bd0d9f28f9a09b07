"""Which drops are complete: those with a marker, in the order of their paths."""

import os
import time
from pathlib import Path

import pytest

from experiment_features.drop.arrival import MARKER, find_ready_drops, state_key


def bring(folder: Path) -> str:
    """A complete drop; its content does not matter here."""
    folder.mkdir(parents=True)
    (folder / MARKER).touch()
    return str(folder)


def sources(*folders: Path, keep_days: float = 90) -> list[str]:
    """Where complete drops are found."""
    return [drop.source for drop in find_ready_drops([str(f) for f in folders], keep_days)]


def test_drops_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    """Whatever the order in which their markers appeared."""
    names = ("2026-11-22", "2026-11-20", "2026-11-21")
    brought = [bring(tmp_path / name) for name in names]
    assert sources(tmp_path) == sorted(brought)


def test_a_drop_without_its_marker_is_not_complete(tmp_path: Path) -> None:
    """Nor is one whose marker is a folder, or has another name."""
    (tmp_path / "on_its_way").mkdir()
    (tmp_path / "folder" / MARKER).mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "_READY.tmp").touch()
    assert sources(tmp_path) == []


def test_a_marker_that_cannot_be_looked_at_stops_no_other(tmp_path: Path) -> None:
    """A link to itself, for example: the drops beside it arrive."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / MARKER).symlink_to(MARKER)
    drop = bring(tmp_path / "2")
    assert sources(tmp_path) == [drop]


def test_drops_are_found_down_to_the_third_level(tmp_path: Path) -> None:
    """The watched folder itself may be one; deeper than three levels nothing is looked for."""
    found = [bring(tmp_path / "watched"), bring(tmp_path / "watched" / "a" / "b" / "c")]
    bring(tmp_path / "watched" / "a" / "b" / "c" / "d")
    assert sources(tmp_path / "watched") == found


def test_folders_that_are_absent_or_overlap(tmp_path: Path) -> None:
    """A watched folder that is absent holds nothing; a drop in two of them is there once."""
    drop = bring(tmp_path / "drops" / "1")
    assert sources(tmp_path / "absent", tmp_path / "drops", tmp_path) == [drop]


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link that leads back up would never end, and one that leads out is not watched."""
    outside = tmp_path / "outside"
    bring(outside / "1")
    watched = tmp_path / "watched"
    drop = bring(watched / "2")
    (watched / "2" / "back").symlink_to(watched)
    (watched / "out").symlink_to(outside)
    assert sources(watched) == [drop]


def test_markers_from_before_the_ledgers_memory_are_passed_over(tmp_path: Path) -> None:
    """Nobody could tell whether their drops were loaded; written again, they count."""
    drop = bring(tmp_path / "1")
    long_ago = time.time() - 91 * 24 * 60 * 60
    os.utime(tmp_path / "1" / MARKER, (long_ago, long_ago))
    assert sources(tmp_path) == []
    (tmp_path / "1" / MARKER).touch()
    assert sources(tmp_path) == [drop]


def test_a_marker_written_again_announces_again(tmp_path: Path) -> None:
    """The stamp tells the one writing from the other."""
    drop = bring(tmp_path / "1")
    (before,) = find_ready_drops([str(tmp_path)], 90)
    os.utime(Path(drop) / MARKER, ns=(1, time.time_ns() + 1))
    (after,) = find_ready_drops([str(tmp_path)], 90)
    assert before.source == after.source
    assert before.stamp != after.stamp


def test_a_name_that_is_no_text_hides_no_other_drop(tmp_path: Path) -> None:
    """Such a drop cannot be announced: an event is JSON."""
    drop = bring(tmp_path / "1")
    unreadable = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(unreadable)  # noqa: PTH102
    Path(os.fsdecode(unreadable + b"/_READY")).touch()
    assert sources(tmp_path) == [drop]


def test_any_text_may_name_a_drop(tmp_path: Path) -> None:
    """What cannot be printed is kept under a name of its own."""
    drop = bring(tmp_path / "-a [b]*?{c} 'd\" %41#é\n")
    assert sources(tmp_path) == [drop]
    assert state_key(drop).isalnum()


@pytest.mark.parametrize(("length", "is_kept"), [(512, True), (513, False)])
def test_state_key_fits_the_store(length: int, is_kept: bool) -> None:
    """Airflow refuses names of more than 512 signs."""
    source = "/" + "x" * (length - 1)
    key = state_key(source)
    assert len(key) <= 512
    assert (key == source) is is_kept
    assert key != state_key(source[:-1] + "y")
