"""What a drop is computed on: alone, or on top of what the last load had."""

import re
from dataclasses import replace

import pytest

from experiment_features.drop.base import Known, LastLoad, find_standing
from experiment_features.drop.files import Drop, Layer, Part
from experiment_features.drop.manifest import Manifest
from experiment_features.errors import DropRefused


def layer(run_id: str, source: str, content: str) -> Layer:
    """A layer of one file of users."""
    part = Part(
        table="users",
        name="users.csv",
        bytes=1,
        sha256=content,
        rows=1,
        part=f"{content}.v1.0.parquet",
        content_sha256=content,
        text_bytes=1,
        ids=None,
    )
    return Layer(run_id=run_id, source=source, parts=[part])


def drop(mode: str, base: str | None = None) -> Drop:
    """What a drop declares."""
    return Drop(mode, {}, Manifest(mode, base), b"{")  # type: ignore[arg-type]


WHOLE, MONDAY = layer("whole", "/drops/whole", "w"), layer("mo", "/drops/monday", "m")

SNAPSHOT_LAST = LastLoad(
    Known("whole", ["whole", "again"]), None, "/drops/whole", "snapshot", [WHOLE], lambda: True
)
DELTA_LAST = LastLoad(
    Known("mo", ["mo"]),
    Known("whole", ["whole", "again"]),
    "/drops/monday",
    "delta",
    [WHOLE, MONDAY],
    lambda: True,
)


def own(source: str, content: str) -> Layer:
    """The layer of the run's own drop."""
    return layer("", source, content)


def test_a_snapshot_stands_alone() -> None:
    """Whatever was loaded before."""
    for last in (None, SNAPSHOT_LAST, DELTA_LAST):
        standing = find_standing(drop("snapshot"), own("/drops/new", "n"), last)
        assert standing == ([own("/drops/new", "n")], None, False)


def test_the_same_files_are_unchanged() -> None:
    """In any folder and with any base; but not in another mode, nor if they have to be computed."""
    assert find_standing(drop("snapshot"), own("/x", "w"), SNAPSHOT_LAST).is_unchanged
    same = find_standing(drop("delta", "anything"), own("/x", "m"), DELTA_LAST)
    assert same == ([WHOLE, MONDAY], "whole", True)
    assert not find_standing(drop("snapshot"), own("/x", "m"), DELTA_LAST).is_unchanged
    forced = replace(DELTA_LAST, can_be_unchanged=lambda: False)
    assert find_standing(drop("delta"), own("/x", "m"), forced) == ([WHOLE, MONDAY], "whole", False)


@pytest.mark.parametrize("base", [None, "whole", "again"])
def test_a_delta_builds_on_the_last_load(base: str | None) -> None:
    """Which it may name by its id, by that of an unchanged run, or by the folder of its drop."""
    tuesday = own("/drops/tuesday", "t")
    standing = find_standing(drop("delta", base), tuesday, SNAPSHOT_LAST)
    assert standing == ([WHOLE, tuesday], "whole", False)


def test_a_delta_may_name_the_folder_of_its_base() -> None:
    """The last component of the source."""
    tuesday = own("/drops/tuesday", "t")
    standing = find_standing(drop("delta", "monday"), tuesday, DELTA_LAST)
    assert standing == ([WHOLE, MONDAY, tuesday], "mo", False)


def test_a_mended_delta_takes_the_place_of_the_last() -> None:
    """If it says that it builds on the load below."""
    mended = own("/drops/monday", "t")
    assert find_standing(drop("delta", "again"), mended, DELTA_LAST) == (
        [WHOLE, mended],
        "whole",
        False,
    )
    further = find_standing(drop("delta", "mo"), mended, DELTA_LAST)
    assert further == ([WHOLE, MONDAY, mended], "mo", False)


REFUSED = {
    "nothing_loaded": (drop("delta"), own("/x", "n"), None, "load a snapshot first"),
    "another_base": (
        drop("delta", "sunday"),
        own("/x", "n"),
        DELTA_LAST,
        "names sunday as its base",
    ),
    "a_base_below": (drop("delta", "whole"), own("/x", "n"), DELTA_LAST, "names whole as its base"),
    "reused_folder": (
        drop("delta"),
        own("/drops/monday", "n"),
        DELTA_LAST,
        'names no base.*"base": "mo" builds on.*"base": "whole" takes the place',
    ),
    "reused_folder_by_name": (
        drop("delta", "monday"),
        own("/drops/monday", "n"),
        DELTA_LAST,
        "names monday as its base",
    ),
    "reused_folder_further_below": (
        drop("delta", "whole"),
        own("/drops/whole", "n"),
        DELTA_LAST,
        "names whole as its base",
    ),
    "the_same_files_further_below": (
        drop("delta", "tu"),
        own("/drops/monday", "m"),
        replace(DELTA_LAST, layers=[WHOLE, MONDAY, layer("tu", "/drops/tuesday", "t")]),
        "has been loaded by run mo, and other deltas since",
    ),
    "the_same_files_between_others_of_the_folder": (
        drop("delta", "mo"),
        own("/drops/monday", "m"),
        replace(DELTA_LAST, layers=[WHOLE, MONDAY, layer("tu", "/drops/monday", "t")]),
        "has been loaded by run mo, and other deltas since",
    ),
    "what_was_loaded_as_a_snapshot": (
        drop("delta", "whole"),
        own("/drops/whole", "w"),
        SNAPSHOT_LAST,
        "loaded by run whole as a snapshot, with these files.*first restore",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_delta_cannot_build_on(case: str) -> None:
    """The message says what was found, and what to write."""
    declared, brought, last, message = REFUSED[case]
    with pytest.raises(DropRefused) as refusal:
        find_standing(declared, brought, last)
    assert re.search(message, str(refusal.value))
