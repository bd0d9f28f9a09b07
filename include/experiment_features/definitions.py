"""The features, each defined once: its type, its unit and its meaning.

Transform, load, history, views, page, downloads and docs/features.md take the columns from here.
transform.py computes a feature, and `migrate` adds its column to the tables.
"""

from dataclasses import dataclass, replace

DEFINITION_VERSION = 2
"""Version of the rules and features; when it changes, even an unchanged drop is loaded again."""

COMPARABLE_SINCE = 1
"""The oldest version of which all features are still computed, so that its loads can be compared;
when a feature is removed or renamed, this is the new version."""


RUN_TIME_UNIT = "units of the drop"
"""The unit of what is measured in the laboratory's own: the setting `run_time_unit` names it."""


@dataclass(frozen=True)
class Feature:
    """One column of a relation of features, or a figure of a run."""

    name: str
    sql_type: str
    meaning: str
    unit: str = ""
    label: str | None = None
    """Its name among the figures on the page; None if it is not shown there."""
    since: int = COMPARABLE_SINCE
    """The DEFINITION_VERSION with which it came."""

    @property
    def is_list(self) -> bool:
        """Whether a value is a list."""
        return self.sql_type.endswith("[]")

    @property
    def digits(self) -> int:
        """How many decimals the page shows."""
        return 2 if self.sql_type == "double precision" else 0


@dataclass(frozen=True)
class Relation:
    """A table of features in PostgreSQL, schema `features`; its first feature is the key."""

    name: str
    grain: str
    features: tuple[Feature, ...]

    @property
    def key(self) -> str:
        """The column that identifies a row."""
        return self.features[0].name

    @property
    def table(self) -> str:
        """The table of the drop that has the same grain."""
        return f"{self.grain}s"

    @property
    def past(self) -> str:
        """The table of the periods that are over."""
        return f"{self.name}_past"

    @property
    def history(self) -> str:
        """The view of all periods."""
        return f"{self.name}_history"

    @property
    def words(self) -> str:
        """The table of the words of its names, for searches."""
        return f"{self.grain}_words"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all features, the key first."""
        return tuple(feature.name for feature in self.features)

    def feature(self, name: str) -> Feature:
        """The feature of that name."""
        return next(feature for feature in self.features if feature.name == name)

    @property
    def figures(self) -> tuple[Feature, ...]:
        """The features that the page shows side by side."""
        return tuple(feature for feature in self.features if feature.label)


USER_FEATURES = Relation(
    "user_features",
    grain="user",
    features=(
        Feature("user_id", "bigint", "The user's id."),
        Feature("user_name", "text", "The user's name."),
        Feature(
            "total_experiments",
            "bigint",
            "How many experiments the user ran; 0 if none.",
            unit="experiments",
            label="Experiments",
        ),
        Feature(
            "average_experiment_run_time",
            "double precision",
            "The mean run time of the user's experiments. An empty run time is unknown, not 0, and "
            "is left out. Null if no run time is known.",
            unit=RUN_TIME_UNIT,
            label="Mean run time",
        ),
        Feature(
            "average_compounds_per_experiment",
            "double precision",
            "The mean number of different compounds per experiment of the user. Null for a user "
            "without experiments.",
            unit="compounds",
            label="Compounds per experiment",
        ),
        Feature(
            "most_common_compound_id",
            "bigint",
            "The compound used in the most experiments of the user; if several tie, the one with "
            "the lowest id. Null for a user without experiments.",
        ),
        Feature("most_common_compound_name", "text", "The name of that compound."),
        Feature(
            "most_common_compound_experiments",
            "bigint",
            "How many of the user's experiments contain that compound.",
            unit="experiments",
        ),
        Feature(
            "most_common_compound_ids",
            "bigint[]",
            "All compounds that tie for most common, in ascending order; the first is "
            "`most_common_compound_id`.",
        ),
    ),
)

COMPOUND_FEATURES = Relation(
    "compound_features",
    grain="compound",
    features=(
        Feature("compound_id", "bigint", "The compound's id."),
        Feature("compound_name", "text", "The compound's name."),
        Feature(
            "total_experiments",
            "bigint",
            "How many experiments contain the compound; 0 if none.",
            unit="experiments",
            label="Experiments",
        ),
        Feature(
            "total_users",
            "bigint",
            "How many users have run an experiment with the compound; 0 if none.",
            unit="users",
            label="Users",
        ),
    ),
)

RELATIONS = (USER_FEATURES, COMPOUND_FEATURES)
"""In the order in which they are loaded."""

RUN_FIGURES = {
    figure.name: figure
    for figure in (
        Feature(
            "users",
            "bigint",
            "The users with a valid row, those without experiments included.",
            unit="users",
            label="Users",
        ),
        Feature(
            "experiments",
            "bigint",
            "The experiments with a valid row: their user and all their compounds are valid, too.",
            unit="experiments",
            label="Experiments",
        ),
        Feature(
            "average_experiments_per_user",
            "double precision",
            "The number of experiments divided by the number of users, including users without "
            "experiments. Null if there are no users.",
            unit="experiments",
            label="Experiments per user",
        ),
        Feature(
            "rejected_rows",
            "bigint",
            "The rows with an error, which are left out of all features. After a delta, those of "
            "all rows in force.",
            unit="rows",
            label="Rows rejected",
        ),
        Feature(
            "most_common_compound",
            "text",
            "The compound in the most experiments of all users; if several tie, the one with the "
            "lowest id.",
            label="Most common compound",
        ),
    )
}
"""The figures of a whole run; all but the last are columns of the ledger."""


def relations_at(version: int) -> list[Relation]:
    """The relations with the features that they had in a version from COMPARABLE_SINCE on."""
    then = (
        replace(relation, features=tuple(f for f in relation.features if f.since <= version))
        for relation in RELATIONS
    )
    return [relation for relation in then if relation.features]
