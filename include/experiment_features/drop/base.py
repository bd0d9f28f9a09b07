"""What a drop is computed on: alone, or as a delta on top of what the last load had."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from experiment_features.contract import DropMode
from experiment_features.drop.files import Drop, DropFile, Layer, holds_files, with_parts
from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import DropRefused
from experiment_features.visible_text import shown


class Known(NamedTuple):
    """A load, and the names that a delta may give it as its base."""

    run_id: str
    names: Sequence[str]
    """The ids of the load, of unchanged runs that found it, and of the run that it restored."""


@dataclass(frozen=True)
class LastLoad:
    """The last load, as far as a new drop needs to know it."""

    load: Known
    below: Known | None
    """The load that it was built on; None if its drop was a snapshot."""
    source: str
    """Where its drop came from; of a restored load, where that one's did."""
    mode: DropMode
    """Of its drop."""
    layers: Sequence[Layer]
    can_be_unchanged: Callable[[], bool] = lambda: False
    """Whether the same files again would give the same features and issues; takes a while."""

    def is_of(self, parts: Sequence[DropFile]) -> bool:
        """Whether its drop had these files: table, name and sha256 of each."""
        return bool(self.layers) and _is_same(parts, self.layers[-1]["parts"])


class Standing(NamedTuple):
    """What a run is computed on."""

    layers: Sequence[Layer]
    base_run_id: str | None = None
    """The load that a delta was built on; None for a snapshot."""
    is_unchanged: bool = False
    """Whether the last load was computed on the same."""


def find_standing(drop: Drop, own: Layer, last: LastLoad | None) -> Standing:
    """Decides what a drop is computed on.

    Args:
        drop: what it declares.
        own: its parts.
        last: the last load, if there is one.

    Raises:
        DropRefused: a delta has nothing to build on, or not what it says.
    """
    source, parts = own["source"], own["parts"]
    is_last = last is not None and drop.mode == last.mode and last.is_of(parts)
    is_unchanged = last is not None and is_last and last.can_be_unchanged()
    if last and is_last and (is_unchanged or drop.mode == "delta"):
        layers = [*last.layers[:-1], with_parts(last.layers[-1], parts)]  # perhaps read anew
        return Standing(layers, last.below and last.below.run_id, is_unchanged)
    if drop.mode != "delta":
        return Standing([own])
    if last is None or not last.layers:
        raise DropRefused(
            f"{source} is a delta, and there is no load in the store that it could change: load a "
            "snapshot first"
        )
    return _on_top(own, drop.base, last)


def _on_top(own: Layer, base: str | None, last: LastLoad) -> Standing:
    """The layers of a new delta, or of a mended one, which takes the place of the last."""
    of_source = [layer for layer in last.layers if layer["source"] == own["source"]]
    is_mendable = last.below is not None and last.layers[-1]["source"] == own["source"]
    if loaded := [layer for layer in of_source if _is_same(own["parts"], layer["parts"])]:
        run_id = loaded[-1]["run_id"]
        raise DropRefused(
            f"{own['source']} has been loaded by run {run_id}, and other deltas since then: load a "
            "snapshot, or bring what is to change in a new delta"
            if loaded[-1] is not last.layers[-1]
            else f"{own['source']} has been loaded by run {run_id} as a snapshot, with these "
            "files: if it is a delta, first restore the load before that run"
        )
    if (of_source and base is None) or (base and base not in _bases(last, of_source, is_mendable)):
        _refuse_base(own["source"], base, last, is_mendable=is_mendable, is_reused=bool(of_source))
    if is_mendable and last.below and base in last.below.names:
        return Standing([*last.layers[:-1], own], last.below.run_id)
    return Standing([*last.layers, own], last.load.run_id)


def _bases(last: LastLoad, of_source: Sequence[Layer], is_mendable: bool) -> set[str]:
    """What the base of a delta may be."""
    names = set(last.load.names)
    if is_mendable and last.below:
        names |= set(last.below.names)
    # The name of a folder that is used again does not tell which of its drops is meant.
    return names if of_source else names | {last.source.rstrip("/").rpartition("/")[2]}


def _refuse_base(
    source: str, base: str | None, last: LastLoad, *, is_mendable: bool, is_reused: bool
) -> NoReturn:
    found = f"its manifest names {shown(base)} as its base" if base else "it names no base"
    if is_reused and base is None:
        found = (
            "a drop in this folder has been loaded before, with other files, and it names no base"
        )
    remedy = f'"base": "{last.load.run_id}" builds on the last load'
    if is_mendable and last.below:
        remedy += f', "base": "{last.below.run_id}" takes the place of what this folder had brought'
    raise DropRefused(
        f"{source} is a delta, and {found}; the last load was that of run {last.load.run_id} from "
        f"{last.source}. In its manifest, {remedy}"
    )


def _is_same(files: Sequence[DropFile], others: Sequence[DropFile]) -> bool:
    def listed(each: Sequence[DropFile]) -> list[tuple[str, str, str]]:
        return [(file["table"], file["name"], file["sha256"]) for file in each]

    return listed(files) == listed(others)


def find_layer(source: AnyPath, layers: Sequence[Layer]) -> Layer | None:
    """The latest of a load's layers that was read from a source, as it is now: mode and files.

    Raises:
        DropRefused, DropChanged: see find_drop.
    """
    modes: list[DropMode] = ["delta" if below else "snapshot" for below in range(len(layers))]
    for layer, mode in zip(reversed(layers), reversed(modes), strict=True):
        if layer["source"] == str(source) and holds_files(source, layer["parts"], mode):
            return layer
    return None
