"""The volume guard: holds a load that would remove much of what the last one loaded.

A truncated export is well-formed, so it can only be recognised by what is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from experiment_features.config import SAMPLE_DROP
from experiment_features.definitions import RELATIONS, Relation
from experiment_features.drop.files import UNREADABLE, holds_files
from experiment_features.drop.local_path import LocalPath
from experiment_features.errors import LoadHeld
from experiment_features.load.ledger import Entry
from experiment_features.load.merge import Changes
from experiment_features.run import Run, Transformed

ALWAYS_ALLOWED = 10
"""So many users, compounds or experiments may always be removed: small drops vary a lot."""

UNIT_FACTOR = 10
"""A mean run time that changes by this factor suggests another unit, such as minutes for hours."""


@dataclass(frozen=True)
class Removal:
    """How many of the last load's users, compounds or experiments a load would remove."""

    kind: str
    removed: int
    of: int

    def exceeds(self, percent: float) -> bool:
        """Whether it is more than so many percent, and more than may always be removed."""
        limit = Fraction(str(percent)) * self.of  # 5.6 % of 1,375 are 77, but not as doubles
        return self.removed > ALWAYS_ALLOWED and 100 * self.removed > limit

    def __str__(self) -> str:
        share = 100 * self.removed / self.of
        return f"{self.removed:,} of {self.of:,} {self.kind} ({share:.6g} %)"


def check_volume(
    last: Entry | None,
    run: Run,
    source: str,
    computed: Transformed,
    changes: Mapping[Relation, Changes],
) -> LoadHeld | None:
    """The error of a load that would remove too much; None if it may proceed.

    Users and compounds are compared by id, experiments by number. A load that
    follows one of the sample drop is never held.

    Args:
        last: the last load.
        run: its parameters say how much may be removed.
        source: the drop's folder.
        computed: the figures of the load.
        changes: the rows of each relation that the load would change.
    """
    if last is None:
        return None
    removals = [
        Removal(relation.table, changes[relation].deleted, changes[relation].known)
        for relation in RELATIONS
    ]
    experiments = last.result.experiments or 0
    removals.append(Removal("experiments", experiments - computed.experiments, experiments))
    excessive = [str(each) for each in removals if each.exceeds(run.max_removed_percent)]
    if not excessive or _is_sample(last):
        return None
    return LoadHeld(
        f"{' and '.join(excessive)} would go, more than max_removed_percent "
        f"{run.max_removed_percent:g} allows; if that is right: "
        f"{way_to_accept(source, run.parameters)}"
    )


def way_to_accept(source: str, parameters: Mapping[str, Any]) -> str:
    """What to do with a drop whose load was held, if it is right.

    Args:
        source: the drop's folder.
        parameters: those of the run, as the ledger has them.
    """
    if restored_run := parameters.get("restored_run"):  # its folder may hold another drop now
        return f"restore {restored_run} with max_removed_percent 100"
    mode = parameters.get("mode", "auto")
    declared = "" if mode == "auto" else f"mode {mode} and "
    return f"run {source} with {declared}max_removed_percent 100"


def notice_unit(last: Entry | None, computed: Transformed) -> list[str]:
    """A notice if the mean run time of all experiments has changed suspiciously."""
    if last is None or last.average_run_time is None or computed.average_run_time is None:
        return []
    low, high = sorted((last.average_run_time, computed.average_run_time))
    if high == 0 or high < UNIT_FACTOR * low or _is_sample(last):
        return []
    notice = (
        f"the mean run time of all experiments was {last.average_run_time:.6g} and is now "
        f"{computed.average_run_time:.6g}: check whether experiment_run_time now has another unit"
    )
    return [notice]


def _is_sample(last: Entry) -> bool:
    try:
        return holds_files(LocalPath(SAMPLE_DROP), last.source_files, "snapshot")
    except UNREADABLE:
        return False
