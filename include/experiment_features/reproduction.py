"""Compute a load again from its parts, and compare the outcome with what it was, or is now."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from experiment_features.definitions import COMPARABLE_SINCE, DEFINITION_VERSION
from experiment_features.errors import ConfigurationError
from experiment_features.features.transform import digest_features
from experiment_features.load.database import Connect
from experiment_features.load.differences import (
    Difference,
    find_differences,
    find_present_differences,
)
from experiment_features.load.loads import Load
from experiment_features.pipeline import Pipeline
from experiment_features.run import Transformed, Validated
from experiment_features.store.parts import READER_VERSION, reader_version


@dataclass(frozen=True)
class Reproduction:
    """What came of a load when it was computed again."""

    load: Load
    engine: str
    features_sha256: str | None
    issues_sha256: str | None
    changes: list[str]
    """What it was computed with then, and is now, where that differs."""
    differences: list[Difference]
    """The first rows that differ."""

    @property
    def is_equal(self) -> bool:
        """Whether features and issues are those of then."""
        now = (self.features_sha256, self.issues_sha256)
        return now == (self.load.features_sha256, self.load.issues_sha256)

    def as_json(self) -> dict[str, Any]:
        """The reproduction as one object."""
        return {
            "run": self.load.run_id,
            "engine": self.engine,
            "equal": self.is_equal,
            "features_sha256": {"then": self.load.features_sha256, "now": self.features_sha256},
            "issues_sha256": {"then": self.load.issues_sha256, "now": self.issues_sha256},
            "changes": self.changes,
            "differences": [asdict(difference) for difference in self.differences],
        }


@dataclass(frozen=True)
class Verification:
    """Whether the database holds what the last load should have left."""

    load: Load
    engine: str
    changes: list[str]
    """As of a Reproduction."""
    differences: list[Difference]
    """The first rows that differ."""

    @property
    def is_equal(self) -> bool:
        """Whether features, compounds and open issues are those that were computed."""
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        """The verification as one object."""
        return {
            "run": self.load.run_id,
            "engine": self.engine,
            "equal": self.is_equal,
            "changes": self.changes,
            "differences": [
                {
                    "relation": difference.relation,
                    "id": difference.id,
                    "database": difference.then,
                    "computed": difference.now,
                }
                for difference in self.differences
            ],
        }


def run_fields(load: Load) -> dict[str, Any]:
    """The fields of a run that computes what a load did."""
    names = ("max_rejected_percent", "allow_empty")
    parameters = {name: load.parameters[name] for name in names if name in load.parameters}
    return {"today": load.today or load.finished_at.date(), **parameters}


def reproduce(pipeline: Pipeline, load: Load) -> Reproduction:
    """Computes a load again, and compares digests; if they differ, finds the rows.

    Args:
        pipeline: of a dry run with run_fields, on any engine.
        load: the load.

    Raises:
        ConfigurationError: a part is gone, or the load's digests are not known or cannot be
            compared.
        DatabaseRefused, DatabaseUnavailable: see database_errors.
    """
    if load.features_sha256 is None:
        raise ConfigurationError(
            f"run {load.run_id} cannot be reproduced: it was loaded by an earlier version, which "
            "did not record the digests of its outcome"
        )
    connect, transformed = _compute(pipeline, load)
    validated = pipeline.workspace.found(Validated)
    features_sha256 = digest_features(pipeline.workspace, load.definition_version)
    differences: list[Difference] = []
    if features_sha256 != load.features_sha256:
        with connect() as connection:
            differences = find_differences(connection, load, pipeline.workspace)
    return Reproduction(
        load,
        transformed.engine,
        features_sha256,
        validated.issues_sha256,
        list(_changes(load, transformed)),
        differences,
    )


def verify(pipeline: Pipeline, load: Load) -> Verification:
    """Computes the last load again as a whole, and finds the rows of the database that differ.

    Args:
        pipeline: of a dry run with run_fields, on any engine.
        load: the last load.

    Raises:
        ConfigurationError: a part is gone, the load cannot be compared, or another drop has been
            loaded meanwhile.
        DatabaseRefused, DatabaseUnavailable: see database_errors.
    """
    connect, transformed = _compute(pipeline, load)
    with connect() as connection:
        differences = find_present_differences(connection, load, pipeline.workspace)
    return Verification(load, transformed.engine, list(_changes(load, transformed)), differences)


def _compute(pipeline: Pipeline, load: Load) -> tuple[Connect, Transformed]:
    """Computes a load again; returns what opens its database, too."""
    _refuse_other_features(load)
    pipeline.take(load)
    pipeline.validate()
    pipeline.transform()
    return pipeline.database, pipeline.workspace.found(Transformed)


def _refuse_other_features(load: Load) -> None:
    """Refuses a load if it has features that are not computed here."""
    version = load.definition_version
    if not COMPARABLE_SINCE <= version <= DEFINITION_VERSION:
        raise ConfigurationError(
            f"run {load.run_id} cannot be computed again: it has features of version {version}, "
            f"and this program computes those of versions {COMPARABLE_SINCE} to "
            f"{DEFINITION_VERSION}. Use the program that loaded it "
            f"(code {load.code_version or 'unknown'})"
        )


def _changes(load: Load, now: Transformed) -> Iterator[str]:
    """Yields what has changed since then in what the features are computed with."""
    readers = sorted({reader_version(part) for part in load.parts})
    pairs = {
        "code": (load.code_version, now.code_version),
        "reader": (
            ", ".join(f"version {version}" for version in readers),
            f"version {READER_VERSION}",
        ),
        "rules and features": (load.definition_version, DEFINITION_VERSION),
        "locked requirements": (load.lock_sha256, now.lock_sha256),
        "Python": (load.python_version, now.python_version),
        "engine": (f"{load.engine} {load.engine_version}", f"{now.engine} {now.engine_version}"),
    }
    for name, (then, today) in pairs.items():
        if then != today:
            yield f"{name}: {then or 'unknown'} then, {today or 'unknown'} now"
